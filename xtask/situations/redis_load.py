"""A client of redis with a few hundred requests a second: redis_load.py HOST."""

import os
import socket
import sys
import time


def ask(connection, *words):
    command = b"*%d\r\n" % len(words)
    for word in words:
        command += b"$%d\r\n%s\r\n" % (len(word), word)
    connection.sendall(command)
    return connection.recv(4096)


def connect(host):
    while True:
        try:
            return socket.create_connection((host, 6379))
        except OSError:
            time.sleep(0.1)


def main():
    work = os.open("/out/work", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    connection = connect(sys.argv[1])
    while True:
        for i in range(10):
            ask(connection, b"SET", b"key%d" % i, b"v" * 100)
            ask(connection, b"GET", b"key%d" % i)
            os.write(work, b".")
        time.sleep(0.02)


main()
