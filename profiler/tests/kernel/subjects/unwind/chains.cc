// Programs whose call chains are known: `chains KIND MS SETTLE [FILE]` waits for SETTLE milliseconds, then works for MS in the
// way that KIND names. The thread's name is KIND from then on.

#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// Each is a function of its own, and calls what it says: nothing is inlined, cloned or made a jump.
#ifdef __clang__
#define OWN extern "C" __attribute__((noinline))
#else
#define OWN extern "C" __attribute__((noinline, noclone, noipa))
#endif
#define STAYS __asm__ volatile("" ::: "memory")

static volatile unsigned long sink;

OWN long now_ms() {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    STAYS;
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

OWN void spin(int times) {
    for (int i = 0; i < times; i++)
        sink = sink * 3 + 1;
    STAYS;
}

// The C library in between.
OWN int compare(const void *a, const void *b) {
    spin(30);
    return *(const int *)a - *(const int *)b;
}
OWN void sort_all() {
    int numbers[256];
    for (int i = 0; i < 256; i++)
        numbers[i] = i * 7919 % 256;
    qsort(numbers, 256, sizeof *numbers, compare);
    STAYS;
}

// Samples are within the unwinder of exceptions, too.
#ifdef EXCEPTIONS
struct Guard {
    ~Guard() { spin(50); }
};
OWN void nest(int depth) {
    Guard guard;
    if (depth == 0)
        throw depth;
    nest(depth - 1);
    STAYS;
}
OWN void catches() {
    try {
        nest(10);
    } catch (int depth) {
        spin(100 + depth);
    }
}
#endif

// On a stack of its own, above or below the one that it interrupts.
OWN void handler(int) {
    spin(20000);
    STAYS;
}
OWN void victim(int depth) {
    if (depth > 0)
        victim(depth - 1);
    else
        spin(20000);
    STAYS;
}
OWN void arm(long us) {
    struct itimerval every = {{0, us}, {0, us}};
    setitimer(ITIMER_REAL, &every, nullptr);
    STAYS;
}
OWN void interrupted() {
    static char stack[1 << 16];
    stack_t other = {};
    other.ss_sp = stack;
    other.ss_size = sizeof stack;
    sigaltstack(&other, nullptr);
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    sigaction(SIGALRM, &action, nullptr);
    arm(1000);
    for (int i = 0; i < 100; i++)
        victim(5);
    arm(0);
    STAYS;
}

// Jumps instead of calls where the compiler makes them.
OWN int tail_c(int n) {
    spin(2000);
    return n + 1;
}
OWN int tail_b(int n) {
    return tail_c(n + 1);
}
OWN int tail_a(int n) {
    return tail_b(n + 1);
}
OWN void tails() {
    sink = sink + tail_a(1);
    STAYS;
}

// Frames whose sizes the compiler does not know.
OWN void vary(int depth) {
    char *some = (char *)alloca(16 * depth + 8);
    memset(some, depth, 16 * depth + 8);
    sink = sink + some[depth];
    if (depth > 0)
        vary(depth - 1);
    else
        spin(20000);
    STAYS;
}

// Frames at multiples of 64, with arguments on the stack before them and sizes that are not known.
struct __attribute__((aligned(64))) Line {
    volatile char bytes[64];
};
OWN void line(long a, long b, long c, long d, long e, long f, int depth, long h) {
    Line here;
    here.bytes[0] = (char)(a + b + c + d + e + f + h);
    char *some = (char *)alloca(24 * depth + 8);
    memset(some, here.bytes[0], 24 * depth + 8);
    if (depth > 0)
        line(b, c, d, e, f, h, depth - 1, some[depth]);
    else
        spin(20000);
    sink = sink + here.bytes[0];
}
OWN void few(int depth) {
    Line here;
    here.bytes[0] = (char)depth;
    if (depth > 0)
        few(depth - 1);
    else
        spin(20000);
    sink = sink + here.bytes[0];
}
OWN void lines() {
    line(1, 2, 3, 4, 5, 6, 20, 7);
    few(20);
    STAYS;
}

// Its callers may end with the call.
static jmp_buf back;
OWN __attribute__((noreturn)) void never(int n) {
    spin(n);
    longjmp(back, 1);
}
OWN __attribute__((noreturn)) void last(int n) {
    never(n + 2000);
}
OWN void never_back() {
    if (setjmp(back) == 0)
        last(1);
    STAYS;
}

OWN void clocks() {
    for (int i = 0; i < 1000; i++)
        now_ms();
    STAYS;
}

// Through the linkage table, of which each call is some instructions only.
#ifdef LIBRARY
extern "C" int tiny(int);
OWN void links() {
    for (int i = 0; i < 100000; i++)
        sink = tiny(i);
    STAYS;
}
#endif

OWN void work(const char *kind) {
    if (!strcmp(kind, "qsort"))
        sort_all();
#ifdef EXCEPTIONS
    if (!strcmp(kind, "throw"))
        catches();
#endif
    if (!strcmp(kind, "signal"))
        interrupted();
    if (!strcmp(kind, "tail"))
        tails();
    if (!strcmp(kind, "alloca"))
        vary(30);
    if (!strcmp(kind, "align"))
        lines();
    if (!strcmp(kind, "noreturn"))
        never_back();
    if (!strcmp(kind, "vdso"))
        clocks();
#ifdef LIBRARY
    if (!strcmp(kind, "plt"))
        links();
#endif
    STAYS;
}

static long end_ms;

OWN void work_on(const char *kind) {
    while (now_ms() < end_ms)
        work(kind);
    STAYS;
}
OWN void *begin(void *) {
    prctl(PR_SET_NAME, "threads");
    while (now_ms() < end_ms)
        vary(5);
    STAYS;
    return nullptr;
}
OWN void threads() {
    pthread_t all[3];
    for (pthread_t &one : all)
        pthread_create(&one, nullptr, begin, nullptr);
    for (pthread_t &one : all)
        pthread_join(one, nullptr);
    STAYS;
}
OWN void plugin(const char *file) {
    while (now_ms() < end_ms - 2000)
        spin(20000);
    prctl(PR_SET_NAME, "loaded");
    void *library = dlopen(file, RTLD_NOW);
    if (!library)
        abort();
    auto calls_back = (void (*)(void (*)(int)))dlsym(library, "calls_back");
    while (now_ms() < end_ms)
        calls_back(spin);
    STAYS;
}

int main(int count, char **arguments) {
    if (count < 4)
        return 2;
    const char *kind = arguments[1];
    usleep(atoi(arguments[3]) * 1000);
    prctl(PR_SET_NAME, kind);
    end_ms = now_ms() + atol(arguments[2]);
    if (!strcmp(kind, "threads"))
        threads();
    else if (!strcmp(kind, "dlopen"))
        plugin(arguments[4]);
    else
        work_on(kind);
    return 0;
}
