#!/bin/bash
# Checks a price file as nginx reads it (ai_limit_prices), with the module in build/:
#
#   scripts/check-prices.sh FILE     says whether nginx reads it, or what is wrong; the status is nginx's
set -euo pipefail

file=${1:?usage: make check-prices FILE=prices.json}
[[ $file = /* ]] || file=$PWD/$file
root=$(cd "$(dirname "$0")/.." && pwd)
module=${AI_LIMIT_MODULE:-$root/build/ngx_http_ai_limit_module.so}
nginx=${NGINX_BIN:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)}
[ -f "$module" ] || { echo "there is no $module: make module builds it" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/nginx.conf" <<END
load_module $module;
pid $folder/nginx.pid;
error_log stderr;
events {}
http { ai_limit_prices "$file"; }
END
status=0
"$nginx" -t -p "$folder/" -c "$folder/nginx.conf" -e stderr > "$folder/output" 2>&1 || status=$?
# The lines of ours, without nginx's prefix and the place in a configuration that nobody wrote.
sed -n -E 's/^.*(ai_limit_prices: .*)$/\1/p' "$folder/output" | sed -E "s, in $folder/nginx.conf:[0-9]+\$,,"
if grep -q 'no model has a price' "$folder/output"; then
    status=1
elif [ "$status" = 0 ]; then
    echo "$file is a price file"
elif ! grep -q 'ai_limit_prices: ' "$folder/output"; then
    cat "$folder/output"
fi
exit "$status"
