#!/bin/bash
# Builds the module and tries it with other versions of nginx, other compilers and other systems, and prints a table.
# `scripts/matrix.sh --help` lists the targets. The results that the project has seen are in docs/compatibility.md.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${MATRIX_CACHE:-$root/build/matrix}

# name | script in scripts/matrix/ | its argument | what is tried
targets() {
    cat <<'END'
nginx-1.20|source|nginx release-1.20|nginx 1.20, its last release
nginx-1.22|source|nginx release-1.22|nginx 1.22, its last release
nginx-1.24|source|nginx release-1.24|nginx 1.24, its last release
nginx-1.26|source|nginx release-1.26|nginx 1.26, its last release
nginx-1.28|source|nginx release-1.28|nginx 1.28, its last release
nginx-1.30|source|nginx release-1.30|nginx 1.30, its last release
nginx-mainline|source|nginx|nginx, the newest commit
freenginx|source|freenginx|freenginx, the newest commit
tengine|source|tengine|Tengine, the newest commit
openresty|source|openresty|nginx with OpenResty's patches, without its Lua modules
angie|source|angie|Angie, the newest release
static|static|nginx release-1.30|nginx 1.30 with the module built in (--add-module)
clang|compiler|clang|nginx 1.30, compiled with Clang
gcc-11|compiler|gcc-11|nginx 1.30, compiled with GCC 11
gcc-13|chroot|trixie gcc-13|Debian 13, compiled with GCC 13
gcc-15|chroot|sid gcc-15|Debian unstable, compiled with GCC 15
lto|flags|lto|link-time optimization
ubuntu-flags|flags|ubuntu|the compiler's flags of Ubuntu's nginx
fedora-flags|flags|fedora|the compiler's flags of Fedora's nginx
debian-12|chroot|bookworm|Debian 12 with its nginx and compiler, in a chroot
debian-13|chroot|trixie|Debian 13 with its nginx and compiler, in a chroot
debian-sid|chroot|sid|Debian unstable with its nginx and compiler, in a chroot
arm64|arm64|trixie|arm64: cross-built on Debian 13, tests under qemu
musl|musl||the parts that need no nginx, against musl's headers
END
}

help() {
    cat <<'END'
usage: make matrix [TARGETS="name ..."]
       scripts/matrix.sh [--list | --table] [name ...]

Without names it tries all targets, one after another, which takes two hours or more on two processors.

  --list    prints the targets
  --table   prints the results of earlier runs and tries nothing

Sources. nginx and its forks are cloned with git from their public repositories. Two ways to do without:
  MATRIX_SOURCES=folder   has one source tree (folder/nginx-1.28) or archive (folder/nginx-1.28.tar.gz)
                          for each target; OpenResty's must be patched already. Only these are tried.
  git's url.<base>.insteadOf setting, for a mirror of your own

Chroots (debian-*, arm64) need root and debootstrap. Debian's mirror is the one that apt uses here, or
  MATRIX_MIRROR=URL
Each chroot takes 2 to 3 GB and is removed after its run. MATRIX_KEEP=1 keeps it for the next run.

  MATRIX_CACHE=folder     where sources, trees, chroots, logs and results are kept: build/matrix
  MATRIX_TESTS="names"    the smoke test, as files in t/ without .t (limits/keys)

A target that cannot be tried here is listed as "not tried", with the reason. The exit status is 1 if one failed.
END
}

# Prints the results of the named targets as a table in Markdown.
table() {
    local name what line
    printf '| target | version | build | smoke test | unit tests |\n|---|---|---|---|---|\n'
    for name in "$@"; do
        what=$(targets | sed -n "s/^$name|.*|//p")
        line='not tried yet | | |'
        [ ! -f "$cache/results/$name" ] || line=$(tail -n 1 "$cache/results/$name")
        printf '| %s: %s | %s |\n' "$name" "$what" "$line"
    done
}

# Runs the script of a target. It writes one line, the columns of the table, into its result file. A script that
# ends without one has failed. The script has a process group, which ends with this script.
try() {
    local name kind argument result=$cache/results/$1 log=$cache/$1.log
    IFS='|' read -r name kind argument _ < <(targets | grep "^$1|")
    printf '%-16s' "$name"
    rm -f "$result" "$log"
    MATRIX_RESULT=$result setsid nice "$root/scripts/matrix/$kind.sh" "$name" $argument >>"$log" 2>&1 </dev/null &
    group=$!
    wait "$group" || true
    group=''
    [ -s "$result" ] || printf 'failed; see %s | | |\n' "${log#"$root/"}" >"$result"
    tail -n 1 "$result"
}

# Ends the target that is being tried.
group=''
end() {
    [ -n "$group" ] || return 0
    kill -TERM -- "-$group" || true
    wait "$group" || true
}
trap end EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP

mode=try
case ${1:-} in
    --help | -h) help; exit 0 ;;
    --list) targets | awk -F '|' '{ printf "%-16s %s\n", $1, $4 }'; exit 0 ;;
    --table) mode=table; shift ;;
    -*) help >&2; exit 2 ;;
esac

mapfile -t names < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else targets | cut -d '|' -f 1; fi)
for name in "${names[@]}"; do
    targets | grep -q "^$name|" || { echo "there is no target $name; scripts/matrix.sh --list names all" >&2; exit 2; }
done

mkdir -p "$cache/results"
export MATRIX_CACHE=$cache
if [ "$mode" = try ]; then
    for name in "${names[@]}"; do try "$name"; done
    echo
fi
table "${names[@]}"
# "0 failed" is no failure.
! table "${names[@]}" | sed 's/\b0 failed//g' | grep -q failed
