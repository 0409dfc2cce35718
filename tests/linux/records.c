// Writes numbered records to a disk, and says each number once its record is said to be stored.
//
// records DISK: record N takes the N-th block of 4,096 bytes. Even ones are written to a file opened
// with O_DSYNC, odd ones are followed by fsync: both must have reached the disk when they return.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#define WORDS 512

// SplitMix64's finaliser: every word depends on the record and on its place.
static uint64_t word(uint64_t record, uint64_t place)
{
    uint64_t x = record * WORDS + place + 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

int main(int count, char **arguments)
{
    static uint64_t block[WORDS];
    uint64_t size;
    if (count != 2)
        return 2;
    int synchronous = open(arguments[1], O_WRONLY | O_DSYNC);
    int buffered = open(arguments[1], O_WRONLY);
    if (synchronous < 0 || buffered < 0 || ioctl(buffered, BLKGETSIZE64, &size)) {
        perror(arguments[1]);
        return 1;
    }
    for (uint64_t record = 0; record < size / sizeof block; record++) {
        for (uint64_t place = 0; place < WORDS; place++)
            block[place] = word(record, place);
        int file = record % 2 ? buffered : synchronous;
        ssize_t written = pwrite(file, block, sizeof block, record * sizeof block);
        if (written != sizeof block || (file == buffered && fsync(file))) {
            perror("record");
            return 1;
        }
        printf("stored %llu\n", (unsigned long long)record);
        fflush(stdout);
    }
    puts("the disk is full");
    return 0;
}
