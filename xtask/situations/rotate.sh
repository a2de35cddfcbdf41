#!/bin/bash
# Rewrites lines: rotate.sh processes|builtins. With `processes` each line takes several programs.
number=0
while :; do
    number=$((number + 1))
    line="host$number web GET /index.html 200"
    if [ "$1" = processes ]; then
        host=$(echo "$line" | cut -d ' ' -f 1)
        path=$(echo "$line" | sed 's/.*GET \([^ ]*\) .*/\1/')
        code=$(expr "$line" : '.* \([0-9]*\)')
    else
        read -r host _ _ path code <<<"$line"
    fi
    [ -n "$host$path$code" ] && printf . >>/out/work
done
