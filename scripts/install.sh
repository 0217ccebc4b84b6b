#!/bin/bash
# Puts the module into nginx's folder of modules. By rename: an nginx that has the
# old file mapped keeps it, where overwriting in place would kill its workers.
set -euo pipefail

cd "$(dirname "$0")/.."
nginx=${NGINX_BIN:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)}

option() { "$nginx" -V 2>&1 | sed -n "s,.* --$1=\([^ ]*\).*,\1,p"; }

dir=$(option modules-path)
if [ -z "$dir" ]; then
    prefix=$(option prefix)
    dir=${prefix:-/usr/local/nginx}/modules
fi

dir=${DESTDIR:-}$dir
module=ngx_http_ai_limit_module.so
mkdir -p "$dir"
install -m 644 "build/$module" "$dir/.$module.new"
mv -f "$dir/.$module.new" "$dir/$module"
echo "installed $dir/$module"
echo "load it with: load_module modules/$module;  (a running nginx needs a restart to take a new one)"
