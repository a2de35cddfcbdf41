// Writes as fast as the disk takes it, past the page cache's patience.
#include <vector>

#include "work.h"

__attribute__((noinline)) static void write_backup(int file, const std::vector<char> &block) {
    for (int i = 0; i < 64; i++)
        if (pwrite(file, block.data(), block.size(), off_t(i) * off_t(block.size())) < 0) abort();
    if (fdatasync(file) != 0) abort();
}

int main() {
    const std::vector<char> block(1 << 20, 'b');
    const int file = open("/data/backup", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (;;) write_backup(file, block);
}
