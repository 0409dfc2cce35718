/*
 * Times what a guest's network does. `/init` starts it when the modules are loaded. It prints one line
 * for each measurement:
 *
 *     io-net-guest-round-trip iterations 5000 ns 12345678
 *
 * Iterations are round trips, or blocks of a stream.
 *
 *     io serve PORT                   answers `io ask` until that ends
 *     io ask WHAT ADDRESS PORT MILLISECONDS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK = 64 * 1024,
};

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
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
    if (!strcmp(words[1], "ask") && count > 5)
        ask(words[2], words[3], words[4], strtoull(words[5], NULL, 10) * 1000000);
    else if (!strcmp(words[1], "serve") && count > 2)
        serve(words[2]);
    puts("io measurements end");
    return 0;
}
