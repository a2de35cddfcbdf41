// Four threads that go to sleep once, each in a way of its own, until they are killed.
#include <pthread.h>
#include <unistd.h>

#define OWN __attribute__((noinline))
// What follows a call keeps it from being a jump.
#define STAYS __asm__ volatile("" ::: "memory")

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ends[2];

OWN static void down(int depth) {
    volatile char some[40];
    some[depth % 40] = 1;
    if (depth > 1)
        down(depth - 1);
    else
        pause();
    STAYS;
}

static void *first(void *unused) {
    down(300);
    STAYS;
    return unused;
}

OWN static void wants_lock(void) {
    pthread_mutex_lock(&lock);
    STAYS;
}

static void *second(void *unused) {
    wants_lock();
    STAYS;
    return unused;
}

OWN static void reads(void) {
    char byte;
    if (read(ends[0], &byte, 1) < 0)
        _exit(1);
    STAYS;
}

static void *third(void *unused) {
    reads();
    STAYS;
    return unused;
}

OWN static void joins(pthread_t thread) {
    pthread_join(thread, 0);
    STAYS;
}

int main(void) {
    pthread_t threads[3];
    if (pipe(ends) != 0)
        return 1;
    pthread_mutex_lock(&lock);
    pthread_create(&threads[0], 0, first, 0);
    pthread_create(&threads[1], 0, second, 0);
    pthread_create(&threads[2], 0, third, 0);
    joins(threads[0]);
    STAYS;
    return 0;
}
