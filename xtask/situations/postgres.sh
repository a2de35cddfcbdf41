#!/bin/bash
# A database server without a client: postgres.sh PATH_OF_POSTGRES.
programs=$(dirname "$1")
mkdir -p /data/db
chown nobody /data /data/db
run() {
    setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
}
run "$programs/initdb" -D /data/db >/tmp/log 2>&1 || exec cat /tmp/log
printf . >>/out/work
exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$programs/postgres" -D /data/db -k /tmp
