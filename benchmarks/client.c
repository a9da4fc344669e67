/* The client of loops.py: closed loops over epoll, on a core of its own, so that it is the server that is measured.
 *
 *     client CORE PORT IDLE ACTIVE SIZE
 *
 * Opens IDLE connections that stay silent and ACTIVE ones that will not, says how long that took ("ready SECONDS"), then
 * obeys lines of standard input, each answered with one line:
 *
 *     echo MS         each active connection sends SIZE bytes, waits for them, sends again
 *                     -> requests seconds p50_us p99_us max_us p50_others p99_others: how many others were served while one waited,
 *                        which says how fair the server is, however the machine disturbs the clock
 *     bulk MS         each active connection sends all it can and reads all it gets, at most WINDOW behind
 *                     -> bytes seconds
 *     churn MS WIDTH  connect, one echo, close; WIDTH at once
 *                     -> connections seconds
 *     slow MS RATE    the first active connection sends all it can, reads RATE bytes a second; the second one plays
 *                     ping-pong meanwhile
 *                     -> bytes_taken seconds pings p50_us p99_us max_us
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOTS (1 << 20)     /* of the histogram, a microsecond each; what is longer goes into the last */
#define WINDOW (4 << 20)    /* bytes that a bulk connection may be ahead of its echo */
#define CHUNK (256 << 10)
#define STEP 256            /* after so many connects one echo: the server's queue of 1,024 never overflows */
#define SLOW_LIMIT (512LL << 20)
#define SOURCES 200         /* churn comes from 127.0.1.1 .. 127.0.1.200: ports in TIME_WAIT never run out */

struct conn {
    int fd, got, want_out;
    long long sent, received, served_before;
    double began;
};

static char buffer[CHUNK];
static uint32_t histogram[SLOTS], others[SLOTS];
static int port, size;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void count(uint32_t *histogram, long long slot) {
    histogram[slot < SLOTS ? slot : SLOTS - 1]++;
}

static void note(double seconds) {
    count(histogram, (long long)(seconds * 1e6));
}

static void percentiles(uint32_t *histogram, double *p50, double *p99, double *max) {
    uint64_t all = 0, seen = 0;
    *p50 = *p99 = *max = -1;
    for (int i = 0; i < SLOTS; i++) all += histogram[i];
    for (int i = 0; i < SLOTS; i++) {
        if (!histogram[i]) continue;
        seen += histogram[i];
        if (*p50 < 0 && seen * 2 >= all) *p50 = i;
        if (*p99 < 0 && seen * 100 >= all * 99) *p99 = i;
        *max = i;
    }
}

static int fcntl_nonblock(int fd) { return fcntl(fd, F_SETFL, O_NONBLOCK); }

static int open_connection(int blocking, int from) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (from) {
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000100 + from)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&source, sizeof source)) die("bind");
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    if (!blocking && fcntl_nonblock(fd)) die("fcntl");
    return fd;
}

static void one_echo(int fd) {
    char byte = 'x';
    if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1) die("the server did not echo");
}

static void watch(int epoll, int verb, struct conn *c, uint32_t bits) {
    struct epoll_event event = {.events = bits, .data.ptr = c};
    if (epoll_ctl(epoll, verb, c->fd, &event)) die("epoll_ctl");
}

static void request(struct conn *c) {
    c->got = 0;
    c->began = now();
    if (send(c->fd, buffer, size, MSG_NOSIGNAL) != size) die("send");
}

/* One event of a ping-pong; 1 if an echo is complete. */
static int reply(struct conn *c) {
    ssize_t got = recv(c->fd, buffer, CHUNK, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) die("recv");
    c->got += got;
    return c->got >= size;
}

static void run_echo(struct conn *conns, int width, int ms) {
    struct epoll_event events[1024];
    int epoll = epoll_create1(0), running = width;
    long long requests = 0;
    double began = now(), end = began + ms * 1e-3, p50, p99, max, o50, o99, omax;
    memset(histogram, 0, sizeof histogram);
    memset(others, 0, sizeof others);
    for (int i = 0; i < width; i++) watch(epoll, EPOLL_CTL_ADD, &conns[i], EPOLLIN);
    for (int i = 0; i < width; i++) {
        conns[i].served_before = 0;
        request(&conns[i]);
    }
    while (running) {
        int n = epoll_wait(epoll, events, 1024, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!reply(c)) continue;
            double t = now();
            note(t - c->began);
            count(others, requests - c->served_before);
            c->served_before = ++requests;
            if (t < end) request(c);
            else running--;
        }
    }
    double seconds = now() - began;
    close(epoll);
    percentiles(histogram, &p50, &p99, &max);
    percentiles(others, &o50, &o99, &omax);
    printf("%lld %.6f %.0f %.0f %.0f %.0f %.0f\n", requests, seconds, p50, p99, max, o50, o99);
}

