// Starts itself again and again, for processes that live for a millisecond each: gone before anybody has looked at them.
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FUNCTION __attribute__((noinline, noclone))

static volatile unsigned long sink;

static long now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static FUNCTION void spin(void) {
    for (long end = now_us() + 250; now_us() < end; sink++)
        for (int i = 0; i < 1000; i++)
            sink += i;
}

static FUNCTION int compare(const void *one, const void *other) {
    spin();
    return *(const int *)one - *(const int *)other;
}

static FUNCTION void sorts(void) {
    volatile int numbers[] = {3, 1, 2};
    qsort((void *)numbers, 3, sizeof *numbers, compare);
    sink += numbers[0];
}

static FUNCTION void rests(void) {
    usleep(300);
    sink++;
}

static FUNCTION void works(void) {
    sorts();
    rests();
    sink++;
}

int main(int argc, char **argv) {
    if (argc == 1) {
        works();
        return 0;
    }
    usleep(atol(argv[1]) * 1000);
    for (long end = now_us() + atol(argv[2]) * 1000; now_us() < end;) {
        if (vfork() == 0) {
            execl("/proc/self/exe", "brief", (char *)0);
            _exit(1);
        }
        int status;
        wait(&status);
        if (status)
            return 1;
    }
    return 0;
}
