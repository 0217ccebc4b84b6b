#!/bin/bash
# Installs through apt-get whatever is missing for one purpose, and does nothing
# where all is there.
#
#   scripts/deps.sh build|deb|smoke|test|bench|check|sanitize|matrix
set -euo pipefail

build=(g++ make nginx nginx-dev libxxhash-dev libssl-dev libpcre2-dev zlib1g-dev libbrotli-dev libhiredis-dev)
build+=(nlohmann-json3-dev)
deb=("${build[@]}" git build-essential dpkg-dev debhelper)
smoke=("${deb[@]}" perl libgtest-dev libboost-json-dev clang libclang-rt-dev curl brotli)
smoke+=(liblua5.1-0-dev redis-server redis-tools openssl)
test=("${smoke[@]}" nodejs npm chromium prometheus jq libyaml-libyaml-perl)
matrix=("${smoke[@]}" patch debootstrap qemu-user-static gcc-11 g++-11 libpcre3-dev musl-tools libc++-dev)

case ${1:-build} in
    build)    wanted=("${build[@]}") ;;
    deb)      wanted=("${deb[@]}") ;;
    smoke)    wanted=("${smoke[@]}") ;;    # the unit tests and most nginx tests
    matrix)   wanted=("${matrix[@]}") ;;
    test)     wanted=("${test[@]}") ;;
    sanitize) wanted=("${test[@]}") ;;
    bench)    wanted=("${build[@]}" perl libboost-json-dev valgrind wrk liblua5.1-0-dev redis-server redis-tools) ;;
    check)    wanted=(clang-format clang-tidy codespell lua5.1 perl git libxxhash-dev libssl-dev libhiredis-dev nlohmann-json3-dev) ;;
    *)        echo "usage: $0 build|deb|smoke|test|bench|check|sanitize|matrix" >&2; exit 2 ;;
esac

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The runtime's package carries clang's version in its name on Debian, so what
# counts is whether clang finds its fuzzer.
clang_has_runtime() {
    local dir
    dir=$(clang -print-resource-dir 2>/dev/null) || return 1
    compgen -G "$dir/lib/*/libclang_rt.fuzzer*.a" >/dev/null
}

present() {
    case $1 in
        nginx)            command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
        nodejs)           command -v node >/dev/null ;;
        redis-tools)      command -v redis-cli >/dev/null ;;
        redis-server | openssl | chromium | prometheus | git) command -v "$1" >/dev/null ;;
        npm | curl | brotli | wrk | valgrind | make | g++ | clang | clang-format | clang-tidy | codespell)
                          command -v "$1" >/dev/null ;;
        libclang-rt-dev)  clang_has_runtime ;;
        libboost-json-dev) [ -f /usr/include/boost/json/basic_parser.hpp ] ;;
        *)                installed "$1" ;;
    esac
}

# True if the nginx that is there is not the distribution's: it comes from nginx.org's packages, whose versions
# end in ~bookworm or the like, or from no package. The distribution's headers do not fit it, and installing
# them might replace it.
is_foreign() {
    local path package
    path=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx) || return 1
    package=$(dpkg-query -S "$path" 2>/dev/null | cut -d: -f1)
    [ -n "$package" ] || return 0
    dpkg-query -W -f='${Version}' "$package" 2>/dev/null | grep -qE -- '-[0-9.]+~[a-z]+$'
}

# An nginx source tree stands in for the installed nginx and its headers. Ubuntu has Chromium
# as a snap only; the test of the page is skipped there.
needed() {
    case $1 in
        nginx)             [ -z "${NGINX_SRC:-}" ] ;;
        nginx-dev)         [ -z "${NGINX_SRC:-}" ] && ! is_foreign ;;
        chromium)          ! grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null ;;
    esac
}

missing=()
for package in "${wanted[@]}"; do
    needed "$package" && ! present "$package" && missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    [ "${missing[*]}" != libbrotli-dev ] || exit 0  # the build can do without it
    echo "missing: ${missing[*]} (and no apt-get here to install them)" >&2
    exit 1
fi

root=()
if [ "$(id -u)" != 0 ]; then
    root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

apt() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" \
        >"$log" 2>&1 </dev/null
}

echo "installing: ${missing[*]}"
apt update || { cat "$log" >&2; echo "apt-get update failed, going on" >&2; }

# A name that other packages only mention is known to apt as well.
is_offered() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

# If no package of that name is offered (nginx-dev before Ubuntu 23.04), the build falls back on
# nginx's source package.
offered=()
for package in "${missing[@]}"; do
    if [ "$package" = libclang-rt-dev ]; then
        version=$(apt-cache depends clang | sed -n 's/^  Depends: clang-\([0-9]*\)$/\1/p')
        package="libclang-rt-$version-dev"
        is_offered "$package" || package="libclang-common-$version-dev"
    fi
    # Boost.JSON, header-only, came with 1.75: Debian 12's plain libboost-dev is older.
    if [ "$package" = libboost-json-dev ]; then
        package=libboost-json1.81-dev
        is_offered "$package" || package=libboost-dev
    fi
    if [ "$package" = nginx-dev ] && ! is_offered nginx-dev; then
        installed dpkg-dev || offered+=(dpkg-dev)
        # nginx was built with the old PCRE then.
        if apt-cache depends nginx-core nginx 2>/dev/null | grep -q 'libpcre3$'; then
            installed libpcre3-dev || offered+=(libpcre3-dev)
        fi
        continue
    fi
    # Without it one test is skipped, or one target of the matrix is not tried.
    if [[ $package =~ ^(prometheus|gcc-11|g..-11|libpcre3-dev)$ ]] && ! is_offered "$package"; then
        continue
    fi
    offered+=("$package")
done
[ ${#offered[@]} -gt 0 ] || exit 0

if ! apt install --no-install-recommends "${offered[@]}"; then
    cat "$log" >&2
    echo "could not install: ${offered[*]}" >&2
    exit 1
fi

# Debian starts what it installs. Nobody asked for a server on port 80, 6379 or 9090, so one
# that came with this very installation is stopped again; one that was there
# before is left alone.
for service in nginx redis-server prometheus; do
    if [[ " ${missing[*]} " == *" $service "* ]] && [ -x /usr/sbin/invoke-rc.d ]; then
        "${root[@]}" /usr/sbin/invoke-rc.d --quiet "$service" stop >/dev/null 2>&1 || true
    fi
done
