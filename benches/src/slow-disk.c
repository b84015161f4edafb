/* Makes a disk look like a network volume: each fsync and fdatasync takes SLOW_DISK_US microseconds more. Preloaded by the benchmark;
 * only a dynamically linked program has it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_for_the_disk(void) {
    const char *text = getenv("SLOW_DISK_US");
    long us = text ? atol(text) : 0;
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0) {
    }
}

typedef int (*sync_fn)(int);

int fsync(int fd) {
    sync_fn real = (sync_fn)dlsym(RTLD_NEXT, "fsync");
    wait_for_the_disk();
    return real(fd);
}

int fdatasync(int fd) {
    sync_fn real = (sync_fn)dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_disk();
    return real(fd);
}
