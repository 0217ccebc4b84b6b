#!/bin/bash
# nginx with conf-examples/$CONF.conf (quickstart) on port $PORT, and a model
# server behind it, both in the foreground. Ctrl-C ends both.
set -euo pipefail

cd "$(dirname "$0")/.."
port=${PORT:-8080}
model_port=${MODEL_PORT:-$((port + 1))}
conf=conf-examples/${CONF:-quickstart}.conf
folder=build/run
[ "$port" = 8080 ] || folder=build/run-$port
run=$PWD/$folder
nginx=${NGINX_BIN:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

if [ ! -f "$conf" ]; then
    echo "there is no $conf; CONF= is one of:" conf-examples/*.conf >&2
    exit 1
fi
if taken "$port"; then
    echo "port $port is taken: make run PORT=9090 takes another" >&2
    exit 1
fi
for ((i = 0; i < 50; i++)); do
    taken "$model_port" || break
    model_port=$((model_port + 1))
done

# The example as it stands, but for its ports, in a folder that is nginx's prefix.
mkdir -p "$run"/{logs,modules,tmp}
ln -sfn "$PWD/build/ngx_http_ai_limit_module.so" "$run/modules/ngx_http_ai_limit_module.so"
sed -E -e "s/\blisten 8080\b/listen $port/; s/127\.0\.0\.1:8081\b/127.0.0.1:$model_port/" \
    "$conf" > "$run/nginx.conf"

globals="daemon off; pid $run/nginx.pid;"
[ "$(id -u)" != 0 ] || globals+=" user root;"

"${PERL:-perl}" t/lib/model_server.pl "$model_port" >"$run/logs/model_server.log" 2>&1 &
model=$!
server=
end() {
    trap '' INT TERM
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    kill "$model" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap end EXIT
trap 'exit 0' INT TERM

quickstart_hints() {
    cat <<END
(5 requests and 30 LLM tokens a minute for each API key)

The first requests pass, the rest get 429:
  for i in 1 2 3 4 5 6 7; do curl -s -o /dev/null -w '%{http_code}\n' -H 'x-api-key: demo' http://127.0.0.1:$port/v1/models; done

What a refusal looks like, and that another key has its own limit:
  curl -i -H 'x-api-key: demo' http://127.0.0.1:$port/v1/models
  curl -i -H 'x-api-key: other' http://127.0.0.1:$port/v1/models

Streams, of 14 tokens each: two come, then the budget has run out, and "tokens" refuses the third:
  for i in 1 2 3; do curl -sN -w '\n%{http_code}\n' -H 'x-api-key: streamer' -H 'X-Model-Chunk-Delay: 300' http://127.0.0.1:$port/v1/chat/completions -d '{"model":"test-model","stream":true,"max_tokens":10,"messages":[{"role":"user","content":"Hi"}]}'; done

What each of them used, and what was held for it while it ran:
  tail -n 3 $folder/logs/access.log
END
}

echo "nginx-ai-limit listens on http://127.0.0.1:$port"
[ "$conf" != conf-examples/quickstart.conf ] || quickstart_hints
cat <<END

Configuration: $conf. Logs: $folder/logs/. Ctrl-C ends it.
END

"$nginx" -p "$run/" -c "$run/nginx.conf" -e "$run/logs/error.log" -g "$globals" &
server=$!
wait "$server" || {
    echo "nginx ended; $folder/logs/error.log says why:" >&2
    tail -n 5 "$run/logs/error.log" >&2
    exit 1
}
