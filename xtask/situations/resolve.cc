// Looks up a name again and again, as a program without a cache does before every request.
#include <netdb.h>

#include <cstring>

#include "work.h"

__attribute__((noinline)) static bool resolve_backend(const char *name) {
    addrinfo hints = {}, *found = nullptr;
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    const bool is_known = getaddrinfo(name, "80", &hints, &found) == 0;
    if (found) freeaddrinfo(found);
    return is_known;
}

int main(int, char **arguments) {
    for (;;) {
        if (resolve_backend(arguments[1])) done();
        sleep_ms(20);
    }
}
