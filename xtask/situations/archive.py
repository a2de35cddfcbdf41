"""Reads a file of so many megabytes over and over, at a gentle pace: archive.py MEGABYTES. Its pages fill the limit; they are clean."""

import os
import sys
import time


def main():
    work = os.open("/out/work", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    megabytes = int(sys.argv[1])
    with open("/data/archive", "wb") as file:
        for _ in range(megabytes):
            file.write(b"a" * (1 << 20))
        file.flush()
        os.fsync(file.fileno())
    with open("/data/archive", "rb", buffering=0) as file:
        while True:
            for _ in range(megabytes):
                file.read(1 << 20)
                os.write(work, b".")
                time.sleep(0.1)
            file.seek(0)


main()
