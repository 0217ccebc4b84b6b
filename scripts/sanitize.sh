#!/bin/bash
# The nginx tests, or those that are named, with AddressSanitizer and UndefinedBehaviorSanitizer in nginx
# and in the module. A report of either fails the test that caused it.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD

if [ -z "${NGINX_SRC:-}" ]; then
    NGINX_SRC=$(scripts/nginx-source.sh build/nginx-source)
    export NGINX_SRC
fi
SANITIZE=1 scripts/build.sh

export NGINX_BIN=$root/build/nginx-sanitize/objs/nginx
export AI_LIMIT_MODULE=$root/build/nginx-sanitize/ngx_http_ai_limit_module.so
export AI_LIMIT_SANITIZE=1
export AI_LIMIT_PATIENCE=60
export ASAN_OPTIONS=detect_odr_violation=0:abort_on_error=0:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions=$root/t/lsan.supp:print_suppressions=0
scripts/test.pl nginx "$@"
