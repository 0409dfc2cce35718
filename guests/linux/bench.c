/*
 * Times what programs ask of a kernel, and what they do without it. It is the first process of an
 * initramfs: it prints one line for each measurement and powers off.
 *
 *     linux-getpid iterations 20000 ns 12345678
 *
 * Each measurement is a batch of a few milliseconds that is repeated; the batch that took least
 * counts, for the host has other things to do too. A first batch, which is not counted, finds everything cold. Under QEMU's
 * -icount shift=0 a nanosecond is an instruction.
 *
 * On a machine with several harts it measures the parallel work alone, which wants them.
 *
 * Arguments (after "--" on the kernel's command line): the batches to run at most, and words of
 * which a measurement's name must contain one.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    /* A measurement that takes longer ends after LEAST batches, in nanoseconds. */
    BUDGET = 300000000,
    LEAST = 2,
    COPIED = 64 * 1024,
    LOOP = 1000,
    /* The parallel work: so many parts with a barrier after each, of so many steps that the workers share. */
    PARTS = 4,
    STEPS = 128,
    WORKERS = 2,
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

static uint64_t system_call(unsigned count)
{
    uint64_t start = now();
    while (count--)
        syscall(SYS_getpid);
    return now() - start;
}

/* One byte to another process and back. */
static uint64_t pipe_round_trip(unsigned count)
{
    int to[2], from[2];
    char byte = 0;
    must(!pipe(to) && !pipe(from), "pipe");
    pid_t child = fork();
    must(child >= 0, "fork");
    if (!child) {
        close(to[1]);
        while (read(to[0], &byte, 1) == 1)
            must(write(from[1], &byte, 1) == 1, "write");
        _exit(0);
    }
    uint64_t start = now();
    while (count--) {
        must(write(to[1], &byte, 1) == 1, "write");
        must(read(from[0], &byte, 1) == 1, "read");
    }
    uint64_t time = now() - start;
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    waitpid(child, NULL, 0);
    return time;
}

static uint64_t fork_exit(unsigned count)
{
    uint64_t start = now();
    while (count--) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    return now() - start;
}

/* Executes this program again, which ends at once for want of being the first process. */
static uint64_t fork_exec(unsigned count)
{
    uint64_t start = now();
    while (count--) {
        int status;
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child) {
            execl("/init", "init", NULL);
            _exit(1);
        }
        waitpid(child, &status, 0);
        must(WIFEXITED(status) && !WEXITSTATUS(status), "exec");
    }
    return now() - start;
}

static char *pages(unsigned count)
{
    char *place = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(place != MAP_FAILED, "mmap");
    return place;
}

static uint64_t page_fault(unsigned count)
{
    char *place = pages(count);
    madvise(place, (size_t)count * PAGE, MADV_NOHUGEPAGE);
    uint64_t start = now();
    for (unsigned page = 0; page < count; page++)
        *(volatile char *)(place + (size_t)page * PAGE) = 1;
    uint64_t time = now() - start;
    munmap(place, (size_t)count * PAGE);
    return time;
}

static uint64_t map_touch_unmap(unsigned count)
{
    uint64_t start = now();
    while (count--) {
        char *place = pages(1);
        *(volatile char *)place = 1;
        munmap(place, PAGE);
    }
    return now() - start;
}

static volatile sig_atomic_t received;

static void receive(int signal)
{
    (void)signal;
    received++;
}

static uint64_t signal_handled(unsigned count)
{
    struct sigaction action = { .sa_handler = receive };
    sigaction(SIGUSR1, &action, NULL);
    received = 0;
    uint64_t start = now();
    for (unsigned left = count; left; left--)
        raise(SIGUSR1);
    uint64_t time = now() - start;
    must((unsigned)received == count, "signals");
    return time;
}

static atomic_int turn;

static void pass(int from, int to)
{
    while (atomic_load(&turn) != from)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, to, NULL, NULL, 0);
    atomic_store(&turn, to);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *answer(void *count)
{
    for (unsigned left = *(unsigned *)count; left; left--)
        pass(1, 0);
    return NULL;
}

/* Two threads of one process take turns. */
static uint64_t futex_ping_pong(unsigned count)
{
    pthread_t thread;
    unsigned turns = count;
    atomic_store(&turn, 0);
    must(!pthread_create(&thread, NULL, answer, &turns), "pthread_create");
    uint64_t start = now();
    while (count--)
        pass(0, 1);
    pthread_join(thread, NULL);
    return now() - start;
}

static uint64_t memory_copy(unsigned count)
{
    static char *from, *to;
    if (!from) {
        from = pages(COPIED / PAGE), to = pages(COPIED / PAGE);
        memset(from, 1, COPIED), memset(to, 2, COPIED);
    }
    uint64_t start = now();
    while (count--) {
        memcpy(to, from, COPIED);
        __asm__ volatile("" ::: "memory");
    }
    return now() - start;
}

