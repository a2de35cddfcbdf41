// Computes: pricing THREADS DUTY. With a duty below 100 each thread sleeps for the rest of each 20 ms or so. DUTY may be
// followed by `quiet`, for one whose work does not count.
#include <cstring>
#include <thread>
#include <vector>

#include "work.h"

__attribute__((noinline)) static void compute_prices(double ms) {
    keep(crunch(ms, 1));
}

static void worker(double duty, bool counts) {
    for (;;) {
        compute_prices(1);
        if (counts) done();
        if (duty < 100) sleep_ms(100 / duty - 1);
    }
}

int main(int count, char **arguments) {
    const bool counts = count < 4 || strcmp(arguments[3], "quiet") != 0;
    std::vector<std::thread> threads;
    for (int i = 1; i < atoi(arguments[1]); i++) threads.emplace_back(worker, atof(arguments[2]), counts);
    worker(atof(arguments[2]), counts);
}
