# Tests that ai_limit_include_usage asks OpenAI-style streams for their usage if the client did not, and hides the piece
# that holds it. A client that asked gets it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;"
        . 'ai_limit_policy early key=$http_x_key rate=100r/month phase=preaccess;'
        . 'proxy_cache_path %%DIR%%/cache keys_zone=answers:1m;',
    server => 'ai_limit_include_usage on; ai_limit_unreadable_body estimate;',
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /file/ { client_body_in_file_only clean; proxy_pass http://model/; }
        location /buffered/ { proxy_buffering on; proxy_pass http://model/; }
        location /small/ {
            proxy_buffering on;
            proxy_buffer_size 1k;
            proxy_buffers 8 1k;
            proxy_busy_buffers_size 2k;
            proxy_pass http://model/;
        }
        location /cached/ {
            proxy_buffering on;
            proxy_cache answers;
            proxy_cache_key $uri$is_args$args;
            proxy_cache_methods POST;
            proxy_cache_valid 200 1h;
            proxy_pass http://model/;
        }
        location /denied/ { ai_limit early tokens; deny all; proxy_pass http://model/; }
        location /off/ { ai_limit_include_usage off; proxy_pass http://model/; }
        # The model server sends back what it is sent.
        location /stream/ {
            proxy_set_body 'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}\n\ndata: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12}}\n\ndata: [DONE]\n\n';
            proxy_pass http://model/raw?split=9&type=$arg_type;
        }
        location /document/ {
            proxy_set_body ' {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12}}';
            proxy_pass http://model/raw?split=9&type=$arg_type;
        }
        location /unlimited/ { ai_limit off; proxy_pass http://model/; }
CONF
);
my $used = 'prompt_tokens=30&completion_tokens=12';
my $counted = 'in=30 out=12 cached=0 total=42 source=response';
my $TRUE = JSON::PP::true;

for my $path ('', '/file', '/buffered') {
    for my $streams ('/v1/chat/completions', '/v1/completions') {
        subtest "$path$streams" => sub {
            $t->new_client;
            my $silent = $t->ask("$path$streams?$used", chat(stream => 1));
            is usage_of($silent), $counted, 'a client that did not ask is counted';
            is $t->left, $LIMIT - 42, 'and charged';
            unlike $silent->{body}, qr/usage|prompt_tokens/, 'and sees nothing of it, not even null';
            is_deeply sent()->{stream_options}, {include_usage => $TRUE}, 'the server was asked';
            is events($silent), events_of("$streams?$used", chat(stream => 1)), 'all else is seen as without the directive';

            my $asked = $t->ask("$path$streams?$used", chat(stream => 1, include_usage => 1));
            is usage_of($asked), $counted, 'a client that asked is counted';
            ok $asked->{body} eq post($t->model->port, "$streams?$used", chat(stream => 1, include_usage => 1))->{body},
                'and sees what the server sends';
        };
    }
}

subtest 'other options of the client' => sub {
    my %options = (
        '{"include_obfuscation":false}' => {include_obfuscation => JSON::PP::false, include_usage => $TRUE},
        '{"include_usage":false,"x":[1,{"include_usage":false}]}' => {include_usage => $TRUE, x => [1, {include_usage => JSON::PP::false}]},
        '{ }' => {include_usage => $TRUE},
        'null' => {include_usage => $TRUE},
    );
    for my $text (sort keys %options) {
        my $body = qq({"stream" : true, "messages":[{"role":"user","content":"Hi","stream_options":null}], "stream_options":$text, "seed":1.0});
        my $answer = $t->ask("/v1/chat/completions?$used", $body);
        is usage_of($answer), $counted, $text;
        unlike $answer->{body}, qr/prompt_tokens/, 'is hidden';
        my $sent = sent();
        is_deeply $sent->{stream_options}, $options{$text}, 'the rest is kept';
        is $sent->{messages}[0]{content}, 'Hi', 'and all else';
        like last_seen()->{body}, qr/"messages":\[\{"role":"user","content":"Hi","stream_options":null\}\]/, 'as it was written';
        is last_seen()->{headers}{'content-length'}, length last_seen()->{body}, 'with its length';
    }
};

subtest 'the body in chunks' => sub {
    my $body = chat(stream => 1);
    my $chunked = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a10)*', $body) . "0\r\n\r\n";
    my $answer = $t->ask("/v1/chat/completions?$used", $chunked, headers => ['Transfer-Encoding' => 'chunked']);
    is usage_of($answer), $counted, 'is changed as well';
};

subtest 'the hidden piece' => sub {
    for my $wish (map({ "split=$_" } 1, 2, 3, 5, 50), 'sse=crlf', 'sse=nospace', 'sse=lines&split=9', 'sse=comments',
        'obfuscation=1', 'nulls=0', 'text=data:%20%22usage%22:%7B%22prompt_tokens%22:1%7D') {
        my $answer = $t->ask("/v1/chat/completions?$used&$wish", chat(stream => 1));
        is usage_of($answer), $counted, $wish;
        unlike $answer->{body}, qr/"completion_tokens/, 'is hidden';
        like $answer->{body}, qr/\[DONE\]/, 'and nothing else';
        ok $answer->{complete}, 'to the end';
    }
};

subtest 'a piece with more than the usage' => sub {
    for my $split ('', '&split=7') {
        for my $word ('timings', 'error', 'citations') {
            my $answer = $t->ask("/v1/chat/completions?$used&beside=$word$split", chat(stream => 1));
            is usage_of($answer), $counted, "$word$split: is counted";
            like $answer->{body}, qr/^data: \{[^\n]*"$word":/m, 'the client sees the rest of it';
            unlike $answer->{body}, qr/usage/, 'without the usage';
            is scalar(() = $answer->{body} =~ /^data: /mg), 8, 'each piece is';
        }
        my $answer = $t->ask("/v1/chat/completions?$used&beside=cost$split", chat(stream => 1));
        is usage_of($answer), $counted, "cost$split: is counted";
        like $answer->{body}, qr/"usage":\{.*"cost":0.0125/, 'a usage with a cost is seen';
        like $answer->{body}, qr/"prompt_tokens":30/, 'with all of its members';
    }
};

subtest 'usage that comes in other pieces' => sub {
    for my $wish ('running=1', 'usage=last') {
        my $answer = $t->ask("/v1/chat/completions?$used&$wish", chat(stream => 1));
        is usage_of($answer), $counted, "$wish: is counted";
        unlike $answer->{body}, qr/usage/, 'and not seen';
        is events($answer), events_of('/v1/chat/completions', chat(stream => 1)), 'but all else';
    }
};

subtest 'a stream with another type' => sub {
    for my $type ('text/plain', 'application/octet-stream', 'application/json', 'text/event-stream') {
        my $answer = $t->ask("/stream/v1/chat/completions?type=$type", chat(stream => 1));
        is usage_of($answer), $counted, "$type: is counted";
        is $answer->{body}, qq(data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n), 'and seen without usage';
        my $document = $t->ask("/document/v1/chat/completions?type=$type", chat(stream => 1));
        like $document->{body}, qr/^ *\{.*"usage":\{"prompt_tokens":30/, 'a document is no stream';
        ok $document->{complete}, 'and whole';
    }
};

subtest 'a long stream' => sub {
    for my $nulls ('', '&nulls=0') {
        my $long = "/v1/chat/completions?size=2000000$nulls&$used";
        my $answer = $t->ask($long, chat(stream => 1));
        is usage_of($answer), $counted, "is counted$nulls";
        # Events with `"usage":null` are larger, so the model needs fewer of them for an answer of the same size.
        unlike $answer->{body}, qr/usage/, 'is seen without usage';
        ok events($answer) =~ /\[DONE\]$/ && $answer->{complete}, 'to the end';
        ok events($answer) eq events_of($long, chat(stream => 1)), 'and whole' if $nulls;
    }
};

subtest 'events that fill several buffers' => sub {
    # The first part of an event has nothing that could go on, when all before it has been sent.
    my $parts = "/v1/chat/completions?$used&nulls=0&chunks=2&split=1000&chunk_delay=20&text=" . 'x' x 6000;
    my $answer = $t->ask("/small$parts", chat(stream => 1));
    ok $answer->{complete}, 'is whole';
    ok events($answer) eq events_of($parts, chat(stream => 1)), 'and seen';
    is usage_of($answer), $counted, 'and counted';
};

subtest 'a client that does not read' => sub {
    my $before = memory();
    my $pending = $t->begin("/v1/chat/completions?size=100000000&$used", chat(stream => 1));
    is $pending->head, 200, 'has an answer';
    my $most = 0;
    my $seen = -1;
    # The test waits until the server can send no more.
    for (my $end = time + 20; time < $end && $most > $seen; sleep 0.5) {
        $seen = $most;
        $most = memory();
    }
    cmp_ok $most - $before, '<', 4000, 'does not fill the memory, in KB';
    $pending->abort;
    is $t->logged($pending)->{source}, 'estimate', 'and is charged for what it could have read';
};

subtest 'an answer from a cache' => sub {
    for my $size (1, 500_000) {
        my $path = "/v1/chat/completions?$used&nulls=0&size=$size";
        for my $source ('response', 'none') {
            my $answer = $t->ask("/cached$path", chat(stream => 1));
            is $answer->{log}{source}, $source, "$size: $source";
            ok $answer->{body} !~ /prompt_tokens/, 'it is hidden';
            ok events($answer) eq events_of($path, chat(stream => 1)), 'and nothing else';
        }
    }
};

subtest 'a client that is not let in' => sub {
    my $part = '{"stream":true,';
    my $answer = $t->ask('/denied/v1/chat/completions', $part, headers => ['Content-Length' => 1000]);
    is $answer->{status}, 403, 'need not send a body for it';
};

subtest 'Azure' => sub {
    my $answer = $t->ask("/openai/deployments/d/chat/completions?$used", chat(stream => 1));
    is usage_of($answer), $counted, 'is asked as well';
    like $answer->{body}, qr/^data: \{"choices":\[\],.*prompt_filter_results/, 'its first piece, without choices, is seen';
    unlike $answer->{body}, qr/prompt_tokens/, 'the last is not';
};

subtest 'compressed answers' => sub {
    my $answer = $t->ask("/v1/chat/completions?$used&encoding=gzip", chat(stream => 1), headers => ['Accept-Encoding' => 'gzip']);
    ok $answer->{complete}, 'an answer that comes compressed all the same is whole';
    is $answer->{log}{source}, 'response', 'and counted';
};

subtest 'requests that are left unchanged' => sub {
    my %bodies = (
        'no stream' => ['/v1/chat/completions', chat()],
        'a stream of another API' => ['/v1/messages', chat(stream => 1)],
        'responses' => ['/v1/responses', '{"input":"Hi","stream":true}'],
        'Ollama' => ['/api/chat', chat(stream => 1)],
        'embeddings' => ['/v1/embeddings', '{"input":"Hi"}'],
        'no JSON' => ['/v1/chat/completions', '{"stream":true,'],
        'switched off' => ['/off/v1/chat/completions', chat(stream => 1)],
        'no limits' => ['/unlimited/v1/chat/completions', chat(stream => 1)],
    );
    for my $name (sort keys %bodies) {
        my ($path, $body) = @{$bodies{$name}};
        my $answer = $t->ask($path, $body);
        is last_seen()->{body}, $body, $name;
        ok $answer->{complete}, 'is answered';
    }
};

subtest 'errors' => sub {
    my $answer = $t->ask('/v1/chat/completions?status=400', chat(stream => 1));
    is $answer->{status}, 400, 'reach the client';
    like $answer->{body}, qr/status 400/, 'as they are';
    $t->new_client;
    my $cut = $t->ask("/v1/chat/completions?$used&cut=3", chat(stream => 1));
    is $cut->{log}{source}, 'estimate', 'a stream that is cut is estimated';
    my $events = () = $cut->{body} =~ /^data: .*\n\n/mg;
    is $events, 3, 'and seen as far as it came';
};

$t->stop;
done_testing;

sub last_seen { return decode_json(get($t->model->port, '/last')->{body}) }

# Returns the worker's memory in KB.
sub memory {
    my ($worker) = $t->nginx->workers;
    open my $file, '<', "/proc/$worker/status" or die "worker $worker: $!";
    my ($size) = join('', <$file>) =~ /^VmRSS:\s+(\d+)/m;
    return $size;
}

sub sent { return decode_json(last_seen()->{body}) }

# The pieces of a stream.
sub events {
    my ($answer) = @_;
    return join "\n", $answer->{body} =~ /^data: (.*)$/mg;
}

sub events_of {
    my ($path, $body) = @_;
    return events(post($t->model->port, $path, $body));
}
