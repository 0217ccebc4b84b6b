# An answer other than 2xx, or none, costs nothing, whatever it says of its usage; a request that fails at one
# server and passes at the next costs what the next one says. Leaving before the answer begins is not free: the model
# may have worked all the time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Nginx;
use AiLimit::Tokens;

my $LIMIT = 10_000;
# A port at which nobody listens.
my $nobody = AiLimit::Nginx->prepare(http => '')->release_port(0);
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;"
        . "ai_limit_policy unheld key=\$http_x_key rate=1t/month burst=$LIMIT reserve=off;"
        . "ai_limit_policy usual key=\$http_x_key rate=1t/month burst=$LIMIT;",
    files => {'sorry.json' => '{"sorry":true}', 'large.json' => '{"text":"' . 'x' x 10_000_000 . '"}'},
    http => 'proxy_cache_path %%DIR%%/cache keys_zone=answers:1m;' . "upstream two { server 127.0.0.1:$nobody max_fails=0; server 127.0.0.1:%%PORT_1%% max_fails=0; }",
    locations => <<"CONF",
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /late/    { proxy_read_timeout 200ms; proxy_pass http://model/; }
        location /late_page/ { proxy_read_timeout 200ms; error_page 504 =200 /sorry; proxy_pass http://model/; }
        location /late_free/ { ai_limit unheld; proxy_read_timeout 50ms; proxy_pass http://model/; }
        location /usual/ { ai_limit usual; proxy_read_timeout 200ms; proxy_pass http://model/; }
        location /nobody/  { proxy_pass http://127.0.0.1:$nobody/; }
        location /page/    { proxy_intercept_errors on; error_page 500 502 \@page; proxy_pass http://model/; }
        location \@page    { return 200 "sorry"; }
        location /good/    { proxy_intercept_errors on; error_page 404 500 =200 /sorry; proxy_pass http://model/; }
        location /nobody_good/ { error_page 502 =200 /sorry; proxy_pass http://127.0.0.1:$nobody/; }
        location = /sorry  { default_type application/json; alias %%DIR%%/sorry.json; }
        location = /large  { default_type application/json; alias %%DIR%%/large.json; }
        location ~ ^/cached/\\d(/.*) {
            proxy_buffering on;
            proxy_cache answers;
            proxy_cache_key \$uri;
            proxy_cache_methods POST;
            proxy_cache_valid 200 1h;
            proxy_pass http://127.0.0.1:%%PORT_1%%/tagged\$1\$is_args\$args;
        }
        location /parts/   { proxy_force_ranges on; proxy_pass http://127.0.0.1:%%PORT_1%%/tagged/; }
        location /next/    { proxy_next_upstream error http_500 non_idempotent; proxy_pass http://two/; }
        location /other/   { proxy_intercept_errors on; error_page 500 = \@other; proxy_pass http://model/; }
        location \@other   { rewrite ^ /v1/chat/completions?prompt_tokens=7&completion_tokens=8? break; proxy_pass http://model; }
        location /forbidden/ { deny all; proxy_pass http://model/; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        access_log off;
        location / { proxy_pass http://model; }
        location /tagged/ { add_header ETag '"1"'; proxy_pass http://model/; }
CONF
);

my $body = chat(max_tokens => 100);
my $usage = '{"usage":{"prompt_tokens":500,"completion_tokens":500,"total_tokens":1000}}';

sub costs_nothing {
    my ($name, $status, $path, $sent) = @_;
    $t->new_client;
    my $answer = $t->ask($path, $sent // $body);
    is $answer->{status}, $status, "$name: $status";
    is_deeply [grep { $_ !~ /^[-0]$/ } @{$answer->{log}}{qw(in out cached total)}], [], 'uses nothing';
    like $answer->{log}{source}, $status == 403 ? qr/^(?:-|none)$/ : qr/^none$/, 'as the log says';
    is $t->left, $LIMIT, 'and costs nothing';
    return;
}

costs_nothing("an error of the server", $_, "/v1/chat/completions?status=$_") for 400, 401, 404, 429, 500, 503, 504, 529;
costs_nothing('an error with usage', 500, '/raw?status=500', $usage);
costs_nothing('a redirect with usage', 302, '/raw?status=302', $usage);
costs_nothing('an error for a stream', 500, '/v1/chat/completions?status=500', chat(stream => 1));
costs_nothing('a connection that is refused', 502, '/nobody/v1/chat/completions');
costs_nothing('a page in place of an error', 500, '/page/v1/chat/completions?status=500');
costs_nothing('a page in place of no answer', 502, '/page/v1/chat/completions?status=502');
costs_nothing('a success in place of an error', 200, "/good/v1/chat/completions?status=$_") for 404, 500;
costs_nothing('a success in place of no answer', 200, '/nobody_good/v1/chat/completions');
costs_nothing('who is not let in', 403, '/forbidden/v1/chat/completions');

subtest 'the client leaves before there is an answer' => sub {
    $t->new_client;
    my $waiting = $t->begin('/v1/chat/completions?delay=60000', $body);
    my $held = $LIMIT - 100 - estimate();
    is $t->left_at_last($held), $held, 'tokens are reserved while it waits';
    select undef, undef, undef, 0.1;
    $waiting->abort;
    my $log = $t->logged($waiting);
    is "$log->{in} $log->{source}", estimate() . ' estimate', 'then the prompt is charged';
    cmp_ok $log->{out}, '>=', 5, "and the time: $log->{out} tokens";
    cmp_ok $log->{out}, '<=', 100, 'no more than was reserved for the output';
    my $left = $LIMIT - $log->{total};
    is $t->left_at_last($left), $left, 'and nothing stays reserved';
};

subtest 'no answer in time' => sub {
    $t->new_client;
    my $answer = $t->ask('/late/v1/chat/completions?delay=60000', $body);
    is $answer->{status}, 504, 'is an error';
    is $answer->{log}{in}, estimate(), 'but the model has had the prompt';
    cmp_ok $answer->{log}{out}, '>=', 10, 'and 200 ms';
    cmp_ok $answer->{log}{out}, '<=', 100, 'no more than was reserved';
    is $t->left, $LIMIT - $answer->{log}{total}, 'which is charged';
    my $page = $t->ask('/late_page/v1/chat/completions?delay=60000', $body);
    is "$page->{status} $page->{log}{in}", '200 ' . estimate(), 'whatever the client sees of it';
    my $free = $t->ask('/late_free/v1/chat/completions?delay=60000', $body);
    is "$free->{log}{in} $free->{log}{out}", estimate() . ' 0', 'without a reservation, the output is free';
};

subtest 'no answer in time to a client that has used little until now' => sub {
    $t->new_client;
    $t->ask('/usual/v1/chat/completions?completion_tokens=1', $body) for 1 .. 5;
    my $answer = $t->ask('/usual/v1/chat/completions?delay=60000', $body);
    is $answer->{status}, 504, 'is an error';
    cmp_ok $answer->{log}{out}, '>=', 10, 'and costs the 200 ms, although less was reserved';
};

subtest 'the client leaves in the middle of an answer of nginx itself' => sub {
    $t->new_client;
    my $reading = $t->begin('/large');
    is $reading->head, 200, 'it has begun';
    $reading->abort;
    is $t->logged($reading)->{source}, 'none', 'which nobody has to pay for';
};

subtest 'a client that does not want to see what it asked for' => sub {
    my $n = 0;
    for my $header (['If-None-Match' => '*'], ['If-None-Match' => '"1"'], ['If-Match' => '"2"'],
        ['If-Modified-Since' => 'Sun, 01 Jan 2034 00:00:00 GMT'], ['If-Unmodified-Since' => 'Sat, 01 Jan 2000 00:00:00 GMT']) {
        $t->new_client;
        # The cache tells paths apart.
        my $path = '/cached/' . ++$n . '/v1/chat/completions?prompt_tokens=70&completion_tokens=80';
        for my $cost (150, 0) {
            my $before = $t->left;
            my $answer = $t->ask($path, $body, headers => $header);
            is $answer->{status}, 200, "@$header: gets all of it";
            is $t->left, $before - $cost, "and pays $cost";
        }
    }
};

subtest 'a client that wants a part of the answer' => sub {
    for my $header (['Range' => 'bytes=0-9'], ['Range' => 'bytes=0-9', 'If-Range' => '"1"'], ['Range' => 'bytes=900000-']) {
        $t->new_client;
        my $answer = $t->ask('/parts/v1/chat/completions?prompt_tokens=70&completion_tokens=80', $body, headers => $header);
        is $answer->{status}, 200, "@$header: gets all of it";
        is usage_of($answer), 'in=70 out=80 cached=0 total=150 source=response', 'and pays it';
    }
    is $t->ask('/large', undef, headers => [Range => 'bytes=0-9'])->{status}, 206, "a file of nginx's own has parts";
};

subtest 'another server answers' => sub {
    for my $path ('/next/v1/chat/completions?prompt_tokens=7&completion_tokens=8', '/other/v1/chat/completions?status=500') {
        $t->new_client;
        # In turn, one server or the other is tried first.
        for my $round (1 .. 2) {
            my $answer = $t->ask($path, $body);
            is $answer->{status}, 200, "$path is answered";
            is usage_of($answer), 'in=7 out=8 cached=0 total=15 source=response', 'with the usage of that answer';
            is $t->left, $LIMIT - 15 * $round, 'which is charged';
        }
    }
};

$t->stop;
done_testing;
