#!/bin/bash
# Checks the script that decides in Redis: Lua's compiler takes each of its files, and together they use no
# global but those that Redis has. A misspelt local would be a global, and fail in Redis only when it is used.
set -euo pipefail

cd "$(dirname "$0")/.."

for file in src/redis/script/*.lua; do
    luac5.1 -p "$file"
done

known='ARGV|KEYS|cmsgpack|ipairs|math|pcall|redis|string|tonumber|type|unpack'
for script in '' --fair; do
    # shellcheck disable=SC2086 # no word for the first script
    unknown=$(src/redis/script/join.sh $script | luac5.1 -p -l - | sed -n 's/.*[GS]ETGLOBAL.*; //p' | sort -u | grep -vxE "$known" || true)
    if [ -n "$unknown" ]; then
        echo "src/redis/script/*.lua: not known as a local or as one of Redis's globals:" $unknown
        exit 1
    fi
done
