// A thread that holds a lock while it sleeps, two that want it, one that computes in stretches of a known length, and one that
// looks for events within its stretches.
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define OWN __attribute__((noinline))
// What follows a call keeps it from being a jump.
#define STAYS __asm__ volatile("" ::: "memory")
#define STRETCH_NS 200000000L
#define LOOK_NS 40000000L

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

OWN static void hold_it(void) {
    pthread_mutex_lock(&lock);
    usleep(50000);
    pthread_mutex_unlock(&lock);
    STAYS;
}

static void *holder(void *unused) {
    prctl(PR_SET_NAME, "holder");
    for (;;) {
        hold_it();
        usleep(1000);
    }
    return unused;
}

OWN static void want_it(void) {
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    STAYS;
}

static void *waiter(void *unused) {
    prctl(PR_SET_NAME, "waiter");
    for (;;)
        want_it();
    return unused;
}

static long cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void run(long ns) {
    long end = cpu_ns() + ns;
    while (cpu_ns() < end)
        STAYS;
}

static void *runner(void *unused) {
    prctl(PR_SET_NAME, "runner");
    for (;;) {
        run(STRETCH_NS);
        usleep(100000);
    }
    return unused;
}

static void *looker(void *unused) {
    prctl(PR_SET_NAME, "looker");
    for (;;) {
        for (int i = 0; i < 5; i++) {
            run(LOOK_NS);
            poll(0, 0, 0);
        }
        usleep(100000);
    }
    return unused;
}

int main(void) {
    pthread_t threads[5];
    pthread_create(&threads[0], 0, holder, 0);
    pthread_create(&threads[1], 0, waiter, 0);
    pthread_create(&threads[2], 0, waiter, 0);
    pthread_create(&threads[3], 0, runner, 0);
    pthread_create(&threads[4], 0, looker, 0);
    pthread_join(threads[0], 0);
    return 0;
}
