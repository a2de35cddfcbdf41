// Two threads on one CPU that wake each other through pipes. One waits
//
// - `same`: in one function;
// - `alike`: in one of three, half, three and two tenths of the times, all with the same registers;
// - `different`: the same, below a number of frames and at a stack pointer that are others each time.
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define OWN __attribute__((noinline))
// What follows a call keeps it from being a jump.
#define STAYS __asm__ volatile("" ::: "memory")

static int there[2], back[2];
static int is_same, is_different;
static unsigned seed = 1;

// Otherwise the compiler makes one of three functions that do the same.
static volatile unsigned times[3];

static unsigned any(void) {
    seed = seed * 1103515245u + 12345u;
    return seed >> 12;
}

static void one(int from) {
    char byte;
    if (read(from, &byte, 1) != 1)
        _exit(0);
}

OWN static void wait_a(void) {
    times[0]++;
    one(back[0]);
    STAYS;
}

OWN static void wait_b(void) {
    times[1]++;
    one(back[0]);
    STAYS;
}

OWN static void wait_c(void) {
    times[2]++;
    one(back[0]);
    STAYS;
}

OWN static void waits(void) {
    unsigned of_ten = is_same ? 0 : any() % 10;
    if (of_ten < 5)
        wait_a();
    else if (of_ten < 8)
        wait_b();
    else
        wait_c();
    STAYS;
}

OWN static void deeper(unsigned depth) {
    if (depth)
        deeper(depth - 1);
    else
        waits();
    STAYS;
}

OWN static void anywhere(void) {
    size_t bytes = 16 + any() % 2048 * 16;
    volatile char *room = alloca(bytes);
    room[0] = 1;
    deeper(any() % 16);
    STAYS;
}

static void *asker(void *unused) {
    prctl(PR_SET_NAME, "asker");
    for (;;) {
        if (write(there[1], "x", 1) != 1)
            return unused;
        if (is_different)
            anywhere();
        else
            waits();
    }
}

static void *answerer(void *unused) {
    prctl(PR_SET_NAME, "answerer");
    for (;;) {
        one(there[0]);
        if (write(back[1], "x", 1) != 1)
            return unused;
    }
}

int main(int count, char **arguments) {
    if (count < 2)
        return 1;
    is_same = !strcmp(arguments[1], "same");
    is_different = !strcmp(arguments[1], "different");
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
    if (pipe(there) || pipe(back))
        return 1;
    pthread_t thread;
    pthread_create(&thread, NULL, answerer, NULL);
    pthread_create(&thread, NULL, asker, NULL);
    pause();
}
