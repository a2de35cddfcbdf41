"""A database that takes so many seconds until it listens: late.py SECONDS."""

import socket
import sys
import time


def main():
    time.sleep(float(sys.argv[1]))
    server = socket.create_server(("", 5432))
    while True:
        server.accept()[0].close()


main()
