// Writes the numbers 0 to COUNT-1, each exactly once, whatever happens to the nodes meanwhile.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "odradek.dev/client/examples/go/odradek/v1"
)

const (
	recordsPerRequest = 100
	keys              = 100
	deadline          = 10 * time.Second
)

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: produce ADDRESS[,ADDRESS...] TOPIC COUNT [NAME]")
	}
	addresses, topic := strings.Split(os.Args[1], ","), os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	name := rand.Text()
	if len(os.Args) > 4 {
		name = os.Args[4]
	}
	sender := &sender{addresses: addresses}
	for first := 0; first < count; first += recordsPerRequest {
		last := min(first+recordsPerRequest, count) - 1
		request := &pb.PublishRequest{Topic: topic, ProducerName: name, Sequence: int64(first)}
		for number := first; number <= last; number++ {
			request.Records = append(request.Records, &pb.Record{
				Key:   []byte(strconv.Itoa(number % keys)),
				Value: []byte(strconv.Itoa(number)),
			})
		}
		sender.send(request)
		fmt.Println("acknowledged", first, last)
	}
}

// sender has a connection to one node, and goes on to the next when that one fails.
type sender struct {
	addresses  []string
	at         int
	connection *grpc.ClientConn
}

// send repeats a request until it is acknowledged: its name and sequence tell the nodes that it is the same one.
func (s *sender) send(request *pb.PublishRequest) {
	for {
		err := s.try(request)
		switch status.Code(err) {
		case codes.OK:
			return
		case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown, codes.Canceled:
			log.Print(err)
			s.connection.Close()
			s.connection = nil
			s.at = (s.at + 1) % len(s.addresses)
			time.Sleep(100 * time.Millisecond)
		default:
			log.Fatal(err)
		}
	}
}

func (s *sender) try(request *pb.PublishRequest) error {
	if s.connection == nil {
		connection, err := grpc.NewClient(s.addresses[s.at], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		s.connection = connection
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	_, err := pb.NewRecordServiceClient(s.connection).Publish(ctx, request)
	return err
}
