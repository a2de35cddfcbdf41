// Looks up rows of a file of MB megabytes that is mapped into memory: lookup MB.
#include <sys/mman.h>

#include <vector>

#include "work.h"

static size_t random_below(size_t limit) {
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return size_t(state % limit);
}

__attribute__((noinline)) static unsigned lookup_rows(const unsigned char *table, size_t pages) {
    unsigned sum = 0;
    for (int i = 0; i < 20; i++) sum += table[random_below(pages) * 4096];
    return sum;
}

int main(int, char **arguments) {
    const size_t bytes = size_t(atoi(arguments[1])) << 20;
    const int file = open("/data/table", O_RDWR | O_CREAT | O_TRUNC, 0644);
    const std::vector<char> block(1 << 20, 't');
    for (size_t at = 0; at < bytes; at += block.size())
        if (write(file, block.data(), block.size()) < 0) abort();
    if (fsync(file) != 0) abort();
    void *mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    madvise(mapped, bytes, MADV_RANDOM);
    const auto *table = static_cast<const unsigned char *>(mapped);
    for (size_t page = 0; page < bytes / 4096; page++) keep(table[page * 4096]);
    for (;;) {
        keep(lookup_rows(table, bytes / 4096) + crunch(1, 1));
        done();
    }
}