static uint64_t integer_loop(unsigned count)
{
    uint64_t value = 88172645463325252u;
    uint64_t start = now();
    while (count--)
        for (unsigned step = 0; step < LOOP; step++) {
            value ^= value << 13, value ^= value >> 7, value ^= value << 17;
            __asm__ volatile("" : "+r"(value));
        }
    return now() - start;
}

static struct {
    unsigned workers;
    pthread_barrier_t barrier;
    pthread_mutex_t lock;
    uint64_t sum;
} job = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A share of each part: computing, copying, and adding up under a lock. */
static void *work(void *share)
{
    static char *memory[WORKERS][2];
    char **own = memory[(uintptr_t)share];
    uint64_t value = 88172645463325252u;
    for (int i = 0; i < 2; i++)
        if (!own[i])
            own[i] = memset(pages(COPIED / PAGE), 1, COPIED);
    for (unsigned part = 0; part < PARTS; part++) {
        for (unsigned left = STEPS / job.workers; left; left--) {
            for (unsigned step = 0; step < 16 * LOOP; step++) {
                value ^= value << 13, value ^= value >> 7, value ^= value << 17;
                __asm__ volatile("" : "+r"(value));
            }
            memcpy(own[0], own[1], COPIED);
            __asm__ volatile("" ::: "memory");
            pthread_mutex_lock(&job.lock);
            job.sum += value;
            pthread_mutex_unlock(&job.lock);
        }
        pthread_barrier_wait(&job.barrier);
    }
    return NULL;
}

/* The same work whatever the workers. */
static uint64_t parallel(unsigned count, unsigned workers)
{
    pthread_t thread[WORKERS];
    job.workers = workers;
    must(!pthread_barrier_init(&job.barrier, NULL, workers), "pthread_barrier_init");
    uint64_t start = now();
    while (count--) {
        for (uintptr_t i = 1; i < workers; i++)
            must(!pthread_create(&thread[i], NULL, work, (void *)i), "pthread_create");
        work((void *)0);
        for (unsigned i = 1; i < workers; i++)
            pthread_join(thread[i], NULL);
    }
    uint64_t time = now() - start;
    pthread_barrier_destroy(&job.barrier);
    return time;
}

static uint64_t parallel_1(unsigned count)
{
    return parallel(count, 1);
}

static uint64_t parallel_2(unsigned count)
{
    return parallel(count, 2);
}

static const struct {
    const char *name;
    unsigned count, batches;
    uint64_t (*batch)(unsigned count);
    int parallel;
} measurements[] = {
    { "linux-parallel-1", 1, 20, parallel_1, 1 },
    { "linux-parallel-2", 1, 20, parallel_2, 1 },
    { "linux-getpid", 2000, 60, system_call, 0 },
    { "linux-pipe-round-trip", 100, 60, pipe_round_trip, 0 },
    { "linux-fork-exit", 5, 60, fork_exit, 0 },
    { "linux-fork-exec", 3, 60, fork_exec, 0 },
    { "linux-page-fault", 256, 60, page_fault, 0 },
    { "linux-mmap-touch-munmap", 200, 60, map_touch_unmap, 0 },
    { "linux-signal", 300, 60, signal_handled, 0 },
    { "linux-futex-ping-pong", 100, 60, futex_ping_pong, 0 },
    { "linux-copy-64k", 100, 200, memory_copy, 0 },
    { "linux-integer-loop-1000", 300, 200, integer_loop, 0 },
};

static int chosen(const char *name, int words, char **word)
{
    for (int i = 0; i < words; i++)
        if (strstr(name, word[i]))
            return 1;
    return !words;
}

int main(int argc, char **argv)
{
    if (getpid() != 1)
        return 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    unsigned most = argc > 1 ? atoi(argv[1]) : 1000;
    int several = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    printf("\nlinux benchmarks begin\n");
    for (unsigned i = 0; i < sizeof measurements / sizeof *measurements; i++) {
        const char *name = measurements[i].name;
        unsigned count = measurements[i].count;
        uint64_t least = UINT64_MAX, total = 0;
        if (measurements[i].parallel != several || !chosen(name, argc - 2, argv + 2))
            continue;
        measurements[i].batch(count);
        for (unsigned done = 0; done < measurements[i].batches && done < most; done++) {
            uint64_t time = measurements[i].batch(count);
            least = time < least ? time : least;
            total += time;
            if (done + 1 >= LEAST && total > BUDGET)
                break;
        }
        printf("%s iterations %u ns %llu\n", name, count, (unsigned long long)least);
    }
    printf("linux benchmarks end\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 1;
}
