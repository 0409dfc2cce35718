/*
 * Times what a guest's devices do: a disk, and a network. `/init` starts it when the modules are
 * loaded. It prints one line for each measurement:
 *
 *     io-disk-read-random-4k-32 iterations 5000 ns 12345678
 *
 * Iterations are requests, round trips, or blocks of a stream. The disk is read and written past the
 * kernel's cache (O_DIRECT), with requests in flight by io_submit(2).
 *
 *     io disk MILLISECONDS [NAME]     what has NAME in its name, each so long; 0 to count instructions
 *     io serve PORT                   answers `io ask` until that ends
 *     io ask WHAT ADDRESS PORT MILLISECONDS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    DEEPEST = 32,
    LARGEST = 128 * 1024,
    BLOCK = 64 * 1024,
    /* Nanoseconds of a slice. */
    SLICE = 25000000,
    /* Requests of a measurement where instructions are counted. */
    COUNTED = 256,
};

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Of the whole machine, under -icount. The kernel must let programs read the counter. */
static uint64_t instructions(void)
{
    uint64_t count;
    __asm__ volatile("rdinstret %0" : "=r"(count));
    return count;
}

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        _exit(1);
    }
}

static void result(const char *name, uint64_t iterations, uint64_t time)
{
    printf("%s iterations %llu ns %llu\n", name, (unsigned long long)iterations, (unsigned long long)time);
}

