#!/bin/bash
# nginx with conf-examples/$CONF.conf (quickstart) on port $PORT, and a model
# server behind it, both in the foreground. Ctrl-C ends both.
# CONF=recipes/NAME takes the configuration that docs/recipes/NAME.md shows.
set -euo pipefail

cd "$(dirname "$0")/.."
port=${PORT:-8080}
model_port=${MODEL_PORT:-$((port + 1))}
conf=conf-examples/${CONF:-quickstart}.conf
folder=build/run
again='make run'
is_recipe=
[[ ${CONF:-} != recipes/* ]] || { is_recipe=1; conf=docs/$CONF.md; folder+=-${CONF#recipes/}; }
[ "$port" = 8080 ] || { folder+=-$port; again+=" PORT=$port"; }
run=$PWD/$folder
nginx=${NGINX_BIN:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)}

# Writes the files that a page shows as those of /etc/nginx into the folder.
write_recipe() {
    "${PERL:-perl}" -0777 -ne '
        while (m{^```\w*\n(# /etc/nginx/(\S+)\n.*?)^```$}msg) {
            my ($text, $name) = ($1, $2);
            $text =~ s{^.*\n}{} if $name =~ m{\.json$};    # which has no comments
            open my $file, ">", "$ENV{FOLDER}/$name" or next;
            print {$file} $text;
        }' "$conf"
}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

if [ ! -f "$conf" ]; then
    echo "there is no $conf; CONF= is the name of one of:" conf-examples/*.conf docs/recipes/*.md >&2
    exit 1
fi
if taken "$port"; then
    echo "port $port is taken: make run PORT=9090 takes another" >&2
    exit 1
fi
free_port_from() {
    local candidate
    for ((candidate = $1; candidate < $1 + 50; candidate++)); do
        taken "$candidate" || break
    done
    echo "$candidate"
}
model_port=$(free_port_from "$model_port")
second_port=$(free_port_from $((model_port + 1)))

# The example as it stands, but for its ports, in a folder that is nginx's prefix.
mkdir -p "$run"/{logs,modules,state,tmp}
ln -sfn "$PWD/build/ngx_http_ai_limit_module.so" "$run/modules/ngx_http_ai_limit_module.so"
if [ -n "$is_recipe" ]; then
    rm -f "$run/nginx.conf"
    FOLDER=$run write_recipe
    [ -f "$run/nginx.conf" ] || { echo "$conf shows no nginx.conf" >&2; exit 1; }
    sed -i -E -e "s,/etc/nginx/,$run/,g; s,/var/log/nginx/,$run/logs/,g; s,/var/lib/nginx/ai_limit/,$run/state/,g" \
        -e 's/^user .*//' "$run"/*.*
else
    cp "$conf" "$run/nginx.conf"
    cp conf-examples/prices.json "$run/"
fi
has_second=
! grep -q '127\.0\.0\.1:8082\b' "$run/nginx.conf" || has_second=1
sed -i -E -e "s/\blisten 8080\b/listen $port/; s/127\.0\.0\.1:8082\b/127.0.0.1:$second_port/" \
    -e "s/127\.0\.0\.1:8081\b/127.0.0.1:$model_port/" "$run/nginx.conf"

globals="daemon off; pid $run/nginx.pid;"
[ "$(id -u)" != 0 ] || globals+=" user root;"

"${PERL:-perl}" t/lib/model_server.pl "$model_port" >"$run/logs/model_server.log" 2>&1 &
models=$!
if [ -n "$has_second" ]; then
    "${PERL:-perl}" t/lib/model_server.pl "$second_port" >"$run/logs/model_server2.log" 2>&1 &
    models+=" $!"
fi
server=
end() {
    trap '' INT TERM
    [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
    # shellcheck disable=SC2086
    kill $models 2>/dev/null || true
    wait 2>/dev/null || true
}
trap end EXIT
trap 'exit 0' INT TERM

# $ai_limit_client of an API key, but for its "key:".
client_of() { printf %s "$1" | sha256sum | cut -c1-32; }

quickstart_hints() {
    cat <<END
What it does is seen at http://127.0.0.1:$port/ai_limit/ (from this machine).

Each API key has 5 requests and 30 LLM tokens a minute, and 2000 tokens a day. In another terminal:

1. Traffic to look at, until Ctrl-C: many small clients, which mostly pass, and a greedy one.
  i=0; while sleep 0.2; do i=\$((i + 1)); curl -s -o /dev/null -H 'x-api-key: greedy' http://127.0.0.1:$port/v1/models; curl -s -o /dev/null -H "x-api-key: client-\$((i % 150))" http://127.0.0.1:$port/v1/chat/completions -d '{"model":"test-model","max_tokens":10,"messages":[{"role":"user","content":"Hi"}]}'; done

2. A client at its limit: five requests pass, two get 429.
  for i in 1 2 3 4 5 6 7; do curl -s -o /dev/null -w '%{http_code}\n' -H 'x-api-key: demo' http://127.0.0.1:$port/v1/models; done
   What it is told:
  curl -i -H 'x-api-key: demo' http://127.0.0.1:$port/v1/models
   The page finds it (Find a key: policy per_client, key demo), and Reset gives it its requests back.

3. Streams, of 14 tokens each: two come, word by word. Then the tokens of this minute do not suffice.
  for i in 1 2 3; do curl -sN -w '\n%{http_code}\n' -H 'x-api-key: streamer' -H 'X-Model-Chunk-Delay: 300' http://127.0.0.1:$port/v1/chat/completions -d '{"model":"test-model","stream":true,"max_tokens":10,"messages":[{"role":"user","content":"Hi"}]}'; done

4. A restart forgets nothing: Ctrl-C here, \`$again\`, and see what is used of that day's 2000 tokens.
  curl 'http://127.0.0.1:$port/ai_limit/keys?policy=day&key=key:$(client_of streamer)'

5. An agent asks for 32,000 tokens each time and uses 300. Its first request teaches that; then eight run side by side, on 20,000
   tokens a minute.
  ask() { curl -s -o /dev/null -w '%{http_code}\n' -H 'x-api-key: agent' -H 'X-Model-Completion-Tokens: 300' -H 'X-Model-Delay: 1000' http://127.0.0.1:$port/agents/v1/chat/completions -d '{"model":"test-model","max_tokens":32000,"messages":[{"role":"user","content":"Hi"}]}'; }; ask; for i in 1 2 3 4 5 6 7 8; do ask & done; wait
   The end of each line says what was reserved:
  tail -n 9 $folder/logs/access.log

6. A stream without a limit ends where the budget ends, as one that has reached its token limit ("length"):
  curl -sN -H 'x-api-key: writer' -H 'X-Model-Size: 30000000' http://127.0.0.1:$port/agents/v1/chat/completions -d '{"model":"test-model","stream":true,"messages":[{"role":"user","content":"Write on."}]}' | tail -n 4

The counts are kept in $folder/state/; remove it to begin anew.
END
}

money_hints() {
    cat <<END
What it does is seen at http://127.0.0.1:$port/ai_limit/ (from this machine).

Each API key may spend 1 dollar a day, at the prices in conf-examples/prices.json. In another terminal:

1. A request of 100,000 tokens, 80,000 of them from a cache, and 20,000 of output. It costs 0.384 dollars on large-1, and 0.021 on
   small-1. X-RateLimit-Remaining was written when the request began: each answer shows what those before have cost.
  ask() { curl -s -D - -H 'x-api-key: demo' -H 'X-Model-Prompt-Tokens: 100000' -H 'X-Model-Cached-Tokens: 80000' -H 'X-Model-Completion-Tokens: 20000' http://127.0.0.1:$port/v1/chat/completions -d "{\"model\":\"\$1\",\"max_tokens\":20000,\"messages\":[]}" | grep -iE '^(HTTP|x-ratelimit-remaining|\{"error)'; }; ask large-1; ask small-1; ask large-1; ask large-1
   The last one is refused, in dollars.

2. The log has what each of them cost:
  tail -n 4 $folder/logs/access.log

3. On the page: Find a key, policy spend, key demo. Set its limit to 2usd/d for an hour; or here:
  curl -X PUT 'http://127.0.0.1:$port/ai_limit/keys?policy=spend&key=key:$(client_of demo)&rate=2usd/d&ttl=1h'
   Then it may go on:
  ask large-1

4. A model without a price is refused:
  ask unheard-of

The counts are kept in $folder/state/; remove it to begin anew.
END
}

case $conf in
conf-examples/quickstart.conf) quickstart_hints ;;
conf-examples/money.conf) money_hints ;;
*) echo "nginx-ai-limit listens on http://127.0.0.1:$port" ;;
esac
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
