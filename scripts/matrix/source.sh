#!/bin/bash
# Builds a server from source and the module for it, and runs the smoke test.
#
#   scripts/matrix/source.sh TARGET SERVER [TAG-PREFIX]
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/sources.sh"

find_source "$@"
version=$(tree_version "$tree")
# nginx reads PCRE2 since 1.21.5.
if ! grep -q PCRE2 "$tree/auto/lib/pcre/conf" && [ ! -f /usr/include/pcre.h ]; then
    not_tried 'this version needs the old PCRE (libpcre3-dev)'
fi
work=$cache/trees/source
copy_project "$work"
export DEPS=no NGINX_SRC=$tree
make -C "$work" module || { result "$version" failed; exit 1; }
# Angie calls its program angie.
NGINX_BIN=$work/build/nginx-src/objs/nginx
[ -x "$NGINX_BIN" ] || NGINX_BIN=$work/build/nginx-src/objs/angie
export NGINX_BIN
"$NGINX_BIN" -V
result "$version" passed "$(smoke "$work")"
