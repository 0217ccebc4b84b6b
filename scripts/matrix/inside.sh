#!/bin/bash
# The part of chroot.sh that runs inside: installs what scripts/deps.sh names, then builds and tries all of it.
# Writes the row of the table after each step, so that a step that fails is seen.
set -uo pipefail

cd /project
mkdir -p build
MATRIX_CACHE=/project/build
MATRIX_RESULT=/project/build/matrix-row
. scripts/matrix/functions.sh

steps=()
smoke_result='' unit_result=''
row() { result "$version" "$(IFS=,; echo "${steps[*]}" | sed 's/,/, /g')" "$smoke_result" "$unit_result"; }
# Runs a step and notes how it ended.
step() {
    local what=$1
    shift
    echo "== $what: $*"
    if "$@"; then steps+=("$what passed"); else steps+=("$what failed"); fi
    row
}

# Starts `make run`, asks it once, and ends it.
try_run() {
    local pid port=18080 status=1 i
    setsid make run DEPS=no PORT=$port >build/matrix-run.log 2>&1 &
    pid=$!
    for i in $(seq 120); do
        if curl -fsS -o /dev/null -H 'x-api-key: demo' http://127.0.0.1:$port/v1/models 2>/dev/null; then
            status=0
            break
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 1
    done
    # A shell makes its background jobs ignore SIGINT, which Ctrl-C would send.
    kill -TERM -- "-$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    tail -n 5 build/matrix-run.log
    return $status
}

try_deb() {
    make deb DEPS=no && dpkg -i build/deb/libnginx-mod-http-ai-limit_*.deb && nginx -t && dpkg -r libnginx-mod-http-ai-limit
}

# Compiles with another compiler than the system's, where a warning is an error.
try_compiler() {
    apt-get -qq install --no-install-recommends "$1" "${1/gcc/g++}" >/dev/null || not_tried "this Debian has no $1"
    step dependencies scripts/deps.sh smoke
    export CC=$1
    version="$(nginx_name), $("$CC" --version | head -n 1)"
    step module make module DEPS=no
    smoke_result=$(smoke /project)
    row
}

nginx_name() { nginx -v 2>&1 | sed 's,.*: ,,; s,/, ,'; }

version=
# Both of the builds below must see it, or the second begins anew.
export AI_LIMIT_WERROR=1
apt-get -qq update && apt-get -qq install --no-install-recommends make git ca-certificates >/dev/null || exit 1
if [ -n "${MATRIX_COMPILER:-}" ]; then
    try_compiler "$MATRIX_COMPILER"
    exit
fi
step dependencies scripts/deps.sh smoke
# The rest of `make test` needs these: they are large, and it is enough that they can be had.
step 'packages of make test' apt-get -qq --simulate install nodejs npm chromium prometheus jq libyaml-libyaml-perl
version="$(nginx_name), $(g++ --version | sed -n '1s/g++ //p')"
step module make module DEPS=no
step 'make run' try_run
step 'make deb' try_deb
smoke_result=$(smoke /project)
row
if [ "${MATRIX_UNIT:-}" != no ]; then
    unit_result=$(UNIT_FILTER='-*EveryInstruction*:KilledProcesses*:ShareSimulation*:*OverARestart*' scripts/test.pl unit | tee -a /dev/stderr | tail -n 1)
    row
fi
