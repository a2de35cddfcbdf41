// Called through a linkage table, or loaded late.
#define OWN __attribute__((noinline))

static volatile int sink;

OWN int tiny(int n) { return n + 1; }

OWN void inside(void (*callback)(int), int depth) {
    int some[40];
    for (int i = 0; i < 40; i++)
        ((volatile int *)some)[i] = depth;
    if (depth > 0)
        inside(callback, depth - 1);
    else
        callback(5000);
    for (int i = 0; i < 1000; i++)
        sink = sink + some[depth];
    __asm__ volatile("" ::: "memory");
}

OWN void calls_back(void (*callback)(int)) {
    inside(callback, 5);
    __asm__ volatile("" ::: "memory");
}
