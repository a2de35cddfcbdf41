"""A name server: dns.py answers|silent. It knows one address for every name."""

import socket
import sys


def answer(query):
    # Header of an answer with one record, the question as it was asked, and a pointer to its name.
    header = query[:2] + b"\x81\x80" + query[4:6] + b"\x00\x01\x00\x00\x00\x00"
    question = query[12 : query.index(b"\x00", 12) + 5]
    return header + question + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + bytes([10, 0, 0, 1])


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 53))
    while True:
        query, client = server.recvfrom(2048)
        if sys.argv[1] == "answers":
            server.sendto(answer(query), client)


main()
