# Tests that overrun=cut ends a stream that has used up the budget as its API ends one that has reached its token limit,
# and that it is charged for what the client got.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Compress::Raw::Zlib qw(WANT_GZIP Z_STREAM_END);
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Api;
use AiLimit::Certificate;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Tokens;

use constant {
    LIMIT  => 100,
    PIECES => 50,
    PIECE  => 20,    # characters, which are five tokens
};

my ($listen, $http2) = AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');
my $nginx = AiLimit::Nginx::binary();
my $has_http3 = qx($nginx -V 2>&1) =~ /--with-http_v3_module/;
my $certificate = AiLimit::Certificate->new('localhost');
my $quic = $has_http3 ? 'listen 127.0.0.1:%%PORT_3%% quic reuseport;' : '';
my $small = 'proxy_buffering on; proxy_buffer_size 1k; proxy_buffers 2 1k; proxy_busy_buffers_size 1k;';
my $gzip = 'gzip on; gzip_types *; gzip_min_length 1;';
my $t = AiLimit::Tokens->start(
    policies => 'ai_limit_policy tokens key=$http_x_key rate=1t/month burst=' . LIMIT . ' reserve=10 overrun=cut;'
        . 'ai_limit_policy debt key=$http_x_key rate=1t/month burst=' . LIMIT . ' reserve=10;'
        . 'ai_limit_policy large key=$http_x_key rate=1t/month burst=3300 reserve=10 overrun=cut;'
        . 'ai_limit_policy twenty key=$http_x_key rate=2kt/m overrun=cut;'
        . 'proxy_cache_path %%DIR%%/cache keys_zone=answers:1m;',
    files => {'localhost.crt' => $certificate->text, 'localhost.key' => $certificate->key_text},
    server => 'large_client_header_buffers 4 32k;',
    locations => <<"CONF",
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /buffered/ { proxy_buffering on; proxy_pass http://model/; }
        location /small/ { $small proxy_pass http://model/; }
        location /hidden/ { ai_limit_include_usage on; proxy_pass http://model/; }
        location /hidden_small/ { ai_limit_include_usage on; $small proxy_pass http://model/; }
        location /compressed/ { $gzip proxy_pass http://model/; }
        location /compressed_buffered/ { $gzip proxy_buffering on; proxy_pass http://model/; }
        location /compressed_small/ { $gzip $small proxy_pass http://model/; }
        location /cached/ {
            proxy_buffering on;
            proxy_cache answers;
            proxy_cache_key \$uri\$is_args\$args;
            proxy_cache_methods POST;
            proxy_cache_valid 200 1h;
            proxy_pass http://model/;
        }
        location /stored/ { proxy_buffering on; proxy_store %%DIR%%/stored; proxy_store_access all:r; proxy_pass http://model/; }
        location /slow/ { ai_limit large; limit_rate 300k; $small proxy_pass http://model/; }
        location /slower/ { limit_rate 4k; $small proxy_pass http://model/; }
        location /twenty/ { ai_limit twenty; proxy_pass http://model/; }
        location /debt/ { ai_limit debt; proxy_pass http://model/; }
        location /ai_limit/ { ai_limit off; ai_limit_api; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%$listen;
        $http2
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /small/ { $small proxy_pass http://model/; }
    }
    server {
        listen 127.0.0.1:%%PORT_2%% sndbuf=8k;
        proxy_buffering off;
        proxy_buffer_size 1m;
        proxy_buffers 4 1m;
        location / { ai_limit large; proxy_pass http://model; }
    }
    server {
        listen 127.0.0.1:%%PORT_3%% ssl;
        $quic
        ssl_certificate %%DIR%%/localhost.crt;
        ssl_certificate_key %%DIR%%/localhost.key;
        ai_limit tokens;
        location / { proxy_buffering off; proxy_pass http://model; }
        location /small/ { $small proxy_pass http://model/; }
CONF
);
my $api = AiLimit::Api->new($t->port);

my $wishes = 'chunks=' . PIECES . '&text=' . 'Q' x (PIECES * PIECE) . '&prompt_tokens=13&completion_tokens=250';
sub events {
    my ($body) = @_;
    return map { decode_json($_) } grep { $_ ne '[DONE]' } $body =~ /^data: ?(.*?)\r?$/mg;
}

sub lines { return map { decode_json($_) } split /\n/, $_[0] }

my $gemini = '{"contents":[{"parts":[{"text":"' . 'x' x 40 . '"}]}]}';
my $google = '/v1beta/models/g:streamGenerateContent';

# The request, what the client gets as documents, how they end, and what stands there before the tokens of the output.
my %apis = (
    chat => ['/v1/chat/completions', chat(stream => 1), \&events, sub { $_[-1]{choices}[0]{finish_reason} }, 'length'],
    'chat with usage' => ['/v1/chat/completions', chat(stream => 1, include_usage => 1), \&events,
        sub { "$_[-2]{choices}[0]{finish_reason} $_[-1]{usage}{completion_tokens}" }, 'length OUT'],
    completions => ['/v1/completions', '{"prompt":"' . 'x' x 40 . '","stream":true}', \&events,
        sub { $_[-1]{choices}[0]{finish_reason} }, 'length'],
    responses => ['/v1/responses', '{"input":"' . 'x' x 40 . '","stream":true}', \&events,
        sub {
            my $response = $_[-1]{response};
            return "$_[-1]{type} $response->{incomplete_details}{reason} $response->{usage}{output_tokens} "
                . tokens_of($response->{output}[0]{content}[0]{text});
        },
        'response.incomplete max_output_tokens OUT OUT'],
    anthropic => ['/v1/messages', chat(stream => 1), \&events,
        sub { join ' ', (map { $_->{type} } @_[-3 .. -1]), $_[-2]{delta}{stop_reason}, $_[-2]{usage}{output_tokens} },
        'content_block_stop message_delta message_stop max_tokens OUT'],
    'gemini, events' => ["$google?alt=sse", $gemini, \&events, sub { $_[-1]{candidates}[0]{finishReason} }, 'MAX_TOKENS'],
    'gemini, array' => [$google, $gemini, sub { @{decode_json($_[0])} }, sub { $_[-1]{candidates}[0]{finishReason} },
        'MAX_TOKENS'],
    ollama => ['/api/chat', chat(stream => 1), \&lines, sub { "$_[-1]{done_reason} $_[-1]{eval_count}" }, 'length OUT'],
    generate => ['/api/generate', '{"prompt":"' . 'x' x 40 . '"}', \&lines, sub { "$_[-1]{done_reason} $_[-1]{eval_count}" },
        'length OUT'],
    cohere => ['/v2/chat', chat(stream => 1), \&events,
        sub { "$_[-2]{type} $_[-1]{type} $_[-1]{delta}{finish_reason} $_[-1]{delta}{usage}{tokens}{output_tokens}" },
        'content-end message-end MAX_TOKENS OUT'],
);

# Asks for an answer that is larger than the budget.
sub ask {
    my ($place, $api, %o) = @_;
    my ($path, $body) = @{$apis{$api}};
    $t->new_client;
    my $separator = $path =~ /\?/ ? '&' : '?';
    return $t->ask("$place$path$separator$wishes" . ($o{more} // ''), $body, headers => $o{headers} // []);
}

# The tokens of the text that a client has got.
sub tokens_of {
    my ($body) = @_;
    $body =~ s/^event: response\.output_text\.done.*//ms;    # repeats the text
    return ($body =~ tr/Q//) / 4;
}

sub is_cut {
    my ($answer, $api, $name) = @_;
    my (undef, undef, $documents, $reason, $expected) = @{$apis{$api}};
    my $out = tokens_of($answer->{body});
    my $input = $answer->{log}{in};
    is "$answer->{status} $answer->{log}{source}", '200 estimate', "$name: status and source of the charge";
    is eval { $reason->($documents->($answer->{body})) } // $@, $expected =~ s/OUT/$out/gr, "$name: it ends with its reason";
    # A client that has got the front of an event gets all of it.
    cmp_ok $input + $out, '<=', LIMIT + PIECE / 4, "$name: at most one event is too much";
    cmp_ok $input + $out, '>', LIMIT - PIECE / 4, "$name: and the budget is used";
    return;
}

for my $api (sort keys %apis) {
    for my $place ('', '/buffered', '/small') {
        my $answer = ask($place, $api);
        ok $answer->{complete}, "$api$place: the answer is whole";
        is_cut($answer, $api, "$api$place");
        next if $api =~ /gemini/;    # reports its usage as it goes on
        if ($place eq '') {
            is $answer->{log}{out}, tokens_of($answer->{body}), "$api: what the client got is charged";
        } else {
            # nginx may have read more of the answer by then, which the model has made.
            cmp_ok $answer->{log}{out}, '>=', tokens_of($answer->{body}), "$api$place: what the client got is charged";
            cmp_ok $answer->{log}{out}, '<=', 250, "$api$place: and at most what the model wrote";
        }
        my $left = LIMIT - $answer->{log}{total};
        is $t->left, $left > 0 ? $left : 0, "$api$place: and nothing else";
    }
}

subtest 'Without cut a stream runs on into debt.' => sub {
    my $answer = ask('/debt', 'chat');
    is tokens_of($answer->{body}), 250, 'all of the text comes';
};

subtest 'An answer that is no stream is never cut.' => sub {
    for my $path ('/v1/chat/completions', '/v1/responses', '/v1/messages') {
        $t->new_client;
        my $answer = $t->ask("$path?$wishes", chat());
        is tokens_of($answer->{body}), 250, "$path: all of it comes";
        is $answer->{log}{out}, 250, "$path: and is charged";
    }
    # A server that answers a request for a stream with one document.
    $t->new_client;
    my $whole = '{"choices":[{"message":{"content":"' . 'Q' x 1000 . '"}}]}';
    my $answer = $t->ask('/raw?type=application/json&split=50', $whole =~ s/^\{/{"stream":true,/r);
    is tokens_of($answer->{body}), 250, 'all of a document comes';
};

subtest 'The usage that nginx has asked for stays hidden.' => sub {
    for my $place ('/hidden', '/hidden_small') {
        my $answer = ask($place, 'chat');
        is_cut($answer, 'chat', $place);
        unlike $answer->{body}, qr/"usage"/, "$place: no usage";
        $answer = ask($place, 'chat with usage');
        is_cut($answer, 'chat with usage', "$place, asked for");
    }
};

subtest 'A compressed stream is cut.' => sub {
    my @codings = ('gzip', 'deflate', qx(brotli --version 2>&1) =~ /brotli/ ? 'br' : ());
    for my $api ('chat', 'anthropic', 'gemini, array', 'ollama') {
        for my $coding (@codings) {
            for my $place ('', '/small') {
                my $answer = ask($place, $api, more => "&encoding=$coding");
                is $answer->{headers}{'content-encoding'}, undef, "$api$place, $coding: it comes without its coding";
                is_cut($answer, $api, "$api$place, $coding");
            }
        }
    }
    my $answer = ask('/hidden', 'chat', more => '&encoding=gzip');
    is_cut($answer, 'chat', 'hidden, gzip');
    unlike $answer->{body}, qr/"usage"/, 'no usage in a compressed one either';
};

# What a body has in gzip, which must be whole and have nothing behind it.
sub unpacked {
    my ($packed, $name) = @_;
    my ($inflate) = Compress::Raw::Zlib::Inflate->new(-WindowBits => WANT_GZIP);
    my $status = $inflate->inflate(\$packed, \my $body);
    is $status + 0, Z_STREAM_END, "$name: it is whole";
    is $packed, '', "$name: nothing stands behind it";
    return $body;
}

subtest 'A cut stream is compressed anew, if it is to be.' => sub {
    for my $place ('', '_buffered', '_small') {
        for my $coding ('', '&encoding=gzip', '&encoding=deflate') {
            for my $api ('chat with usage', 'responses') {
                my $answer = ask("/compressed$place", $api, more => $coding, headers => ['Accept-Encoding' => 'gzip']);
                my $name = "$api$place $coding";
                is $answer->{headers}{'content-encoding'}, 'gzip', "$name: it is compressed";
                is_cut({%$answer, body => unpacked($answer->{body}, $name)}, $api, $name);
            }
        }
    }
};

subtest 'A short stream passes unchanged.' => sub {
    my $short = 'chunks=3&text=' . 'Q' x 60 . '&prompt_tokens=10&completion_tokens=15';
    for my $coding ('', '&encoding=gzip') {
        for my $place ('', '/small', '/hidden') {
            $t->new_client;
            my $sent = post($t->model->port, "/v1/chat/completions?$short", chat(stream => 1))->{body};
            my $answer = $t->ask("$place/v1/chat/completions?$short$coding", chat(stream => 1));
            is $answer->{body}, $sent, "$place $coding";
        }
    }
};

subtest 'Nothing of a cut answer is kept.' => sub {
    for my $place ('/cached', '/stored') {
        for my $client (1, 2) {
            my $answer = ask($place, 'chat');
            is_cut($answer, 'chat', "$place, client $client");
        }
    }
    is_deeply [glob($t->nginx->dir . '/cache/*'), glob($t->nginx->dir . '/stored/*/*/*')], [], 'no file is left';
};

# Established connections to the model server.
sub connections {
    open my $file, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    my $port = sprintf '%04X', $t->model->port;
    return scalar grep { /^\s*\d+: \S+ [0-9A-F]{8}:$port 01 / } <$file>;
}

subtest 'The connection to upstream is closed.' => sub {
    # Connections of the requests before may be kept alive.
    for my $place ('', '/buffered', '/small') {
        $t->nginx->reload;
        wait_until(sub { connections() == 0 }) or die 'connections are left';
        # The model server holds the stream open, behind what is cut.
        my $answer = ask($place, 'chat', more => '&hold_at=' . (PIECES / 2 * 200));
        is_cut($answer, 'chat', "$place, a stream that does not end");
        ok wait_until(sub { connections() == 0 }), "$place: none is kept";
        $t->new_client;
        $t->ask("$place/v1/models");
        is connections(), 1, "$place: one of a whole answer is";
    }
};

subtest 'What nginx has read for a slow client is charged, also behind the end.' => sub {
    my $answer = ask('/slower', 'chat with usage');
    is_cut($answer, 'chat with usage', 'a slow client');
    is $answer->{log}{out}, 250, 'the output that the model reported behind the end is charged';
    is $t->left, 0, 'nothing is left';
};

subtest 'A client that takes nothing keeps no connection to upstream.' => sub {
    $t->nginx->reload;
    wait_until(sub { connections() == 0 }) or die 'connections are left';
    $t->new_client;
    # The model server holds the stream open, behind what is cut.
    my $pending = $t->begin('/v1/chat/completions?size=600000&hold_at=500000', chat(stream => 1), port => $t->port(2));
    ok wait_until(sub { $t->nginx->error_log =~ /the stream is ended .*policy "large"/ }), 'the stream is cut';
    ok wait_until(sub { connections() == 0 }), 'and the connection is closed';
    unlike $t->nginx->access_log, qr/^id=$pending->{id} /m, 'while the client still waits for what stands before the end';
    my $answer = $pending->finish;
    like $answer->{body}, qr/"finish_reason":"length".*\[DONE\]\s*\z/s, 'the client gets the end';
    my $pieces = () = $answer->{body} =~ /"content":" server\."/g;
    my $log = $t->logged($pending);
    is $log->{out}, 2 * $pieces, 'what it got is charged';
    cmp_ok $log->{total}, '<=', 3302, 'which the budget pays for';
    cmp_ok $log->{total}, '>', 3298, 'all of it';
};

subtest 'HTTP/2 clients get the end of the stream.' => sub {
    plan skip_all => 'curl without HTTP/2' if qx(curl --version) !~ /\bHTTP2\b/;
    for my $place ('', '/small') {
        my @command = ('curl', '-s', '--max-time', 20, '--http2-prior-knowledge', '-H', "X-Key: http2$place", '-d', chat(stream => 1),
            '-w', ' %{http_code} %{exitcode}', 'http://127.0.0.1:' . $t->port(1) . "$place/v1/chat/completions?$wishes");
        open my $pipe, '-|', @command or die "curl: $!";
        my $body = do { local $/; <$pipe> };
        like $body, qr/"finish_reason":"length".*data: \[DONE\]\n\n 200 0\z/s, "place '$place'";
    }
};

subtest 'HTTP/3 clients get the end of the stream.' => sub {
    plan skip_all => 'this nginx has no HTTP/3' if !$has_http3;
    # CURL_BIN names a curl that knows HTTP/3.
    my $curl = $ENV{CURL_BIN} // 'curl';
    plan skip_all => "$curl has no HTTP/3" if qx($curl -V) !~ /\bHTTP3\b/;
    for my $api ('chat', 'responses', 'gemini, array') {
        my ($path, $request) = @{$apis{$api}};
        for my $place ('', '/small') {
            my $separator = $path =~ /\?/ ? '&' : '?';
            my @command = ($curl, '-sk', '--max-time', 20, '--http3-only', '-H', "X-Key: http3 $api$place", '-d', $request,
                '-H', 'Content-Type: application/json', '-w', ' %{http_version} %{http_code} %{exitcode}',
                'https://127.0.0.1:' . $t->port(3) . "$place$path$separator$wishes");
            open my $pipe, '-|', @command or die "curl: $!";
            my $body = do { local $/; <$pipe> };
            like $body, qr/ 3 200 0\z/, "$api$place: the answer is whole";
            $body =~ s/ 3 200 0\z//;
            my (undef, undef, $documents, $reason, $expected) = @{$apis{$api}};
            my $out = tokens_of($body);
            is eval { $reason->($documents->($body)) } // $@, $expected =~ s/OUT/$out/gr, "$api$place: it ends with its reason";
            cmp_ok $out, '<', LIMIT, "$api$place: before the budget is passed";
        }
    }
};

subtest 'Operators see it.' => sub {
    my $before = $api->policy('tokens')->{tokens};
    ask('', 'chat');
    is $api->policy('tokens')->{tokens}{cut}, $before->{cut} + 1, 'in /status';
    like get($t->port, '/ai_limit/metrics')->{body}, qr/^ai_limit_cut_total\{policy="tokens"\} @{[$before->{cut} + 1]}$/m, 'in /metrics';
    like $t->nginx->error_log, qr/\[notice\].* the stream is ended after \d+ characters of text: policy "tokens" has no more room/,
        'in the log';
    is $api->policy('tokens')->{tokens}{usage_missing}, $before->{usage_missing}, 'no answer is said to lack its usage';
};

subtest 'Twenty requests at once without a limit use no more than the budget.' => sub {
    $t->new_client;
    my @text = (headers => ['X-Model-Text' => 'Q' x (4 * 4010)]);
    my @pending = map { $t->begin('/twenty/v1/chat/completions?chunks=401', chat(stream => 1), @text, deadline => 60) } 1 .. 20;
    $_->finish for @pending;
    my $charged = 0;
    $charged += ($t->logged($_)->{total} || 0) for @pending;
    cmp_ok $charged, '<=', 2100, 'at most one event for each is too much';
    cmp_ok $charged, '>', 1900, 'and all of it is used';
    my $refused = $t->ask('/twenty/v1/chat/completions', chat(stream => 1));
    is $refused->{status}, 429, 'the next one is refused';
    cmp_ok $refused->{headers}{'retry-after'}, '<=', 60, 'for one period at most';
};

unlike $t->nginx->error_log, qr/\[(?:alert|crit|emerg)\]/, 'nothing is wrong in the log';
# nginx has all of the answer in its file long before the client has, so its own end of the body comes with the last bytes.
subtest 'a client that is slower than the server' => sub {
    $t->new_client;
    my $answer = $t->ask('/slow/v1/chat/completions?size=300000', chat(stream => 1));
    ok $answer->{complete}, 'gets all of it';
    like $answer->{body}, qr/"finish_reason":"length".*\[DONE\]\s*\z/s, 'gets the end of a cut stream';
    my $pieces = () = $answer->{body} =~ /"content":" server\."/g;
    cmp_ok $answer->{log}{in} + 2 * $pieces, '<=', 3302, 'which the budget pays for';
    cmp_ok $answer->{log}{total}, '<=', 3340, 'and no more is charged than the model made';
    cmp_ok length($answer->{body}), '>', 300_000, 'and which lies in the last piece of the file';
};

$t->stop;
done_testing;
