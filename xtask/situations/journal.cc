// A log that is made durable: journal RECORDS, with an fsync after so many of them; 0 for none at all, and then at
// most 500 records per second.
#include "work.h"

__attribute__((noinline)) static void append_record(int log, int64_t number) {
    char record[256] = {};
    snprintf(record, sizeof record, "record %ld", long(number));
    record[sizeof record - 1] = '\n';
    if (write(log, record, sizeof record) < 0) abort();
}

__attribute__((noinline)) static void commit(int log) {
    if (fsync(log) != 0) abort();
}

int main(int, char **arguments) {
    const int batch = atoi(arguments[1]);
    const int log = open("/data/journal", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (int64_t number = 1;; number++) {
        append_record(log, number);
        if (batch > 0 && number % batch == 0) {
            commit(log);
            done(size_t(batch));
        } else if (batch == 0) {
            sleep_ms(2);
            done();
        }
        // A log that is rotated.
        if (number % 65536 == 0 && (ftruncate(log, 0) != 0 || lseek(log, 0, SEEK_SET) != 0)) abort();
    }
}
