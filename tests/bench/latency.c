/* End to end latency at a fixed rate: the time from when a record was due to be sent until a consumer holds it.
 *
 *   latency --port P --topic T --offset O --rate R --seconds S --warmup W --record-size B
 *
 * One connection produces single records (acks=all, no linger) on an open-loop schedule, so that a stall counts against
 * every record that it delays; another long-polls partition 0 with min_bytes=1. The time due travels in the payload.
 * Prints one JSON object: end_to_end_ms and ack_ms.
 */
#include "wire.h"

#include <sys/timerfd.h>

enum { PRODUCER = 0, CONSUMER = 1, TIMER = 2, ROOM = 4 << 20 };

struct stream {
    int fd;
    uint8_t *in, *out;
    size_t in_size, out_size;
};

static struct stream open_stream(int port) {
    struct stream s = {.fd = connect_loopback(port), .in = malloc(ROOM), .out = malloc(ROOM)};
    if (!s.in || !s.out) die("malloc");
    return s;
}

static void queue(struct stream *s, const uint8_t *data, size_t size) {
    if (s->out_size + size > ROOM) die("the broker does not keep up: send buffer full");
    memcpy(s->out + s->out_size, data, size);
    s->out_size += size;
}

static void flush(int epoll, struct stream *s, uint64_t tag) {
    while (s->out_size) {
        ssize_t n = send(s->fd, s->out, s->out_size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) die("send");
        s->out_size -= (size_t)n;
        memmove(s->out, s->out + n, s->out_size);
    }
    watch(epoll, s->fd, EPOLLIN | (s->out_size ? EPOLLOUT : 0), tag, EPOLL_CTL_MOD);
}

