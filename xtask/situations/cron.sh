#!/bin/bash
# Runs a small job each few seconds.
while :; do
    date >/tmp/last-run
    printf . >>/out/work
    sleep 3
done
