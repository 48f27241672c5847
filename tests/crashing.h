/* Functions that crash, each in a way of its own, for test_crash and crashes.c: what is told of a crash has their
 * names. */
#ifndef CRASHING_H
#define CRASHING_H

#include <signal.h>
#include <stdlib.h>

#undef NDEBUG
#include <assert.h>

/* A call of it is no tail call, and is not merged with others. */
#if defined(__clang__)
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noinline, noclone))
#endif
#define BARRIER() __asm__ volatile("" ::: "memory")

struct header {
    long fields[2], length;
};

static volatile int zero, endless = 1;

static ALONE long decode_header(const struct header *header) {
    long length = *(const volatile long *)&header->length;
    BARRIER();
    return length;
}

static ALONE long decode(const struct header *header) {
    long length = decode_header(header);
    BARRIER();
    return length + 1;
}

static ALONE int divide(int by) {
    int result = 10 / by;
    BARRIER();
    return result;
}

static ALONE int recurse(volatile char *above) {
    volatile char room[4096];
    room[0] = above ? above[0] : 1;
    int result = endless ? recurse(room) : 0;
    BARRIER();
    return result + room[0];
}

static ALONE int trap(void) {
    __builtin_trap();
}

static ALONE int give_up(void) {
    abort();
}

static ALONE int check_block(int size) {
    assert(size > 0);
    return size;
}

static ALONE int free_twice(void) {
    void *volatile block = malloc(1000);
    free(block);
    free(block);
    return 0;
}

static ALONE int call(int (*volatile function)(void)) {
    int result = function();
    BARRIER();
    return result + 1;
}

static ALONE int raise_here(int signal) {
    int result = raise(signal);
    BARRIER();
    return result;
}

#endif
