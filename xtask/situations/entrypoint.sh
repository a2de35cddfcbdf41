#!/bin/bash
# An entrypoint as many images have one: it waits for the database, then becomes the service.
wait_for_database() {
    until (exec 3<>/dev/tcp/"$1"/5432) 2>/dev/null; do
        echo "waiting for $1"
        sleep 1
    done
}

wait_for_database "$1"
exec /app/pricing 1 10
