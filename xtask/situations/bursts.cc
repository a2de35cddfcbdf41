// A pool of threads that wait for work, and bursts of it: bursts THREADS BUSY_THREADS MS PERIOD_MS. In each period so many
// threads of the pool compute for so many milliseconds.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "work.h"

static std::mutex mutex;
static std::condition_variable queue, finished;
static int waiting_jobs, running_jobs;

__attribute__((noinline)) static void process_batch(double ms) {
    keep(crunch(ms, 1));
}

static void worker(double ms) {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
        queue.wait(lock, [] { return waiting_jobs > 0; });
        waiting_jobs--;
        lock.unlock();
        process_batch(ms);
        lock.lock();
        if (--running_jobs == 0) finished.notify_one();
    }
}

int main(int, char **arguments) {
    const int threads = atoi(arguments[1]), busy = atoi(arguments[2]);
    const double ms = atof(arguments[3]), period = atof(arguments[4]);
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; i++) pool.emplace_back(worker, ms);
    for (;;) {
        sleep_ms(period);
        const uint64_t begin = now_ns();
        std::unique_lock<std::mutex> lock(mutex);
        waiting_jobs = running_jobs = busy;
        for (int i = 0; i < busy; i++) queue.notify_one();
        finished.wait(lock, [] { return running_jobs == 0; });
        lock.unlock();
        took(now_ns() - begin);
        done();
    }
}
