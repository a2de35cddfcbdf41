"""Workers that check addresses by a regular expression: prefork.py WORKERS bad|good."""

import os
import re
import sys

# The bad one tries every way to split the name into groups before it gives up.
PATTERNS = {
    "bad": r"^([a-z0-9]+\.?)*@example\.com$",
    "good": r"^[a-z0-9]+(\.[a-z0-9]+)*@example\.com$",
}
ADDRESSES = ["john.smith.of.acme@example.com", "averylongname1234!", "x.y@example.com"]


def validate(pattern, address):
    return pattern.match(address) is not None


def serve(pattern):
    work = os.open("/out/work", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        for address in ADDRESSES:
            validate(pattern, address)
        os.write(work, b".")


def main():
    pattern = re.compile(PATTERNS[sys.argv[2]])
    for _ in range(int(sys.argv[1])):
        if os.fork() == 0:
            serve(pattern)
    os.wait()


main()
