#!/bin/bash
# Builds nginx 1.30 and the module with another compiler, where a warning is an error, and runs the smoke test.
#
#   scripts/matrix/compiler.sh TARGET COMPILER
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/sources.sh"

compiler=$2
command -v "$compiler" >/dev/null || not_tried "$compiler is missing"
find_source nginx-1.30 nginx release-1.30
version="$("$compiler" --version | head -n 1), $(tree_version "$tree")"
work=$cache/trees/$compiler
copy_project "$work"
export DEPS=no NGINX_SRC=$tree CC=$compiler AI_LIMIT_WERROR=1
make -C "$work" module || { result "$version" failed; exit 1; }
export NGINX_BIN=$work/build/nginx-src/objs/nginx
result "$version" passed "$(smoke "$work")"
