// Drives a broker with franz-go: admin, idempotent produce under every codec, direct and group consume,
// commit and resume, records by timestamp. Prints one line per step; the first failure ends it with status 1.
//
//	compat HOST:PORT
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic, group, count = "franz-go", "franz-go-group", 500

func check(step string, err error) {
	if err != nil {
		fmt.Printf("FAILED %s: %v\n", step, err)
		os.Exit(1)
	}
	fmt.Printf("ok %s\n", step)
}

func open(seed string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(seed))...)
	if err != nil {
		check("client", err)
	}
	return client
}

// produce writes `count` records with key and header and checks that their offsets follow each other.
func produce(ctx context.Context, seed string, codec kgo.CompressionCodec, base int64) error {
	client := open(seed, kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: topic, Partition: 0,
			Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "value %d", i),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
		}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	for i, record := range records {
		if record.Offset != base+int64(i) {
			return fmt.Errorf("record %d at offset %d, not %d", i, record.Offset, base+int64(i))
		}
	}
	return nil
}

// take polls until it holds `wanted` records, each of which must say what was produced.
func take(ctx context.Context, client *kgo.Client, wanted int) ([]*kgo.Record, error) {
	var found []*kgo.Record
	for len(found) < wanted {
		fetches := client.PollRecords(ctx, wanted-len(found))
		if err := fetches.Err0(); err != nil {
			return nil, err
		}
		for _, failed := range fetches.Errors() {
			return nil, failed.Err
		}
		found = append(found, fetches.Records()...)
	}
	for _, record := range found {
		i := record.Offset % count
		if string(record.Value) != fmt.Sprintf("value %d", i) || len(record.Headers) != 1 {
			return nil, fmt.Errorf("offset %d holds %q", record.Offset, record.Value)
		}
	}
	return found, nil
}

func main() {
	seed := os.Args[1]
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	admin := kadm.NewClient(open(seed))
	defer admin.Close()

	versions, err := admin.ApiVersions(ctx)
	check("api versions", err)
	if len(versions) != 1 {
		check("one broker", fmt.Errorf("%d brokers", len(versions)))
	}
	retention := "86400000"
	created, err := admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &retention}, topic)
	check("create topic", err)
	if created.ID == (kadm.TopicID{}) {
		check("topic id", fmt.Errorf("zero"))
	}

	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for i, codec := range codecs {
		check(fmt.Sprintf("produce with codec %d", i), produce(ctx, seed, codec, int64(i*count)))
	}
	total := len(codecs) * count

	direct := open(seed, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(100)}}))
	records, err := take(ctx, direct, total-100)
	check("consume from an offset", err)
	if records[0].Offset != 100 {
		check("first offset", fmt.Errorf("%d", records[0].Offset))
	}
	direct.Close()

	join := []kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.SessionTimeout(2 * time.Second),
	}
	first := open(seed, join...)
	records, err = take(ctx, first, count)
	check("consume in a group", err)
	check("commit", first.CommitRecords(ctx, records...))
	second := open(seed, append(join, kgo.InstanceID("second"))...)
	waiting, stop := context.WithTimeout(ctx, 2*time.Second)
	second.PollRecords(waiting, 1)
	stop()
	second.Close()
	first.Close()
	resumed := open(seed, join...)
	next, err := take(ctx, resumed, 10)
	check("resume after the commit", err)
	if next[0].Offset != records[len(records)-1].Offset+1 {
		check("resumed offset", fmt.Errorf("%d after %d", next[0].Offset, records[len(records)-1].Offset))
	}
	described, err := admin.DescribeGroups(ctx, group)
	check("describe group", err)
	if described[group].State != "Stable" {
		check("group state", fmt.Errorf("%q", described[group].State))
	}
	resumed.Close()

	ends, err := admin.ListEndOffsets(ctx, topic)
	check("end offsets", err)
	if end, _ := ends.Lookup(topic, 0); end.Offset != int64(total) {
		check("end offset", fmt.Errorf("%d", end.Offset))
	}
	committed, err := admin.FetchOffsets(ctx, group)
	check("fetch offsets", err)
	if at, _ := committed.Lookup(topic, 0); at.At != count {
		check("committed offset", fmt.Errorf("%d", at.At))
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	check("describe configs", err)
	if len(configs) != 1 || configs[0].Err != nil {
		check("configs", fmt.Errorf("%v", configs))
	}
	_, err = admin.DeleteTopics(ctx, topic)
	check("delete topic", err)
	fmt.Println("done")
}
