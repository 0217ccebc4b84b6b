# Tests that ai_limit_max_output lowers the limit of output in requests, or sets one, and changes no other byte of a
# body; and that with `remaining` no policy is exceeded by a server that obeys.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Encode ();
use JSON::PP qw(decode_json);
use List::Util qw(sum0);
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;
use ModelServer::Encoding qw(encoder);

my $LIMIT = 2000;
# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) = AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');
my $t = AiLimit::Tokens->start(
    workers => 2,
    left => [qw(tokens outputs weighed early usual)],
    policies => <<"CONF",
        ai_limit_policy tokens  key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;
        ai_limit_policy outputs key=\$http_x_key rate=1t/month burst=300 count=output reserve=max;
        ai_limit_policy weighed key=\$http_x_key rate=1t/month burst=$LIMIT count=input:1,output:2,reasoning:4 reserve=max;
        ai_limit_policy usual   key=\$http_x_key rate=1t/month burst=$LIMIT;
        ai_limit_policy trial   key=\$http_x_key rate=1t/month burst=20 dry_run reserve=max;
        ai_limit_policy early   key=\$http_x_key rate=1t/month burst=900 phase=preaccess reserve=max;
        ai_limit_policy plan    key=\$http_x_key rate=3r/month;
CONF
    http => <<"CONF",
        upstream closing { server 127.0.0.1:%%PORT_2%%; server 127.0.0.1:%%PORT_0%% backup; }
        server { listen 127.0.0.1:%%PORT_2%%; client_max_body_size 32m; location / { return 444; } }
        server {
            listen 127.0.0.1:%%PORT_1%%$listen;
            $http2
            location / { ai_limit_max_output 500; proxy_pass http://model; }
        }
CONF
    server => 'add_header X-Max-Output $ai_limit_max_output; client_max_body_size 4m; client_body_buffer_size 1m;',
    locations => <<'CONF',
        location /ai_limit/ { ai_limit_api; }
        location / { ai_limit_max_output 500; proxy_pass http://model; }
        location /file/ { ai_limit_max_output 500; client_body_buffer_size 16; proxy_pass http://model/; }
        location /unbuffered/ { ai_limit_max_output 500; proxy_request_buffering off; proxy_pass http://model/; }
        location /large/ { ai_limit_max_output 500; client_max_body_size 32m; proxy_pass http://127.0.0.1:%%PORT_0%%/kept/; }
        location /retried/ {
            ai_limit_max_output 500; client_max_body_size 32m;
            proxy_next_upstream error non_idempotent; proxy_pass http://closing/kept/;
        }
        location /kept/ {
            client_max_body_size 32m; client_body_in_file_only on; client_body_temp_path %%DIR%%/kept;
            proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://127.0.0.1:%%PORT_0%%/taken;
        }
        location /taken { return 200; }
        location /own/ { ai_limit_max_output 500 field=/settings/limit; proxy_pass http://model/; }
        location /any/ { ai_limit_max_output 500; ai_limit_unreadable_body estimate; proxy_pass http://model/; }
        location /dry/ { ai_limit tokens; ai_limit_dry_run on; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /number/ { ai_limit tokens; ai_limit_max_output 500; proxy_pass http://model/; }
        location /usage/ { ai_limit tokens; ai_limit_include_usage on; ai_limit_max_output 500; proxy_pass http://model/; }
        location /usage/file/ {
            ai_limit tokens; ai_limit_include_usage on; ai_limit_max_output 500;
            client_body_buffer_size 16; proxy_pass http://model/;
        }
        location /rest/ { ai_limit tokens; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /two/ { ai_limit tokens outputs trial; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /weighed/ { ai_limit weighed; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /usual/ { ai_limit usual; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /early/ { ai_limit early tokens; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /plan/ { ai_limit plan tokens; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /first/ {
            ai_limit_max_output 900; error_page 500 = @second; proxy_intercept_errors on; proxy_pass http://model/;
        }
        location /full/ { ai_limit tokens; ai_limit_max_output remaining; error_page 429 = @second; proxy_pass http://model/; }
        location @second { ai_limit_max_output 300; rewrite ^ /v1/messages break; proxy_pass http://model; }
CONF
);
my $chat = '/v1/chat/completions';

for my $path ('', '/file', '/unbuffered') {
    subtest "a number: $path" => sub {
        my $long = '"messages":[{"role":"user","content":"' . 'x' x 200_000 . '"}]';
        for my $messages ('"messages":[{"role":"user", "content":"\u0048i","max_tokens":9999}]', $long) {
            # In a file, a shorter number is followed by spaces.
            my $limit = $path eq '/file' && $messages eq $long ? '500  ' : '500';
            is sent("$path$chat", qq({ "max_tokens":32000 , $messages,"seed":1.0})), qq({ "max_tokens":$limit , $messages,"seed":1.0}),
                'is the limit of a request that asks for more';
            is sent("$path$chat", qq({"seed":1.0, $messages})), qq({"max_completion_tokens":500,"seed":1.0, $messages}),
                'of one that names none';
            is sent("$path$chat", qq({ $messages,"max_tokens":499})), qq({ $messages,"max_tokens":499}), 'and not of one that asks for less';
        }
        is length_told(), 'right', 'with the right length';
    };
}

# The body that the second server has got: 20 MB are too much for a server in Perl.
sub kept {
    my ($path, $body) = @_;
    my $answer = request($t->port, path => "$path$chat", method => 'POST', body => $body);
    my @files = glob $t->nginx->dir . '/kept/*';
    return "status $answer->{status}, files: @files" if $answer->{status} != 200 || @files != 1;
    open my $file, '<:raw', $files[0] or die "$files[0]: $!";
    my $kept = do { local $/; <$file> };
    unlink $files[0];
    return $kept;
}

subtest 'a large body in a file' => sub {
    my ($front, $back) = map { qq([{"content":"$_"}]) } 'x' x 10_000_000, join '', map { "$_ " } 1 .. 1_300_000;
    for my $path ('/large', '/retried') {
        for my $edit (['"max_tokens":9000', '"max_tokens":500 '], ['"max_tokens":-1', '"max_tokens":500'], ['"seed":1', '"seed":1']) {
            my ($before, $after) = @$edit;
            # A field that is added and a number that becomes longer make a copy of the body.
            my $expected = ($before eq $after ? '{"max_completion_tokens":500,' : '{') . qq("messages":$front,$after,"more":$back});
            my $kept = kept($path, qq({"messages":$front,$before,"more":$back}));
            ok $kept eq $expected, "$path, $before: nothing else changes" or diag length($kept), substr $kept, 0, 200;
        }
    }
};

subtest 'requests of each API' => sub {
    my @cases = (
        ['/v1/responses', '{"input":"x"}', '{"max_output_tokens":500,"input":"x"}'],
        ['/v1/messages', '{"max_tokens":4096,"messages":[]}', '{"max_tokens":500,"messages":[]}'],
        ['/v1beta/models/g:generateContent', '{"contents":[]}', '{"generationConfig":{"maxOutputTokens":500},"contents":[]}'],
        ['/v1beta/models/g:streamGenerateContent', '{"generationConfig":{"topK":1}}', '{"generationConfig":{"maxOutputTokens":500,"topK":1}}'],
        ['/api/chat', '{"options":{"num_predict":-1}}', '{"options":{"num_predict":500}}'],
        ['/model/m/converse', '{"messages":[]}', '{"inferenceConfig":{"maxTokens":500},"messages":[]}'],
        ['/generate', '{"inputs":"x"}', '{"parameters":{"max_new_tokens":500},"inputs":"x"}'],
        ['/v1/embeddings', '{"input":"x"}', '{"input":"x"}'],
        ['/own/v1/embeddings', '{"input":"x"}', '{"settings":{"limit":500},"input":"x"}'],
    );
    is sent($$_[0], $$_[1]), $$_[2], $$_[0] for @cases;
    is get($t->port, '/v1/models')->{status}, 200, 'a request without a body passes';
};

subtest 'bodies in chunks' => sub {
    my $body = chat(max_tokens => 9999);
    my $chunked = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a10)*', $body) . "0\r\n\r\n";
    is sent($chat, $chunked, 'Transfer-Encoding' => 'chunked'), $body =~ s/9999/500/r, 'chunks';
    is length_told(), 'right', 'have a length then';
};

subtest 'HTTP/2' => sub {
    plan skip_all => 'curl without HTTP/2' if qx(curl --version) !~ /\bHTTP2\b/;
    my $url = 'http://127.0.0.1:' . $t->port(1) . "$chat?prompt_tokens=1&obeys=9999";
    my $body = chat(max_tokens => 9999);
    for my $how (['a body with a length', '-d @-'], ['a body without a length', '-X POST -T -']) {
        my ($name, $arguments) = @$how;
        open my $pipe, '-|', "echo '$body' | curl -s --max-time 20 --http2-prior-knowledge $arguments '$url'" or die "curl: $!";
        like join('', <$pipe>), qr/"completion_tokens":500\b/, $name;
        like last_seen()->{body}, qr/^\Q@{[$body =~ s{9999}{500}r]}\E\n?$/, 'is limited';
        is length_told(), 'right', 'with the right length';
    }
};

subtest 'the variable' => sub {
    is $t->ask($chat, chat(max_tokens => 9999))->{headers}{'x-max-output'}, 500, 'is the limit that the request got';
    is $t->ask($chat, chat(max_tokens => 99))->{headers}{'x-max-output'}, undef, 'and empty if the client\'s own stands';
};

subtest 'several answers' => sub {
    is sent($chat, '{"n":5,"messages":[]}'), '{"max_completion_tokens":100,"n":5,"messages":[]}', 'share the number';
    is sent('/v1/completions', '{"prompt":["a","b"],"n":5}'), '{"max_tokens":50,"prompt":["a","b"],"n":5}', 'over all prompts';
    is sent($chat, '{"n":5000,"messages":[]}'), '{"max_completion_tokens":1,"n":5000,"messages":[]}', 'but have one token each';
};

subtest 'a body that cannot be changed' => sub {
    my $large = chat(max_tokens => 9999);
    my %bodies = (
        gzip => [encoder({encoding => 'gzip'})->($large, 1), 'Content-Encoding' => 'gzip'],
        'UTF-16' => [Encode::encode('UTF-16LE', $large)],
        NaN => ['{"max_tokens":NaN}'],
        'no object' => ['["max_tokens"]'],
    );
    for my $name (sort keys %bodies) {
        my ($body, @headers) = @{$bodies{$name}};
        my $answer = $t->ask($chat, $body, headers => \@headers);
        is $answer->{status}, 400, "$name: is refused";
        like $answer->{body}, qr/output/, 'with the reason';
        is $t->ask("/any/raw?type=text/plain", $body, headers => \@headers)->{status}, 200, 'or passes';
    }
    my $form = request($t->port, path => $chat, method => 'POST', body => 'max_tokens=9999&model=m',
        headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
    is $form->{status}, 400, 'a form is refused';
    like $form->{body}, qr/only if the request body is JSON/, 'with the reason';
    is $t->ask($chat, '{"max_tokens":')->{status}, 400, 'a body that cannot be read is refused';
    my $small = chat(max_tokens => 5);
    is $t->ask($chat, encoder({encoding => 'gzip'})->($small, 1), headers => ['Content-Encoding' => 'gzip'])->{status}, 200,
        'one that needs no change passes';
    like $t->nginx->error_log, qr/refusing a request whose output cannot be limited/, 'the log says so';
};

subtest 'the reservation' => sub {
    $t->new_client;
    is $t->ask("/number$chat?completion_tokens=1", chat(max_tokens => 32_000))->{log}{reserved}, 500 + estimate(), 'follows the number';
    is $t->ask("/number$chat?completion_tokens=1", chat())->{log}{reserved}, 500 + estimate(), 'if the client names none, too';
    is $t->ask("/number$chat?completion_tokens=1", chat(max_tokens => 30))->{log}{reserved}, 30 + estimate(), 'or what the client asks for';
};

subtest 'together with ai_limit_include_usage' => sub {
    for my $path ('/usage', '/usage/file') {
        $t->new_client;
        my $answer = $t->ask("$path$chat?prompt_tokens=30&completion_tokens=12", chat(stream => 1, max_tokens => 9999));
        is usage_of($answer), 'in=30 out=12 cached=0 total=42 source=response', "$path: the stream is counted";
        my $body = last_seen()->{body};
        is_deeply decode_json($body), {%{decode_json(chat(stream => 1, max_tokens => 500))}, stream_options => {include_usage => JSON::PP::true}},
            'both changes are made';
        is length_told(), 'right', 'with the right length';
    }
};

subtest 'another location after an error' => sub {
    my $answer = $t->ask("/first/v1/chat/completions?status=500", chat(max_tokens => 5000));
    is decode_json(last_seen()->{body})->{max_tokens}, 300, 'lowers it once more';
    is length_told(), 'right', 'with the right length';
};

subtest 'another location after a refusal' => sub {
    $t->new_client;
    $t->ask("/full$chat?prompt_tokens=13&obeys=99999", chat());
    is $t->left, 0, 'a budget is used up';
    $t->ask("/full$chat", chat(max_tokens => 5000));
    is decode_json(last_seen()->{body})->{max_tokens}, 300, 'the next request gets what the other location allows';
};

subtest 'the count of requests whose limit was lowered' => sub {
    $t->new_client;
    my $api = AiLimit::Api->new($t->port);
    my $count = sub { $api->policy($_[0])->{tokens}{output_lowered} };
    my ($before, $others) = map { $count->($_) } 'tokens', 'usual';
    $t->ask("/number$chat?completion_tokens=1", chat(max_tokens => 32_000));
    $t->ask("/number$chat?completion_tokens=1", chat());
    is $count->('tokens'), $before + 2, 'one that was lowered, and one that was set';
    $t->ask("/number$chat?completion_tokens=1", chat(max_tokens => 30));
    is $count->('tokens'), $before + 2, 'not one that the client has set lower';
    is $count->('usual'), $others, 'nor in a policy of another location';
    like get($t->port, '/ai_limit/metrics')->{body}, qr/^ai_limit_max_output_lowered_total\{policy="tokens"\} @{[$before + 2]}$/m, 'in /metrics';
};

subtest 'remaining' => sub {
    $t->new_client;
    my $answer = $t->ask("/rest$chat?prompt_tokens=13&obeys=100", chat());
    is limit_sent(), $LIMIT - estimate(), 'is all that is left beside the prompt';
    is $answer->{log}{reserved}, $LIMIT, 'and reserved';
    is $t->left, $LIMIT - 113, 'until it is settled';
    $t->ask("/rest$chat?prompt_tokens=13&obeys=100", chat(n => 2, max_tokens => 1500));
    is limit_sent('max_tokens'), int(($LIMIT - 113 - estimate()) / 2), 'shared by several answers';
    $t->ask("/rest$chat?prompt_tokens=13&obeys=100", chat(max_tokens => 60));
    is limit_sent('max_tokens'), 60, 'a request that asks for less gets that';
    $t->ask("/rest$chat?prompt_tokens=13&obeys=99999", chat());
    is $t->left, 0, 'a server that obeys uses what is left, and no more';
    is $t->ask("/rest$chat", chat())->{status}, 429, 'then requests are refused';
};

subtest 'remaining, of a prompt that leaves no room' => sub {
    $t->new_client;
    my $status = sub { $t->ask("/rest$chat?prompt_tokens=1&obeys=1", chat(text => 'x' x (4 * ($LIMIT - 3 + $_[0]))))->{status} };
    is $status->(0), 400, 'is refused for good';
    is $t->left, $LIMIT, 'and takes nothing';
    is $status->(-1), 200, 'one that leaves a token passes';
    is limit_sent(), 1, 'and gets it';
};

subtest 'the tightest of several policies' => sub {
    $t->new_client;
    $t->ask("/two$chat?prompt_tokens=13&obeys=99999", chat());
    is limit_sent(), 300, 'decides';
    is $t->left('outputs'), 0, 'and is used up';
    is $t->left('tokens'), $LIMIT - 313, 'and the others have something left';
    is $t->ask("/two$chat", chat())->{status}, 429, 'the next request is refused';
    $t->new_client;
    $t->ask("/weighed$chat?prompt_tokens=13&obeys=1", chat());
    is limit_sent(), int(($LIMIT - estimate()) / 4), 'a weight divides it, the largest that output can have';
    $t->new_client;
    is $t->ask("/weighed$chat?prompt_tokens=13&obeys=1", chat())->{log}{reserved}, 4 * int(($LIMIT - estimate()) / 4) + estimate(),
        'and reserve=max reserves for it';
    $t->new_client;
    $t->ask("/early$chat?prompt_tokens=13&obeys=99999", chat());
    is limit_sent(), 900 - estimate(), 'also one of an earlier phase';
    is $t->left('early'), 0, 'is used up';
};

subtest 'a refusal by another policy' => sub {
    $t->new_client;
    my @status = map { $t->ask("/plan$chat?prompt_tokens=13&obeys=7", chat())->{status} } 1 .. 4;
    is "@status", '200 200 200 429', 'stays one';
    is $t->left, $LIMIT - 60, 'and charges nothing';
};

subtest 'a policy that learns' => sub {
    $t->new_client;
    # Its prompts have twice the tokens of their estimates.
    $t->ask("/usual$chat?prompt_tokens=26&obeys=50", chat(model => 'usual')) for 1 .. 12;
    is $t->left('usual'), $LIMIT - 12 * 76, 'has learned what requests use';
    my $answer = $t->ask("/usual$chat?prompt_tokens=26&obeys=99999", chat(model => 'usual'));
    is $answer->{status}, 200, 'a request without a limit passes';
    cmp_ok limit_sent(), '<=', $LIMIT - 12 * 76 - estimate(), 'with no more than what remains';
    cmp_ok limit_sent(), '>=', $LIMIT - 12 * 76 - 2 * 26, 'which is all but the prompt';
    cmp_ok $answer->{log}{reserved}, '<', 500, 'and reserves what such requests use';
};

subtest 'a dry run' => sub {
    $t->new_client;
    $t->ask("/dry$chat?prompt_tokens=13&obeys=7", chat(max_tokens => 9999));
    is limit_sent('max_tokens'), 9999, 'changes nothing';
};

subtest 'many at once' => sub {
    for my $max_tokens (undef, 150) {
        $t->new_client;
        my $used = 0;
        my $passed = 0;
        for my $round (1 .. 4) {
            my $all = many($t->port, requests => 20, connections => 20, method => 'POST', keep => 1, deadline => 60,
                path => "/rest$chat?delay=50&prompt_tokens=13&obeys=4010",
                headers => ['X-Key' => $t->key, 'Content-Type' => 'application/json'],
                body => sub { chat(defined $max_tokens ? (max_tokens => $max_tokens) : ()) });
            is $all->{failed}, 0, 'all are answered';
            my @answers = map { decode_json($_->{body}) } grep { $_->{status} == 200 } @{$all->{responses}};
            $passed += @answers;
            $used += sum0 map { $_->{usage}{total_tokens} } @answers;
            cmp_ok $used, '<=', $LIMIT, 'never use more than the limit';
        }
        is $t->left, $LIMIT - $used, 'all that was used is charged';
        is $used, $LIMIT, 'which is all of the limit';
        cmp_ok $passed, '>=', defined $max_tokens ? 13 : 1, "$passed passed";
    }
};

$t->stop;
done_testing;

# Sends a body; returns what arrives.
sub sent {
    my ($path, $body, @headers) = @_;
    my $answer = $t->ask($path, $body, headers => \@headers);
    return $answer->{status} == 200 ? last_seen()->{body} : "status $answer->{status}";
}

sub last_seen { return decode_json(get($t->model->port, '/last')->{body}) }

sub limit_sent {
    my ($field) = @_;
    return decode_json(last_seen()->{body})->{$field // 'max_completion_tokens'};
}

sub length_told {
    my $last = last_seen();
    return $last->{headers}{'content-length'} == length $last->{body} ? 'right' : 'wrong';
}
