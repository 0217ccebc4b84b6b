#!/bin/bash
# The part of arm64.sh that runs inside of the chroot.
set -uo pipefail

cd /project
mkdir -p build
MATRIX_CACHE=/project/build
MATRIX_RESULT=/project/build/matrix-row
. scripts/matrix/functions.sh

version='' build_result=failed smoke_result='' unit_result=''
row() { result "$version" "$build_result" "$smoke_result" "$unit_result"; }
trap row EXIT

dpkg --add-architecture arm64
apt-get -qq update || true
libraries=(libssl libpcre2 zlib1g libbrotli libhiredis libxxhash libgtest liblua5.1-0)
apt-get -qq install --no-install-recommends make perl curl procps g++-aarch64-linux-gnu libboost-dev nlohmann-json3-dev \
    "${libraries[@]/%/-dev:arm64}" >/dev/null || exit 1
version="$(aarch64-linux-gnu-g++ --version | head -n 1), $(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/nginx \1/p' /nginx-source/src/core/nginx.h)"

# nginx's configure takes another pointer size than it finds for a sign of cross-building, so it has to run its tests.
DEPS=no NGINX_SRC=/nginx-source CC=aarch64-linux-gnu-gcc AI_LIMIT_WERROR=1 make module || exit 1
file=$(od -An -tx1 -j18 -N1 build/ngx_http_ai_limit_module.so | tr -d ' ')
[ "$file" = b7 ] || { echo 'the module is not for arm64'; exit 1; }
build_result='module passed'
row

# The tests of t/ look for nginx's processes by their names, which qemu hides. This asks what `make run` shows.
smoke_of_run() {
    local pid codes status=1 port=18080 i
    NGINX_BIN=/project/build/nginx-src/objs/nginx PORT=$port setsid scripts/run.sh >build/matrix-run.log 2>&1 &
    pid=$!
    for i in $(seq 120); do
        ! curl -fsS -o /dev/null -H 'x-api-key: other' http://127.0.0.1:$port/v1/models 2>/dev/null || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 1
    done
    codes=$(for i in 1 2 3 4 5 6 7; do
        curl -s -o /dev/null -w '%{http_code} ' -H 'x-api-key: demo' http://127.0.0.1:$port/v1/models
    done)
    # A shell makes its background jobs ignore SIGINT, which Ctrl-C would send.
    kill -TERM -- "-$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    echo "answers: $codes"
    [ "$codes" = '200 200 200 200 200 429 429 ' ] && status=0
    tail -n 5 build/matrix-run.log build/run-$port/logs/error.log
    return $status
}
if smoke_of_run; then smoke_result='`make run`: 5 requests pass, 2 are refused'; else smoke_result='`make run` failed'; fi
row

unit_result=$(TEST_CXX=aarch64-linux-gnu-g++ TEST_SANITIZE=no UNIT_FILTER=${UNIT_FILTER:--KilledProcesses*:*Simulation*:*OverARestart*} scripts/test.pl unit |
    tee -a /dev/stderr | grep -E '^skipped|passed' | tac | paste -sd ';' | sed 's/;/; /g')
