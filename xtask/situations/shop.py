"""A client of another service: shop.py HOST PAUSE_MS asks for a price again and again."""

import os
import sys
import time
import urllib.request


def fetch_price(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def main():
    work = os.open("/out/work", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    url, pause = f"http://{sys.argv[1]}:8080/", float(sys.argv[2]) / 1000
    while True:
        try:
            fetch_price(url)
        except OSError:
            time.sleep(0.2)
            continue
        os.write(work, b".")
        time.sleep(pause)


main()
