# The harness itself, with what nginx can do without this module.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Compress::Raw::Zlib qw(MAX_WBITS WANT_GZIP_OR_ZLIB Z_STREAM_END);
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(time);

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $servers = sprintf <<'CONF', ($model->port) x 2;
    limit_req_zone $arg_k zone=z:1m rate=1r/m;
    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        location = /hello { return 200 "hello $arg_i"; }
        location = /two { add_header X-Two a; add_header X-Two b; return 200 ""; }
        location = /limited { limit_req zone=z; empty_gif; }
        location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_buffering off; }
    }
    server {
        listen 127.0.0.1:%%%%PORT_1%%%%;
        location / { proxy_pass http://127.0.0.1:%d; }
    }
CONF
my $nginx = AiLimit::Nginx->start(http => $servers, workers => 2, access_log => '$status $uri');

subtest 'one request' => sub {
    my $r = get($nginx->port, '/hello?i=1');
    is $r->{status}, 200, 'status';
    is $r->{body}, 'hello 1', 'body';
    is $r->{headers}{'content-length'}, 7, 'headers in lower case';
    is get($nginx->port, '/two')->{headers}{'x-two'}, 'a, b', 'headers of one name are joined';
    is request($nginx->port, method => 'HEAD', path => '/hello')->{status}, 200, 'HEAD';
    is get($nginx->port(1), '/v1/models')->{status}, 200, 'the second port';
};

subtest 'many requests' => sub {
    my $all = many($nginx->port, requests => 20_000, connections => 8, pipeline => 4, path => '/hello');
    is_deeply $all->{status}, {200 => 20_000}, 'all are answered';
    is $all->{failed}, 0, 'none fails';
    note sprintf '%.0f requests/s', 20_000 / $all->{seconds};

    my $some = many($nginx->port, requests => 50, connections => 5, path => sub { "/hello?i=$_[0]" }, keep => 1);
    is_deeply [map { $_->{body} } @{$some->{responses}}], [map { "hello $_" } 0 .. 49],
        'each response belongs to its request';

    my $limited = many($nginx->port, requests => 30, connections => 3, path => '/limited?k=a');
    is_deeply $limited->{status}, {200 => 1, 503 => 29}, 'they are counted by status';
};

subtest 'requests without an answer' => sub {
    my $r = get($nginx->port, '/v1/chat/completions?cut=1');
    ok !$r->{complete}, 'a cut answer is not complete';
    my $cut = many($nginx->port, requests => 6, connections => 2, path => '/v1/models?cut=1');
    is $cut->{failed}, 6, 'and counts as failed';
    my $late = many($nginx->port, requests => 3, connections => 3, path => '/v1/models?delay=60000', deadline => 0.2);
    is $late->{failed}, 3, 'as does one that is late';
    my $closed = AiLimit::Nginx->prepare(http => '')->release_port(0);
    is many($closed, requests => 5, connections => 2)->{failed}, 5, 'as do those that cannot connect';
    is get($closed, '/')->{status}, 0, 'status 0 where there is no answer';
};

subtest 'the model server' => sub {
    my $chat = '{"model":"m","messages":[{"role":"user","content":"hi"}]%s}';
    my $r = post($nginx->port, '/v1/chat/completions?prompt_tokens=7', sprintf $chat, '');
    is decode_json($r->{body})->{usage}{total_tokens}, 12, 'OpenAI: an answer with usage';

    my $stream = sprintf $chat, ',"stream":true,"stream_options":{"include_usage":true}';
    $r = post($nginx->port, '/v1/chat/completions', $stream);
    like $r->{body}, qr/"usage":null.*"usage":\{.*data: \[DONE\]\n\n$/s, 'OpenAI: a stream with usage';
    unlike post($nginx->port, '/v1/chat/completions', sprintf $chat, ',"stream":true')->{body},
        qr/usage/, 'OpenAI: a stream without usage';

    $r = post($nginx->port, '/v1/messages', sprintf $chat, ',"stream":true');
    like $r->{body}, qr/^event: message_start\n.*event: message_stop\n/s, 'Anthropic: a stream';
    is get($nginx->port, '/v1/models?status=500')->{status}, 500, 'an error on demand';

    my $text = join '', map { "line $_\n" } 1 .. 100;
    is post($nginx->port, '/raw?split=7&type=text/plain', $text)->{body}, $text, 'any answer on demand';
    is decode_json(post($nginx->port, '/echo', 'x', 'X-A' => 'b')->{body})->{headers}{'x-a'}, 'b', 'echo';

    is decode_json(get($model->port, '/last')->{body})->{body}, 'x', 'what came last';
    is length(get($nginx->port, '/bytes?size=200000')->{body}), 200_000, 'as much as wanted';
    for my $encoding (qw(gzip deflate raw-deflate)) {
        my $packed = post($nginx->port, "/raw?encoding=$encoding&split=5", $text)->{body};
        is unpacked($packed), $text, "$encoding, in any pieces";
    }

    my $begin = time;
    my $slow = many($nginx->port, requests => 200, connections => 200, path => '/v1/models?delay=300');
    is $slow->{status}{200}, 200, 'hundreds of delayed answers';
    ok time - $begin < 200 * 0.3, 'at the same time';
};

subtest 'a request in flight' => sub {
    my $body = '{"stream":true}';
    my $r = start_request($nginx->port, method => 'POST', body => $body,
        path => '/v1/chat/completions?chunk_delay=50&chunks=4');
    is $r->head, 200, 'its head comes first';
    ok $r->wait_for_body(qr/Hello/), 'then its body';
    unlike $r->body, qr/DONE/, 'piece by piece';
    like $r->finish->{body}, qr/DONE/, 'until its end';

    my $gated = start_request($nginx->port, path => '/v1/chat/completions?gate=g', method => 'POST', body => $body);
    for my $word ('Hello', ' from', ' the') {
        ok $gated->wait_for_body(qr/"\Q$word\E"/), 'or as the test lets it go on';
        get($model->port, '/next?gate=g');
    }
    $gated->abort;
    my $held = start_request($nginx->port, path => '/v1/chat/completions?hold_at=100', method => 'POST', body => $body);
    ok $held->wait_for_body(qr/^.{100}$/s), 'or as far as wanted';
    $held->abort;

    my $left = start_request($nginx->port, method => 'POST', body => $body,
        path => '/v1/chat/completions?chunk_delay=60000');
    $left->head;
    $left->abort;
    $nginx->wait_for_log(qr/client prematurely closed/);
    pass 'it can be left';
};

subtest 'workers' => sub {
    my @before = $nginx->workers;
    is @before, 2, 'as many as wanted';
    $nginx->kill_worker($before[0]);
    is scalar $nginx->workers, 2, 'a killed one is replaced';
    $nginx->reload;
    my %old = map { $_ => 1 } @before;
    is_deeply [grep { $old{$_} } $nginx->serving_workers], [], 'a reload brings new ones';

    my $slow = start_request($nginx->port, path => '/v1/models?delay=300');
    $nginx->reload(workers => 1);
    is scalar $nginx->serving_workers, 1, 'a reload takes a changed configuration';
    is $slow->finish->{status}, 200, 'an old worker finishes what it has begun';
};

subtest 'configurations' => sub {
    my ($code, $output) = $nginx->test_config;
    is $code, 0, 'a good one' or diag $output;
    ($code, $output) = AiLimit::Nginx->check(http => 'no_such_directive on;');
    isnt $code, 0, 'a bad one';
    like $output, qr/unknown directive "no_such_directive"/, 'and its reason';
    eval { $nginx->reload(http => 'no_such_directive on;') };
    like $@, qr/reload failed.*no_such_directive/s, 'a reload with a bad one';
    is get($nginx->port, '/hello')->{status}, 200, 'leaves the old one in place';
    eval { AiLimit::Nginx->start(http => 'no_such_directive on;') };
    like $@, qr/nginx did not start.*no_such_directive/s, 'a start with a bad one';
};

like $nginx->access_log, qr{^200 /hello$}m, 'the access log';
$nginx->{options}{expect_trouble} = qr/no_such_directive/;
ok $nginx->stop(graceful => 1), 'it stops';

done_testing;

# Unpacks a text in any of zlib's formats.
sub unpacked {
    my ($packed) = @_;
    for my $window (WANT_GZIP_OR_ZLIB, -MAX_WBITS()) {
        my ($inflate) = Compress::Raw::Zlib::Inflate->new(-WindowBits => $window);
        my $copy = $packed;
        my $text = '';
        return $text if $inflate->inflate($copy, $text) == Z_STREAM_END;
    }
    return 'nothing that can be unpacked';
}
