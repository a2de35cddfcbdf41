"""A worker that waits for jobs all day: jobs.py SECONDS, with a job each so many seconds from a producer of its own."""

import os
import socket
import sys
import time


def handle(job):
    return sum(i * i for i in range(2000 * job[0]))


def produce(jobs, seconds):
    while True:
        time.sleep(seconds)
        jobs.send(b"\x05")


def main():
    work = os.open("/out/work", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    jobs, producer = socket.socketpair()
    if os.fork() == 0:
        produce(producer, float(sys.argv[1]))
    while True:
        handle(jobs.recv(1))
        os.write(work, b".")


main()
