# An answer other than 2xx, or none, costs nothing, whatever it says of its usage; a request that fails at one
# server and passes at the next costs what the next one says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use AiLimit::Nginx;
use AiLimit::Tokens;

my $LIMIT = 10_000;
# A port at which nobody listens.
my $nobody = AiLimit::Nginx->prepare(http => '')->release_port(0);
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT;",
    files => {'sorry.json' => '{"sorry":true}', 'large.json' => '{"text":"' . 'x' x 10_000_000 . '"}'},
    http => 'proxy_cache_path %%DIR%%/cache keys_zone=answers:1m;' . "upstream two { server 127.0.0.1:$nobody max_fails=0; server 127.0.0.1:%%PORT_1%% max_fails=0; }",
    locations => <<"CONF",
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /late/    { proxy_read_timeout 200ms; proxy_pass http://model/; }
        location /nobody/  { proxy_pass http://127.0.0.1:$nobody/; }
        location /page/    { proxy_intercept_errors on; error_page 500 502 \@page; proxy_pass http://model/; }
        location \@page    { return 200 "sorry"; }
        location /good/    { proxy_intercept_errors on; error_page 404 500 =200 /sorry; proxy_pass http://model/; }
        location /nobody_good/ { error_page 502 =200 /sorry; proxy_pass http://127.0.0.1:$nobody/; }
        location = /sorry  { default_type application/json; alias %%DIR%%/sorry.json; }
        location = /large  { default_type application/json; alias %%DIR%%/large.json; }
        location /cached/  {
            proxy_buffering on;
            proxy_cache answers;
            proxy_cache_key \$uri;
            proxy_cache_methods POST;
            proxy_cache_valid 200 1h;
            proxy_pass http://127.0.0.1:%%PORT_1%%/tagged/;
        }
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

costs_nothing("an error of the server", $_, "/v1/chat/completions?status=$_") for 400, 401, 404, 429, 500, 503, 529;
costs_nothing('an error with usage', 500, '/raw?status=500', $usage);
costs_nothing('a redirect with usage', 302, '/raw?status=302', $usage);
costs_nothing('an error for a stream', 500, '/v1/chat/completions?status=500', chat(stream => 1));
costs_nothing('no answer in time', 504, '/late/v1/chat/completions?delay=60000');
costs_nothing('a connection that is refused', 502, '/nobody/v1/chat/completions');
costs_nothing('a page in place of an error', 500, '/page/v1/chat/completions?status=500');
costs_nothing('a page in place of no answer', 502, '/page/v1/chat/completions?status=502');
costs_nothing('a success in place of an error', 200, "/good/v1/chat/completions?status=$_") for 404, 500;
costs_nothing('a success in place of no answer', 200, '/nobody_good/v1/chat/completions');
costs_nothing('who is not let in', 403, '/forbidden/v1/chat/completions');

subtest 'the client leaves before there is an answer' => sub {
    $t->new_client;
    my $waiting = $t->begin('/v1/chat/completions?delay=60000', $body);
    is $t->left_at_last($LIMIT - 100 - estimate()), $LIMIT - 100 - estimate(), 'while it waits, something is held';
    $waiting->abort;
    is $t->left_at_last($LIMIT), $LIMIT, 'then nothing is charged';
    is $t->logged($waiting)->{source}, 'none', 'as the log says';
};

subtest 'the client leaves in the middle of an answer of nginx itself' => sub {
    $t->new_client;
    my $reading = $t->begin('/large');
    is $reading->head, 200, 'it has begun';
    $reading->abort;
    is $t->logged($reading)->{source}, 'none', 'which nobody has to pay for';
};

subtest 'a client that does not want to see what it asked for' => sub {
    my $path = '/cached/v1/chat/completions';
    for my $cost (estimate(), 0) {
        $t->new_client;
        my $answer = $t->ask($path, $body, headers => ['If-None-Match' => '*']);
        is $answer->{status}, 304, 'does not see it';
        is $t->left, $LIMIT - $cost, "and pays $cost";
    }
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