/* A linear congruential generator: Knuth's MMIX. */
static uint64_t random_number(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/* What a measurement gives: `iterations` took `time`. */
struct found {
    uint64_t iterations, time;
};

/*
 * Keeps `depth` requests of `size` bytes in flight for so many nanoseconds, and gives the slice of that
 * time with most requests in it: the machine has other things to do too. Without a span it makes
 * COUNTED requests, and gives the instructions of the machine.
 */
static struct found requests(int disk, int op, int random, uint64_t size, int depth, uint64_t span)
{
    static char *buffers;
    uint64_t blocks, place = 0;
    aio_context_t context = 0;
    struct iocb requests[DEEPEST], *next[DEEPEST];
    struct io_event events[DEEPEST];
    must(!ioctl(disk, BLKGETSIZE64, &blocks), "BLKGETSIZE64");
    blocks /= size;
    must(buffers || !posix_memalign((void **)&buffers, 4096, DEEPEST * LARGEST), "posix_memalign");
    must(!syscall(SYS_io_setup, DEEPEST, &context), "io_setup");
    for (int i = 0; i < depth; i++) {
        requests[i] = (struct iocb){
            .aio_lio_opcode = op, .aio_fildes = disk, .aio_buf = (uintptr_t)(buffers + i * LARGEST),
            .aio_nbytes = size, .aio_data = i,
        };
        next[i] = &requests[i];
    }
    struct found best = {0}, slice = {0};
    uint64_t (*clock)(void) = span ? now : instructions;
    uint64_t start = clock(), from = start, made = 0;
    for (int ready = depth, flying = 0, ends = 0; !ends || flying;) {
        if (!ends) {
            for (int i = 0; i < ready; i++)
                next[i]->aio_offset = (random ? random_number() : place++) % blocks * size;
            must(syscall(SYS_io_submit, context, ready, next) == ready, "io_submit");
            flying += ready;
        }
        ready = syscall(SYS_io_getevents, context, 1, depth, events, NULL);
        must(ready > 0, "io_getevents");
        for (int i = 0; i < ready; i++) {
            must((uint64_t)events[i].res == size, "a request");
            next[i] = &requests[events[i].data];
        }
        flying -= ready;
        made += ready;
        if (ends)
            continue;
        uint64_t time = clock();
        slice.iterations += ready;
        slice.time = time - from;
        ends = span ? time - start >= span : made >= COUNTED;
        if (slice.time >= SLICE || ends) {
            if (!best.iterations || best.time * slice.iterations > slice.time * best.iterations)
                best = slice;
            slice.iterations = 0;
            from = time;
        }
    }
    if (!span)
        best = (struct found){made, clock() - start};
    syscall(SYS_io_destroy, context);
    return best;
}

/* Firmware may have stopped the counter until somebody counts. */
static void start_counter(void)
{
    if (instructions() != instructions())
        return;
    struct perf_event_attr event = {
        .type = PERF_TYPE_HARDWARE, .size = sizeof event, .config = PERF_COUNT_HW_INSTRUCTIONS,
    };
    must(syscall(SYS_perf_event_open, &event, -1, 0, -1, 0) >= 0, "perf_event_open");
}

static void disk(uint64_t span, const char *filter)
{
    if (!span)
        start_counter();
    int file = open("/dev/vda", O_RDWR | O_DIRECT);
    must(file >= 0, "/dev/vda");
    for (int write = 0; write < 2; write++)
        for (int random = 0; random < 2; random++)
            for (int large = 0; large < 2; large++)
                for (int deep = 0; deep < 2; deep++) {
                    char name[64];
                    uint64_t size = large ? LARGEST : 4096;
                    int depth = deep ? DEEPEST : 1;
                    int op = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
                    snprintf(name, sizeof name, "io-disk-%s-%s-%dk-%d", write ? "write" : "read",
                             random ? "random" : "sequential", (int)size / 1024, depth);
                    if (!strstr(name, filter))
                        continue;
                    /* What is cold is found out first. */
                    requests(file, op, random, size, depth, span / 8);
                    struct found found = requests(file, op, random, size, depth, span);
                    result(name, found.iterations, found.time);
                }
}

static int endpoint(int type)
{
    int one = 1, end = socket(AF_INET, type, 0);
    must(end >= 0, "socket");
    setsockopt(end, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    return end;
}

/* Sends each datagram back, and tells how much each stream has brought. A stream without a byte ends it. */
static void serve(const char *port)
{
    static char block[BLOCK];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct sockaddr *address = (struct sockaddr *)&here;
    int datagrams = endpoint(SOCK_DGRAM), streams = endpoint(SOCK_STREAM);
    must(!bind(datagrams, address, sizeof here) && !bind(streams, address, sizeof here), "bind");
    must(!listen(streams, 1), "listen");
    if (!fork())
        for (;;) {
            struct sockaddr_in from;
            socklen_t size = sizeof from;
            ssize_t got = recvfrom(datagrams, block, sizeof block, 0, (struct sockaddr *)&from, &size);
            if (got > 0)
                sendto(datagrams, block, got, 0, (struct sockaddr *)&from, size);
        }
    for (uint64_t total = 1; total;) {
        int stream = accept(streams, NULL, NULL);
        must(stream >= 0, "accept");
        ssize_t got;
        for (total = 0; (got = read(stream, block, sizeof block)) > 0; total += got)
            ;
        must(write(stream, &total, sizeof total) == sizeof total, "write");
        close(stream);
    }
}

static uint64_t stream(const struct sockaddr_in *to, uint64_t span, uint64_t *count)
{
    static char block[BLOCK];
    int end = endpoint(SOCK_STREAM);
    while (connect(end, (const struct sockaddr *)to, sizeof *to))
        usleep(10000);
    uint64_t start = now(), sent = 0, total = 0;
    while (now() - start < span) {
        ssize_t put = write(end, block, sizeof block);
        must(put > 0, "write");
        sent += put;
    }
    shutdown(end, SHUT_WR);
    must(read(end, &total, sizeof total) == sizeof total && total == sent, "the stream");
    uint64_t time = now() - start;
    close(end);
    *count = sent / BLOCK;
    return time;
}

/* One byte there and back, in turn; one that is lost does not count. */
static uint64_t round_trips(const struct sockaddr_in *to, uint64_t span, uint64_t *count)
{
    int end = endpoint(SOCK_DGRAM);
    struct timeval limit = {.tv_usec = 200000};
    char byte = 0;
    must(!setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "SO_RCVTIMEO");
    must(!connect(end, (const struct sockaddr *)to, sizeof *to), "connect");
    /* The other side may not be there yet. */
    do {
        if (send(end, &byte, 1, 0) < 0)
            usleep(10000);
    } while (recv(end, &byte, 1, 0) != 1);
    uint64_t time = 0;
    for (*count = 0; time < span;) {
        uint64_t start = now();
        if (send(end, &byte, 1, 0) == 1 && recv(end, &byte, 1, 0) == 1) {
            time += now() - start;
            ++*count;
        }
    }
    close(end);
    return time;
}

static void ask(const char *what, const char *address, const char *port, uint64_t span)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    char name[64];
    uint64_t count;
    must(inet_aton(address, &to.sin_addr), address);
    uint64_t time = round_trips(&to, span, &count);
    snprintf(name, sizeof name, "io-net-%s-round-trip", what);
    result(name, count, time);
    time = stream(&to, span, &count);
    snprintf(name, sizeof name, "io-net-%s-stream-64k", what);
    result(name, count, time);
    stream(&to, 0, &count);
}

int main(int count, char **words)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    must(count > 1, "usage");
    if (!strcmp(words[1], "disk") && count > 2)
        disk(strtoull(words[2], NULL, 10) * 1000000, count > 3 ? words[3] : "");
    else if (!strcmp(words[1], "ask") && count > 5)
        ask(words[2], words[3], words[4], strtoull(words[5], NULL, 10) * 1000000);
    else if (!strcmp(words[1], "serve") && count > 2)
        serve(words[2]);
    puts("io measurements end");
    return 0;
}