static void receive(struct stream *s) {
    ssize_t n = recv(s->fd, s->in + s->in_size, ROOM - s->in_size, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("recv");
    s->in_size += (size_t)n;
}

/* The next whole frame (from its correlation id on), or NULL. */
static uint8_t *next_frame(const struct stream *s, size_t *used, size_t *size) {
    if (s->in_size - *used < 4) return NULL;
    *size = get32(s->in + *used);
    if (*size > ROOM - 4) die("frame too large");
    if (s->in_size - *used < 4 + *size) return NULL;
    uint8_t *frame = s->in + *used + 4;
    *used += 4 + *size;
    return frame;
}

static void drop(struct stream *s, size_t used) {
    s->in_size -= used;
    memmove(s->in, s->in + used, s->in_size);
}

static void queue_fetch(struct stream *s, const char *topic, uint64_t offset) {
    uint8_t frame[512], *correlation;
    uint8_t *p = put_request_header(frame + 4, 1, 4, &correlation);
    put32(correlation, 1);
    put32(p, 0xFFFFFFFFu);     /* replica id */
    put32(p + 4, 500);         /* max wait */
    put32(p + 8, 1);           /* min bytes */
    put32(p + 12, 1 << 20);    /* max bytes */
    p[16] = 0;                 /* read uncommitted */
    put32(p + 17, 1);
    p = put_string(p + 21, topic);
    put32(p, 1);
    put32(p + 4, 0);           /* partition 0 */
    put64(p + 8, offset);
    put32(p + 16, 1 << 20);
    put32(frame, (uint32_t)(p + 20 - frame - 4));
    queue(s, frame, (size_t)(p + 20 - frame));
}

/* Take the records of a Fetch v4 answer; returns the next offset to fetch. */
static uint64_t take_records(const uint8_t *frame, uint64_t offset, uint64_t from, struct samples *samples) {
    uint64_t now = now_ns();
    const uint8_t *p = frame + 4 + 4 + 4;
    p += 2 + get16(p) + 4 + 4;
    int error = (int16_t)get16(p);
    if (error) {
        fprintf(stderr, "fetch answered error %d\n", error);
        exit(1);
    }
    p += 2 + 8 + 8;
    int32_t aborted = (int32_t)get32(p);
    p += 4 + (aborted > 0 ? aborted * 16 : 0);
    int32_t size = (int32_t)get32(p);
    const uint8_t *end = p + 4 + (size > 0 ? size : 0);
    for (p += 4; p + BATCH_HEADER <= end && p + 12 + get32(p + 8) <= end; p += 12 + get32(p + 8)) {
        uint64_t base = get64(p), count = get32(p + 57);
        const uint8_t *r = p + BATCH_HEADER;
        for (uint64_t i = 0; i < count; i++) {
            int64_t length, skip;
            r = get_varint(r, &length);
            const uint8_t *next = r + length;
            for (int field = 0; field < 4; field++) r = get_varint(field ? r : r + 1, &skip);
            uint64_t due = get64(r);
            if (base + i >= offset && due >= from) add_sample(samples, now - due);
            r = next;
        }
        if (base + get32(p + 23) + 1 > offset) offset = base + get32(p + 23) + 1;
    }
    return offset;
}

int main(int argc, char **argv) {
    int port = atoi(option(argc, argv, "--port", NULL));
    const char *topic = option(argc, argv, "--topic", NULL);
    uint64_t offset = strtoull(option(argc, argv, "--offset", "0"), NULL, 10);
    double rate = atof(option(argc, argv, "--rate", "1000"));
    double seconds = atof(option(argc, argv, "--seconds", "8"));
    double warmup = atof(option(argc, argv, "--warmup", "3"));
    size_t size = (size_t)atoi(option(argc, argv, "--record-size", "100"));
    if (size < 8) die("--record-size under 8");
    crc_init();

    struct stream streams[2] = {open_stream(port), open_stream(port)};
    struct stream *producer = &streams[PRODUCER], *consumer = &streams[CONSUMER];
    struct produce_frame frame = make_produce(topic, 0, size);
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    if (epoll < 0 || timer < 0) die("set up");
    watch(epoll, producer->fd, EPOLLIN, PRODUCER, EPOLL_CTL_ADD);
    watch(epoll, consumer->fd, EPOLLIN, CONSUMER, EPOLL_CTL_ADD);
    watch(epoll, timer, EPOLLIN, TIMER, EPOLL_CTL_ADD);
    queue_fetch(consumer, topic, offset);
    flush(epoll, consumer, CONSUMER);

    uint64_t total = (uint64_t)(rate * (warmup + seconds)), sent = 0, acked = 0, end_offset = offset + total;
    uint64_t *due = malloc(total * sizeof *due);
    if (!due) die("malloc");
    uint64_t start = now_ns() + 50000000u, from = start + (uint64_t)(warmup * 1e9);
    for (uint64_t i = 0; i < total; i++) due[i] = start + (uint64_t)((double)i * 1e9 / rate);
    uint64_t give_up = due[total - 1] + 15000000000u;
    struct samples end_to_end = {0}, ack = {0};
    while (offset < end_offset || acked < total) {
        uint64_t now = now_ns();
        if (now > give_up) die("records are missing 15 s after the last was due");
        int queued = 0;
        for (; sent < total && due[sent] <= now; sent++, queued = 1) {
            put64(frame.payload, due[sent]);
            put32(frame.correlation, (uint32_t)sent);
            seal_produce(&frame);
            queue(producer, frame.data, frame.size);
        }
        if (queued) flush(epoll, producer, PRODUCER);
        if (sent < total) {
            struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due[sent] / 1000000000u),
                                                 .tv_nsec = (long)(due[sent] % 1000000000u)}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        }
        struct epoll_event events[3];
        int ready = epoll_wait(epoll, events, 3, 1000);
        for (int i = 0; i < ready; i++) {
            uint64_t tag = events[i].data.u64;
            if (tag == TIMER) {
                uint64_t ticks;
                if (read(timer, &ticks, sizeof ticks) < 0) die("timer");
                continue;
            }
            struct stream *s = &streams[tag];
            if (events[i].events & EPOLLOUT) flush(epoll, s, tag);
            if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            receive(s);
            size_t used = 0, length;
            for (uint8_t *answer; (answer = next_frame(s, &used, &length));) {
                if (tag == CONSUMER) {
                    offset = take_records(answer, offset, from, &end_to_end);
                    queue_fetch(s, topic, offset);
                    flush(epoll, s, tag);
                    continue;
                }
                int error = produce_error(answer);
                if (error || get32(answer) != (uint32_t)acked) {
                    fprintf(stderr, "produce answered error %d\n", error);
                    exit(1);
                }
                if (due[acked] >= from) add_sample(&ack, now_ns() - due[acked]);
                acked++;
            }
            drop(s, used);
        }
    }
    printf("{");
    print_samples("end_to_end_ms", &end_to_end);
    printf(", ");
    print_samples("ack_ms", &ack);
    printf("}\n");
    return 0;
}
