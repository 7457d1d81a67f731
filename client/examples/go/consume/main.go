// Reads a topic as a member of a group, and goes on at the next node when one fails. Ends after COUNT different values,
// or when it is told to (SIGTERM, Ctrl-C).
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "odradek.dev/client/examples/go/odradek/v1"
)

const credit = 1000 // how many records the node may send ahead

type reader struct {
	topic, group string
	instance     string // its place in the group: it gets that back when it connects again
	count        int    // 0: no end
	seen         map[string]bool
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: consume ADDRESS[,ADDRESS...] TOPIC GROUP [COUNT]")
	}
	addresses := strings.Split(os.Args[1], ",")
	r := &reader{topic: os.Args[2], group: os.Args[3], instance: rand.Text(), seen: map[string]bool{}}
	if len(os.Args) > 4 {
		r.count, _ = strconv.Atoi(os.Args[4])
	}
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	for at := 0; stop.Err() == nil; at++ {
		err := r.consume(stop, addresses[at%len(addresses)])
		switch status.Code(err) {
		case codes.OK:
			return
		case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown, codes.Canceled:
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
		default:
			log.Fatal(err)
		}
	}
}

// consume reads at one node for as long as that goes well; nil when it ended because this program wanted so.
func (r *reader) consume(stop context.Context, address string) error {
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second})) // notice a node that vanished
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := pb.NewRecordServiceClient(connection).Consume(context.Background())
	if err != nil {
		return err
	}
	received, failed := make(chan *pb.Records), make(chan error, 1)
	go receive(stream, received, failed)

	subscribe := &pb.Subscribe{Topics: []string{r.topic}, GroupId: r.group, InstanceId: r.instance}
	stream.Send(&pb.ConsumeRequest{Action: &pb.ConsumeRequest_Subscribe{Subscribe: subscribe}, Credit: credit})
	leaving := false
	leave := func() {
		leaving = true
		stream.CloseSend() // the node commits what was acknowledged, and ends the stream
	}
	for asked := stop.Done(); ; {
		select {
		case records := <-received:
			if leaving {
				continue // not acknowledged: another member of the group gets it
			}
			stream.Send(r.process(records))
			if r.count > 0 && len(r.seen) >= r.count {
				leave()
			}
		case <-asked:
			asked = nil
			if !leaving {
				leave()
			}
		case err := <-failed:
			return err
		}
	}
}

// process deals with the records and returns what to tell the node: up to where, and that it may send as many more.
func (r *reader) process(records *pb.Records) *pb.ConsumeRequest {
	done := &pb.Acknowledge{}
	credit := 0
	for _, part := range records.Partitions {
		for _, record := range part.Records {
			fmt.Println(part.Partition, record.Offset, string(record.Value))
			r.seen[string(record.Value)] = true
		}
		last := part.Records[len(part.Records)-1].Offset
		done.Records = append(done.Records, &pb.TopicPartitionOffset{Topic: part.Topic, Partition: part.Partition, Offset: last})
		credit += len(part.Records)
	}
	return &pb.ConsumeRequest{Action: &pb.ConsumeRequest_Acknowledge{Acknowledge: done}, Credit: int32(credit)}
}

// receive hands on the records of a stream until it ends; then why, nil for as it should.
func receive(stream pb.RecordService_ConsumeClient, received chan<- *pb.Records, failed chan<- error) {
	for {
		response, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			failed <- err
			return
		}
		if records := response.GetRecords(); records != nil {
			received <- records
		}
	}
}
