// A server that accepts one connection at a time with a queue of its own length, and its clients:
// `backlog serve BACKLOG`, `backlog call HOST THREADS`.
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>
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
    const int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0) return connection;
    close(connection);
    return -1;
}

static void call(sockaddr_in address) {
    for (;;) {
        const uint64_t begin = now_ns();
        const int connection = connect_upstream(address);
        if (connection >= 0) {
            char answer[64];
            if (write(connection, "get", 3) == 3 && read(connection, answer, sizeof answer) == 2) {
                took(now_ns() - begin);
                done();
            }
            close(connection);
        }
        sleep_ms(30);
    }
}

int main(int, char **arguments) {
    if (strcmp(arguments[1], "serve") == 0) serve(atoi(arguments[2]));
    addrinfo hints = {}, *found = nullptr;
    hints.ai_family = AF_INET;
    while (getaddrinfo(arguments[2], "8080", &hints, &found) != 0) sleep_ms(100);
    const sockaddr_in address = *reinterpret_cast<sockaddr_in *>(found->ai_addr);
    std::vector<std::thread> threads;
    for (int i = 1; i < atoi(arguments[3]); i++) threads.emplace_back(call, address);
    call(address);
}
