#!/bin/bash
# Puts the module into nginx's folder of modules, once this nginx has loaded it. By rename: an
# nginx that has the old file mapped keeps it, where overwriting in place would kill its workers.
#
#   NGINX_BIN=path   another nginx than the one in the PATH
#   DESTDIR=path     below another root
set -euo pipefail

cd "$(dirname "$0")/.."
module=ngx_http_ai_limit_module.so
nginx=${NGINX_BIN:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)}

option() { "$nginx" -V 2>&1 | sed -n "s,.* --$1=\([^ ]*\).*,\1,p"; }

# As nginx -t, of nothing but the module.
check() {
    local folder
    folder=$(mktemp -d)
    printf 'load_module "%s";\npid "%s/nginx.pid";\nerror_log stderr;\nevents {}\n' \
        "$PWD/build/$module" "$folder" >"$folder/nginx.conf"
    "$nginx" -t -q -p "$folder" -c "$folder/nginx.conf" 2>"$folder/said" || {
        sed -nE 's/.*\[emerg\] ([0-9]+#[0-9]+: )?//p' "$folder/said" | uniq >&2
        rm -r "$folder"
        echo "$nginx does not load this module, so it was not installed. It must be built for the same" \
            "version (NGINX_SRC=its source tree), and nginx --with-compat." >&2
        exit 1
    }
    rm -r "$folder"
}

check
dir=$(option modules-path)
if [ -z "$dir" ]; then
    prefix=$(option prefix)
    dir=${prefix:-/usr/local/nginx}/modules
fi
dir=${DESTDIR:-}$dir

mkdir -p "$dir"
install -m 644 "build/$module" "$dir/.$module.new"
mv -f "$dir/.$module.new" "$dir/$module"
echo "installed $dir/$module"
echo "load it with: load_module modules/$module;  (a running nginx needs a restart to take a new one)"
