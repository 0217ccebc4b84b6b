#!/bin/sh
# Prints the Debian packages of the libraries that a module is linked with, one a line.
#
#   docker/runtime-packages.sh MODULE.so
set -eu

ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | while read -r library; do
    # dpkg may know the file under /lib or under /usr/lib, so without that part.
    file=$(readlink -f "$library")
    dpkg-query -S "*/$(basename "$(dirname "$file")")/$(basename "$file")"
done | cut -d: -f1 | sort -u
