// A server that accepts one connection at a time with a queue of its own length, and a client that asks it for so many things
// at once: `backlog serve BACKLOG`, `backlog gather HOST REQUESTS`.
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "work.h"

static const int PORT = 8080;

static void serve(int backlog) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(PORT);
    if (bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0) abort();
    if (listen(listener, backlog) != 0) abort();
    for (;;) {
        const int client = accept(listener, nullptr, nullptr);
        char request[64];
        if (read(client, request, sizeof request) > 0) {
            keep(crunch(1, 1));
            if (write(client, "ok", 2) < 0) continue;
        }
        close(client);
    }
}

__attribute__((noinline)) static int connect_upstream(const sockaddr_in &address) {
    const int connection = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection < 0) abort();
    const int result = connect(connection, reinterpret_cast<const sockaddr *>(&address), sizeof address);
    if (result != 0 && errno != EINPROGRESS) abort();
    return connection;
}

// Asks for all at once and waits until each has an answer: the slowest decides.
__attribute__((noinline)) static void gather_answers(const sockaddr_in &address, int requests) {
    std::vector<pollfd> open;
    for (int i = 0; i < requests; i++) open.push_back({connect_upstream(address), POLLOUT, 0});
    while (!open.empty()) {
        if (poll(open.data(), open.size(), -1) < 0) abort();
        for (size_t i = open.size(); i-- > 0;) {
            pollfd &one = open[i];
            char answer[64];
            if (one.revents & POLLOUT) {
                if (write(one.fd, "get", 3) != 3) abort();
                one.events = POLLIN;
            } else if (one.revents != 0) {
                if (read(one.fd, answer, sizeof answer) == 2) done();
                close(one.fd);
                open.erase(open.begin() + long(i));
            }
        }
    }
}

int main(int, char **arguments) {
    if (strcmp(arguments[1], "serve") == 0) serve(atoi(arguments[2]));
    addrinfo hints = {}, *found = nullptr;
    hints.ai_family = AF_INET;
    while (getaddrinfo(arguments[2], "8080", &hints, &found) != 0) sleep_ms(100);
    const sockaddr_in address = *reinterpret_cast<sockaddr_in *>(found->ai_addr);
    for (;;) gather_answers(address, atoi(arguments[3]));
}
