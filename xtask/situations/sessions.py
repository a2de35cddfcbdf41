"""Keeps what it has served: sessions.py MEGABYTES, at 20 requests a second and a quarter of a megabyte each, up to so many."""

import os
import sys
import time


def remember(sessions):
    sessions.append(os.urandom(1) * (256 * 1024))


def main():
    work = os.open("/out/work", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sessions, most = [], int(sys.argv[1]) * 4
    while True:
        if len(sessions) < most:
            remember(sessions)
        os.write(work, b".")
        time.sleep(0.02)


main()
