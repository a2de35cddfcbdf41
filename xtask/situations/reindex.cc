// A lock that one thread holds most of the time while it computes: reindex held|copied|light. With `copied` it computes
// beside the lock and takes it for the swap alone; with `light` there is little to compute.
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "work.h"

static std::mutex index_lock;
static double index_value;

__attribute__((noinline)) static double rebuild_index(double ms) {
    return crunch(ms, index_value);
}

static void indexer(bool held, double ms) {
    for (;;) {
        if (held) {
            const std::lock_guard<std::mutex> guard(index_lock);
            index_value = rebuild_index(ms);
        } else {
            const double value = rebuild_index(ms);
            const std::lock_guard<std::mutex> guard(index_lock);
            index_value = value;
        }
        sleep_ms(5);
    }
}

__attribute__((noinline)) static void handle_request() {
    {
        const std::lock_guard<std::mutex> guard(index_lock);
        keep(crunch(0.05, index_value));
    }
    sleep_ms(2);
    done();
}

static void server() {
    for (;;) handle_request();
}

int main(int, char **arguments) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; i++) threads.emplace_back(server);
    indexer(strcmp(arguments[1], "held") == 0, strcmp(arguments[1], "light") == 0 ? 0.2 : 45);
}
