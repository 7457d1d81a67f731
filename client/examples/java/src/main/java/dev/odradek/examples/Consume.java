package dev.odradek.examples;

import dev.odradek.v1.Acknowledge;
import dev.odradek.v1.ConsumeRequest;
import dev.odradek.v1.ConsumeResponse;
import dev.odradek.v1.ConsumedRecord;
import dev.odradek.v1.PartitionRecords;
import dev.odradek.v1.RecordServiceGrpc;
import dev.odradek.v1.Records;
import dev.odradek.v1.Subscribe;
import dev.odradek.v1.TopicPartitionOffset;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.HashSet;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Reads a topic as a member of a group, and goes on at the next node when one fails. Ends after COUNT different values,
 * or when it is told to (SIGTERM, Ctrl-C).
 */
public final class Consume {
    private static final int CREDIT = 1000; // how many records the node may send ahead

    private final Subscribe subscribe;
    private final int count; // 0: no end
    private final Set<String> seen = new HashSet<>();
    private boolean isLeaving = false;
    private StreamObserver<ConsumeRequest> requests;

    private Consume(String topic, String group, int count) {
        // The instance is this program's place in the group: it gets that back when it connects again.
        String instance = UUID.randomUUID().toString();
        subscribe = Subscribe.newBuilder().addTopics(topic).setGroupId(group).setInstanceId(instance).build();
        this.count = count;
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length < 3) {
            System.err.println("usage: Consume ADDRESS[,ADDRESS...] TOPIC GROUP [COUNT]");
            System.exit(2);
        }
        String[] addresses = arguments[0].split(",");
        int count = arguments.length > 3 ? Integer.parseInt(arguments[3]) : 0;
        Consume reader = new Consume(arguments[1], arguments[2], count);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            reader.leave();
            try {
                main.join(10_000);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        }));
        for (int at = 0; !reader.isLeaving(); at++) {
            Status status = reader.consume(addresses[at % addresses.length]);
            switch (status.getCode()) {
                case OK -> {
                    return;
                }
                case UNAVAILABLE, DEADLINE_EXCEEDED, UNKNOWN, CANCELLED -> System.err.println(status);
                default -> throw status.asRuntimeException();
            }
            Thread.sleep(100);
        }
    }

    /** Reads at one node for as long as that goes well; OK when it ended because this program wanted so. */
    private Status consume(String address) throws InterruptedException {
        ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
                .keepAliveTime(10, TimeUnit.SECONDS) // notice a node that vanished
                .build();
        try {
            CompletableFuture<Status> end = new CompletableFuture<>();
            open(RecordServiceGrpc.newStub(channel), end);
            return end.join();
        } finally {
            channel.shutdownNow();
            channel.awaitTermination(5, TimeUnit.SECONDS);
        }
    }

    private synchronized void open(RecordServiceGrpc.RecordServiceStub node, CompletableFuture<Status> end) {
        if (isLeaving) {
            end.complete(Status.OK);
            return;
        }
        requests = node.consume(new StreamObserver<>() {
            @Override
            public void onNext(ConsumeResponse response) {
                if (response.hasRecords()) {
                    process(response.getRecords());
                }
            }

            @Override
            public void onError(Throwable error) {
                end.complete(Status.fromThrowable(error));
            }

            @Override
            public void onCompleted() {
                end.complete(Status.OK);
            }
        });
        requests.onNext(ConsumeRequest.newBuilder().setSubscribe(subscribe).setCredit(CREDIT).build());
    }

    /** Deals with the records, then tells the node up to where, and that it may send as many more. */
    private synchronized void process(Records records) {
        if (isLeaving) {
            return; // not acknowledged: another member of the group gets it
        }
        Acknowledge.Builder done = Acknowledge.newBuilder();
        int credit = 0;
        for (PartitionRecords part : records.getPartitionsList()) {
            TopicPartitionOffset.Builder last =
                    TopicPartitionOffset.newBuilder().setTopic(part.getTopic()).setPartition(part.getPartition());
            for (ConsumedRecord record : part.getRecordsList()) {
                String value = record.getValue().toStringUtf8();
                System.out.println(part.getPartition() + " " + record.getOffset() + " " + value);
                seen.add(value);
                last.setOffset(record.getOffset());
            }
            done.addRecords(last);
            credit += part.getRecordsCount();
        }
        requests.onNext(ConsumeRequest.newBuilder().setAcknowledge(done).setCredit(credit).build());
        if (count > 0 && seen.size() >= count) {
            leave();
        }
    }

    /** Half-closes the stream: the node commits what was acknowledged, and ends it. */
    private synchronized void leave() {
        if (!isLeaving && requests != null) {
            requests.onCompleted();
        }
        isLeaving = true;
    }

    private synchronized boolean isLeaving() {
        return isLeaving;
    }
}
