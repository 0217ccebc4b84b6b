#!/bin/bash
# Gets the source package of the installed nginx and prints the tree's path. Fails where only the source
# of other versions can be had.
#
#   scripts/nginx-source.sh DIR [VERSION]      VERSION is nginx's, such as 1.22.1
#
# apt runs with a configuration of its own inside DIR, so the system's files stay
# as they are. Its sources are the system's, with deb-src for each deb.
set -euo pipefail

mkdir -p "$1"
dir=$(cd "$1" && pwd)
log=$dir/apt.log

wanted=${2:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin nginx -v 2>&1 | sed -n 's,^nginx version: nginx/,,p')}

find_tree() {
    local tree
    for tree in "$dir"/nginx-*; do
        if grep -qs "^#define NGINX_VERSION *\"$wanted\"" "$tree/src/core/nginx.h"; then
            echo "$tree"
            return
        fi
    done
}

tree=$(find_tree)
if [ -n "$tree" ]; then
    echo "$tree"
    exit 0
fi

rm -rf "$dir/etc"
mkdir -p "$dir"/{etc/sources.list.d,lists/partial,cache/archives/partial}
: > "$dir/etc/sources.list"

# One-line format.
sed -nE 's/^[[:space:]]*deb(-src)?[[:space:]]/deb-src /p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sort -u > "$dir/etc/sources.list.d/all.list" || true

# Deb822 format; `Types` may be several words.
for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    sed -E 's/^Types:.*/Types: deb-src/I' "$file" > "$dir/etc/sources.list.d/$(basename "$file")"
done

apt=(
    -qq
    -o Dir::Etc::sourcelist="$dir/etc/sources.list"
    -o Dir::Etc::sourceparts="$dir/etc/sources.list.d"
    -o Dir::State::lists="$dir/lists"
    -o Dir::Cache="$dir/cache"
    -o APT::Sandbox::User=root
    -o Debug::NoLocking=1
)

fail() {
    cat "$log" >&2
    echo "$1" >&2
    exit 1
}

# Some of the system's other sources may have no source packages: an error there
# does not matter as long as nginx itself can be had.
apt-get "${apt[@]}" update >"$log" 2>&1 || true

# The installed package's version if it can be had, else another of the same nginx, the newest first: an
# archive's index may name one whose files are not there. No package of that name is no error.
of_wanted() { grep -E "^([0-9]+:)?${wanted//./\\.}([-+~]|\$)" || true; }
installed=$({ dpkg-query -W -f='${source:Version}' nginx 2>/dev/null || true; } | of_wanted)
offered=$({ apt-cache "${apt[@]}" showsrc nginx 2>>"$log" || true; } | sed -n 's/^Version: //p' | sort -rVu | of_wanted)
cd "$dir"
found=
for version in $installed $offered; do
    if apt-get "${apt[@]}" source "nginx=$version" >>"$log" 2>&1; then
        found=$version
        break
    fi
done
[ -n "$found" ] || { echo "apt has no source package of nginx $wanted" >&2; exit 1; }

tree=$(find_tree)
[ -n "$tree" ] || fail "apt-get source left no tree of nginx $wanted in $dir"
echo "$tree"
