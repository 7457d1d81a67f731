/* The part of the Kafka protocol that the load generators speak: Produce v7, Fetch v4, record batch v2.
 * Loopback only, blocking connect, then non-blocking sockets driven by epoll.
 */
#ifndef ODRADEK_BENCH_WIRE_H
#define ODRADEK_BENCH_WIRE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- big endian ---- */

static inline void put16(uint8_t *p, uint16_t v) { p[0] = v >> 8; p[1] = (uint8_t)v; }
static inline void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16); put16(p + 2, (uint16_t)v); }
static inline void put64(uint8_t *p, uint64_t v) { put32(p, v >> 32); put32(p + 4, (uint32_t)v); }
static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline uint64_t get64(const uint8_t *p) { return (uint64_t)get32(p) << 32 | get32(p + 4); }

/* ---- CRC-32C, table driven: one batch of 100 B costs well under a microsecond ---- */

static uint32_t crc_table[256];

static inline void crc_init(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}

static inline uint32_t crc32c(const uint8_t *p, size_t n) {
    uint32_t c = 0xFFFFFFFFu;
    while (n--) c = crc_table[(c ^ *p++) & 0xFF] ^ (c >> 8);
    return ~c;
}

/* ---- varints: zig-zag, as the fields of a record are ---- */

static inline size_t put_varint(uint8_t *p, int64_t value) {
    uint64_t v = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    size_t n = 0;
    for (; v > 0x7F; v >>= 7) p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

static inline const uint8_t *get_varint(const uint8_t *p, int64_t *value) {
    uint64_t v = 0;
    int shift = 0;
    for (; *p & 0x80; p++, shift += 7) v |= (uint64_t)(*p & 0x7F) << shift;
    v |= (uint64_t)*p++ << shift;
    *value = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
    return p;
}

/* ---- frames ---- */

enum { BATCH_HEADER = 61, CRC_FROM = 21, MAX_PAYLOAD = 1 << 20 };

/* A produce frame of one record. `payload` points into it; call seal_produce() after changing the payload. */
struct produce_frame {
    uint8_t *data;
    size_t size;
    uint8_t *correlation;
    uint8_t *batch;
    size_t batch_size;
    uint8_t *payload;
};

static inline uint8_t *put_string(uint8_t *p, const char *s) {
    size_t n = strlen(s);
    put16(p, (uint16_t)n);
    memcpy(p + 2, s, n);
    return p + 2 + n;
}

static inline uint8_t *put_request_header(uint8_t *p, uint16_t key, uint16_t version, uint8_t **correlation) {
    put16(p, key);
    put16(p + 2, version);
    *correlation = p + 4;
    return put_string(p + 8, "bench");
}

static inline void seal_produce(struct produce_frame *f) {
    put32(f->batch + 17, crc32c(f->batch + CRC_FROM, f->batch_size - CRC_FROM));
}

static inline struct produce_frame make_produce(const char *topic, uint32_t partition, size_t payload) {
    struct produce_frame f = {0};
    f.data = calloc(1, payload + strlen(topic) + 256);
    if (!f.data) die("calloc");
    uint8_t *p = put_request_header(f.data + 4, 0, 7, &f.correlation);
    put16(p, 0xFFFF);              /* transactional id: null */
    put16(p + 2, 0xFFFF);          /* acks: all */
    put32(p + 4, 30000);           /* timeout */
    put32(p + 8, 1);               /* one topic */
    p = put_string(p + 12, topic);
    put32(p, 1);                   /* one partition */
    put32(p + 4, partition);
    uint8_t *records_size = p + 8;
    f.batch = p + 12;

    uint8_t head[32];              /* record: attributes, deltas, key (null), value length */
    size_t n = 0;
    head[n++] = 0;
    n += put_varint(head + n, 0);
    n += put_varint(head + n, 0);
    n += put_varint(head + n, -1);
    n += put_varint(head + n, (int64_t)payload);
    uint8_t *r = f.batch + BATCH_HEADER;
    r += put_varint(r, (int64_t)(n + payload + 1));
    memcpy(r, head, n);
    f.payload = r + n;
    for (size_t i = 0; i < payload; i++) f.payload[i] = (uint8_t)('a' + i % 26);
    f.payload[payload] = 0;        /* no headers */
    f.batch_size = (size_t)(f.payload + payload + 1 - f.batch);

    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t ms = (uint64_t)wall.tv_sec * 1000u + (uint64_t)wall.tv_nsec / 1000000u;
    put64(f.batch, 0);
    put32(f.batch + 8, (uint32_t)(f.batch_size - 12));
    put32(f.batch + 12, 0xFFFFFFFFu);   /* partition leader epoch */
    f.batch[16] = 2;
    put16(f.batch + 21, 0);             /* attributes */
    put32(f.batch + 23, 0);             /* last offset delta */
    put64(f.batch + 27, ms);
    put64(f.batch + 35, ms);
    put64(f.batch + 43, ~0ull);         /* no producer id */
    put16(f.batch + 51, 0xFFFF);
    put32(f.batch + 53, 0xFFFFFFFFu);
    put32(f.batch + 57, 1);
    put32(records_size, (uint32_t)f.batch_size);
    f.size = (size_t)(f.batch + f.batch_size - f.data);
    put32(f.data, (uint32_t)(f.size - 4));
    seal_produce(&f);
    return f;
}

/* Error code of a Produce v7 answer of one partition; `frame` begins at the correlation id. */
static inline int produce_error(const uint8_t *frame) {
    size_t name = get16(frame + 8);
    return (int16_t)get16(frame + 10 + name + 8);
}

/* ---- sockets ---- */

static inline int connect_loopback(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static inline void watch(int epoll, int fd, uint32_t events, uint64_t tag, int op) {
    struct epoll_event event = {.events = events, .data = {.u64 = tag}};
    if (epoll_ctl(epoll, op, fd, &event) < 0) die("epoll_ctl");
}

/* ---- latencies: every sample is kept, so the quantiles are exact ---- */

struct samples {
    uint64_t *ns;
    size_t count, room;
};

static inline void add_sample(struct samples *s, uint64_t ns) {
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 1 << 16;
        s->ns = realloc(s->ns, s->room * sizeof *s->ns);
        if (!s->ns) die("realloc");
    }
    s->ns[s->count++] = ns;
}

static inline int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static inline void print_samples(const char *name, struct samples *s) {
    double sum = 0;
    if (!s->count) die("no sample");
    qsort(s->ns, s->count, sizeof *s->ns, by_size);
    for (size_t i = 0; i < s->count; i++) sum += (double)s->ns[i];
    printf("\"%s\": {\"mean\": %.6f", name, sum / (double)s->count / 1e6);
    const struct { const char *name; double q; } points[] = {{"p50", .5}, {"p99", .99}, {"p99.9", .999}, {"max", 1}};
    for (size_t i = 0; i < 4; i++) {
        size_t at = (size_t)(points[i].q * (double)s->count);
        if (at >= s->count) at = s->count - 1;
        printf(", \"%s\": %.6f", points[i].name, (double)s->ns[at] / 1e6);
    }
    printf("}");
}

static inline const char *option(int argc, char **argv, const char *name, const char *fallback) {
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name)) return argv[i + 1];
    if (!fallback) {
        fprintf(stderr, "%s is missing\n", name);
        exit(2);
    }
    return fallback;
}

#endif
