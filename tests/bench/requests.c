/* One-record Produce requests over N connections, one in flight on each: how many small requests a broker answers.
 *
 *   requests --port P --topic T --partitions K --connections N --seconds S --warmup W --record-size B
 *
 * Prints one JSON object: requests_per_s and the latency of an answer in ms. An error code in an answer ends the run.
 */
#include "wire.h"

struct connection {
    int fd;
    struct produce_frame frame;
    size_t sent, received;
    uint8_t answer[512];
    uint64_t started;
    uint32_t correlation;
};

static void send_more(struct connection *c) {
    while (c->sent < c->frame.size) {
        ssize_t n = send(c->fd, c->frame.data + c->sent, c->frame.size - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) die("send");
        c->sent += (size_t)n;
    }
}

static void begin(struct connection *c) {
    put32(c->frame.correlation, ++c->correlation);
    c->sent = c->received = 0;
    c->started = now_ns();
    send_more(c);
}

/* True when the whole answer is there. */
static int receive_more(struct connection *c) {
    ssize_t n = recv(c->fd, c->answer + c->received, sizeof c->answer - c->received, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) die("recv");
    c->received += (size_t)n;
    if (c->received < 4 || c->received < 4 + get32(c->answer)) return 0;
    if (get32(c->answer + 4) != c->correlation) die("correlation id");
    int error = produce_error(c->answer + 4);
    if (error) {
        fprintf(stderr, "produce answered error %d\n", error);
        exit(1);
    }
    return 1;
}

int main(int argc, char **argv) {
    int port = atoi(option(argc, argv, "--port", NULL));
    int count = atoi(option(argc, argv, "--connections", "20"));
    int partitions = atoi(option(argc, argv, "--partitions", "6"));
    double seconds = atof(option(argc, argv, "--seconds", "8"));
    double warmup = atof(option(argc, argv, "--warmup", "3"));
    size_t size = (size_t)atoi(option(argc, argv, "--record-size", "100"));
    const char *topic = option(argc, argv, "--topic", NULL);
    crc_init();

    int epoll = epoll_create1(0);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    struct epoll_event *events = calloc((size_t)count, sizeof *events);
    if (epoll < 0 || !connections || !events) die("set up");
    for (int i = 0; i < count; i++) {
        struct connection *c = &connections[i];
        c->fd = connect_loopback(port);
        c->frame = make_produce(topic, (uint32_t)(i % partitions), size);
        watch(epoll, c->fd, EPOLLIN, (uint64_t)i, EPOLL_CTL_ADD);
    }

    struct samples latency = {0};
    uint64_t from = now_ns() + (uint64_t)(warmup * 1e9), until = from + (uint64_t)(seconds * 1e9), now = 0;
    for (int i = 0; i < count; i++) begin(&connections[i]);
    while (now < until) {
        int ready = epoll_wait(epoll, events, count, 1000);
        now = now_ns();
        if (!ready) die("no answer for a second");
        for (int i = 0; i < ready; i++) {
            struct connection *c = &connections[events[i].data.u64];
            if (c->sent < c->frame.size) send_more(c);
            if (!receive_more(c)) continue;
            now = now_ns();
            if (now >= from) add_sample(&latency, now - c->started);
            begin(c);
        }
    }
    printf("{\"requests_per_s\": %.1f, ", (double)latency.count / ((double)(now - from) / 1e9));
    print_samples("latency_ms", &latency);
    printf("}\n");
    return 0;
}