static void run_bulk(struct conn *conns, int count, int ms) {
    struct epoll_event events[64];
    int epoll = epoll_create1(0), running = count;
    long long bytes = 0;
    double began = now(), end = began + ms * 1e-3;
    for (int i = 0; i < count; i++) {
        conns[i].sent = conns[i].received = 0;
        conns[i].want_out = 1;
        watch(epoll, EPOLL_CTL_ADD, &conns[i], EPOLLIN | EPOLLOUT);
    }
    while (running) {
        int n = epoll_wait(epoll, events, 64, 1000);
        int over = now() >= end;
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLIN) {
                ssize_t got = recv(c->fd, buffer, CHUNK, 0);
                if (got <= 0) die("recv");
                c->received += got;
                bytes += got;
            }
            if (!over && events[i].events & EPOLLOUT && c->sent - c->received < WINDOW) {
                ssize_t sent = send(c->fd, buffer, CHUNK, MSG_NOSIGNAL);
                if (sent > 0) c->sent += sent;
                else if (errno != EAGAIN) die("send");
            }
            int want = !over && c->sent - c->received < WINDOW;
            if (want != c->want_out) {
                c->want_out = want;
                watch(epoll, EPOLL_CTL_MOD, c, want ? EPOLLIN | EPOLLOUT : EPOLLIN);
            }
            if (over && c->sent == c->received) {
                watch(epoll, EPOLL_CTL_DEL, c, 0);
                running--;
            }
        }
    }
    double seconds = now() - began;
    close(epoll);
    printf("%lld %.6f\n", bytes, seconds);
}

static void run_churn(int ms, int width) {
    struct epoll_event events[256];
    struct conn *conns = calloc(width, sizeof *conns);
    int epoll = epoll_create1(0), running = width, from = 0;
    long long connections = 0;
    double began = now(), end = began + ms * 1e-3;
    for (int i = 0; i < width; i++) {
        conns[i].fd = open_connection(0, 1 + from++ % SOURCES);
        watch(epoll, EPOLL_CTL_ADD, &conns[i], EPOLLIN);
        request(&conns[i]);
    }
    while (running) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!reply(c)) continue;
            close(c->fd);
            connections++;
            if (now() >= end) {
                running--;
                continue;
            }
            c->fd = open_connection(0, 1 + from++ % SOURCES);
            watch(epoll, EPOLL_CTL_ADD, c, EPOLLIN);
            request(c);
        }
    }
    double seconds = now() - began;
    close(epoll);
    free(conns);
    printf("%lld %.6f\n", connections, seconds);
}

static void run_slow(struct conn *conns, int ms, double rate) {
    struct epoll_event events[8];
    struct conn *slow = &conns[0], *ping = &conns[1];
    int epoll = epoll_create1(0), full = 0;
    long long pings = 0;
    double began = now(), end = began + ms * 1e-3, t = began, p50, p99, max;
    memset(histogram, 0, sizeof histogram);
    slow->sent = slow->received = 0;
    watch(epoll, EPOLL_CTL_ADD, ping, EPOLLIN);
    request(ping);
    while (t < end) {
        /* A millisecond of sending, then the ration of reading; the ping-pong is served all the while. */
        if (slow->sent < SLOW_LIMIT) {
            ssize_t sent = send(slow->fd, buffer, CHUNK, MSG_NOSIGNAL);
            full = sent < 0;
            if (sent > 0) slow->sent += sent;
            else if (errno != EAGAIN) die("send");
        }
        long long ration = (long long)((t - began) * rate) - slow->received;
        if (ration > 4096) {
            ssize_t got = recv(slow->fd, buffer, ration < CHUNK ? ration : CHUNK, 0);
            if (got > 0) slow->received += got;
        }
        int n = epoll_wait(epoll, events, 8, full ? 1 : 0);
        for (int i = 0; i < n; i++) {
            if (!reply(ping)) continue;
            t = now();
            note(t - ping->began);
            pings++;
            request(ping);
        }
        t = now();
    }
    note(t - ping->began); /* the one under way: a server that hangs is not let off */
    close(epoll);
    percentiles(histogram, &p50, &p99, &max);
    printf("%lld %.6f %lld %.0f %.0f %.0f\n", slow->sent, t - began, pings, p50, p99, max);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: client CORE PORT IDLE ACTIVE SIZE\n");
        return 2;
    }
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(atoi(argv[1]), &cores);
    sched_setaffinity(0, sizeof cores, &cores);
    port = atoi(argv[2]);
    int idle = atoi(argv[3]), active = atoi(argv[4]);
    size = atoi(argv[5]);
    struct conn *conns = calloc(active + 1, sizeof *conns);
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(buffer, 'x', sizeof buffer);

    double began = now();
    for (int i = 1; i <= idle + active; i++) {
        int fd = open_connection(1, 0);
        if (i % STEP == 0 || i == idle + active) one_echo(fd);
        if (i > idle) {
            if (fcntl_nonblock(fd)) die("fcntl");
            conns[i - idle - 1].fd = fd;
        }
    }
    printf("ready %.6f\n", now() - began);

    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        int ms, width;
        double rate;
        if (sscanf(line, "echo %d", &ms) == 1) run_echo(conns, active, ms);
        else if (sscanf(line, "bulk %d", &ms) == 1) run_bulk(conns, active, ms);
        else if (sscanf(line, "churn %d %d", &ms, &width) == 2) run_churn(ms, width);
        else if (sscanf(line, "slow %d %lf", &ms, &rate) == 2) run_slow(conns, ms, rate);
        else return 2;
    }
    return 0;
}
