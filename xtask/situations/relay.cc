// Hands bytes from one thread to the other through a socket: relay BYTES spin|block PAUSE_MS. With `spin` the reader asks
// epoll without waiting. Whole kibibytes that arrive are its work.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>
#include <vector>

#include "work.h"

__attribute__((noinline)) static void send_events(int to, size_t bytes, double pause_ms) {
    const std::vector<char> event(bytes, 'e');
    for (;;) {
        if (write(to, event.data(), bytes) < 0) abort();
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
}

__attribute__((noinline)) static void poll_events(int from, size_t bytes, bool spins) {
    const int poller = epoll_create1(0);
    epoll_event event = {};
    event.events = EPOLLIN;
    epoll_ctl(poller, EPOLL_CTL_ADD, from, &event);
    std::vector<char> buffer(bytes);
    size_t received = 0;
    for (;;) {
        if (epoll_wait(poller, &event, 1, spins ? 0 : -1) < 1) continue;
        const ssize_t now = read(from, buffer.data(), buffer.size());
        if (now < 0) abort();
        received += size_t(now);
        if (received >= 1024) {
            done(received / 1024);
            received %= 1024;
        }
    }
}

int main(int, char **arguments) {
    const size_t bytes = size_t(atoi(arguments[1]));
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) abort();
    std::thread sender(send_events, pair[0], bytes, atof(arguments[3]));
    poll_events(pair[1], bytes, strcmp(arguments[2], "spin") == 0);
}
