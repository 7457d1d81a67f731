package dev.odradek.examples;

import com.google.protobuf.ByteString;
import dev.odradek.v1.PublishRequest;
import dev.odradek.v1.Record;
import dev.odradek.v1.RecordServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Writes the numbers 0 to COUNT-1, each exactly once, whatever happens to the nodes meanwhile. */
public final class Produce {
    private static final int RECORDS_PER_REQUEST = 100;
    private static final int KEYS = 100;
    private static final int DEADLINE_S = 10;

    private final String[] addresses;
    private int at = 0;
    private ManagedChannel channel;

    private Produce(String[] addresses) {
        this.addresses = addresses;
        this.channel = connect();
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length < 3) {
            System.err.println("usage: Produce ADDRESS[,ADDRESS...] TOPIC COUNT [NAME]");
            System.exit(2);
        }
        Produce sender = new Produce(arguments[0].split(","));
        int count = Integer.parseInt(arguments[2]);
        String name = arguments.length > 3 ? arguments[3] : UUID.randomUUID().toString();
        for (int first = 0; first < count; first += RECORDS_PER_REQUEST) {
            int last = Math.min(first + RECORDS_PER_REQUEST, count) - 1;
            PublishRequest.Builder request =
                    PublishRequest.newBuilder().setTopic(arguments[1]).setProducerName(name).setSequence(first);
            for (int number = first; number <= last; number++) {
                request.addRecords(Record.newBuilder()
                        .setKey(ByteString.copyFromUtf8(Integer.toString(number % KEYS)))
                        .setValue(ByteString.copyFromUtf8(Integer.toString(number))));
            }
            sender.send(request.build());
            System.out.println("acknowledged " + first + " " + last);
        }
        sender.channel.shutdownNow();
    }

    /** Repeats a request until it is acknowledged: its name and sequence tell the nodes that it is the same one. */
    private void send(PublishRequest request) throws InterruptedException {
        while (true) {
            try {
                RecordServiceGrpc.newBlockingStub(channel)
                        .withDeadlineAfter(DEADLINE_S, TimeUnit.SECONDS)
                        .publish(request);
                return;
            } catch (StatusRuntimeException error) {
                switch (error.getStatus().getCode()) {
                    case UNAVAILABLE, DEADLINE_EXCEEDED, UNKNOWN, CANCELLED -> goOn(error);
                    default -> throw error;
                }
            }
        }
    }

    private void goOn(StatusRuntimeException error) throws InterruptedException {
        System.err.println(addresses[at] + ": " + error.getMessage());
        channel.shutdownNow();
        at = (at + 1) % addresses.length;
        channel = connect();
        Thread.sleep(100);
    }

    private ManagedChannel connect() {
        return Grpc.newChannelBuilder(addresses[at], InsecureChannelCredentials.create()).build();
    }
}
