#!/bin/bash
# Builds nginx with the module as a part of it (--add-module), and runs the smoke test without load_module.
#
#   scripts/matrix/static.sh TARGET SERVER TAG-PREFIX
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/sources.sh"

find_source nginx-1.30 "$2" "$3"
version=$(tree_version "$tree")
work=$cache/trees/static
copy_project "$work"
mkdir -p "$work/build"
built=$work/build/nginx-static
[ -d "$built" ] || cp -a "$tree" "$built"
cd "$built"
auto/configure --prefix="$work/build/prefix" --add-module="$work" --with-cc-opt='-g -O2' --with-debug --with-threads \
    --with-http_ssl_module --with-http_v2_module --with-http_realip_module --with-http_auth_request_module \
    --with-http_gunzip_module --with-http_gzip_static_module --with-http_slice_module \
    --with-http_stub_status_module --with-http_sub_module --with-http_addition_module
make -j "$(nproc)" -f objs/Makefile build || { result "$version" failed; exit 1; }
# The tests load no module if this file does not exist.
export NGINX_BIN=$built/objs/nginx AI_LIMIT_MODULE=$work/build/none.so
result "$version, static" passed "$(smoke "$work")"
