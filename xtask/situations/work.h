// What every workload in C++ shares: it counts its work, and it can compute for a while.
#pragma once
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// One byte appended to /out/work for every piece of work: no lock, and the size of the file is the count.
inline void done(size_t pieces = 1) {
    static const int file = open("/out/work", O_WRONLY | O_CREAT | O_APPEND, 0644);
    static const char bytes[4096] = {};
    while (pieces > 0) {
        const size_t now = pieces < sizeof bytes ? pieces : sizeof bytes;
        if (write(file, bytes, now) < 0) abort();
        pieces -= now;
    }
}

inline uint64_t now_ns() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1000000000 + uint64_t(time.tv_nsec);
}

// One byte appended to /out/time for every tenth of a millisecond that a piece of work took.
inline void took(uint64_t ns) {
    static const int file = open("/out/time", O_WRONLY | O_CREAT | O_APPEND, 0644);
    static const char bytes[65536] = {};
    static std::atomic<uint64_t> sum;
    const uint64_t before = sum.fetch_add(ns), tenths = (before + ns) / 100000 - before / 100000;
    if (tenths > 0 && write(file, bytes, tenths < sizeof bytes ? tenths : sizeof bytes) < 0) abort();
}

// The same amount of work each time, about this many milliseconds of a CPU: never by the clock, because time that a
// thread does not get would count as done.
inline double crunch(double ms, double seed) {
    double sum = seed;
    for (int i = 0, end = int(ms * 100000); i < end; i++) sum = std::sqrt(sum + double(i) * 1.000001);
    return sum;
}

// Keeps a result, so that the compiler keeps what it takes to have it.
inline volatile double kept;
inline void keep(double value) { kept = value; }

inline void sleep_ms(double ms) {
    const timespec time = {time_t(ms / 1000), long(std::fmod(ms, 1000) * 1000000)};
    nanosleep(&time, nullptr);
}
