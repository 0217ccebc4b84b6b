# Tests warn=: one line in the log and one count when a key passes that part of its limit, and again only after it has
# used less.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(workers => 2, log_level => 'notice', http => <<"CONF");
    ai_limit_zone zone=ai:1m;
    ai_limit_policy requests key=\$http_x_key rate=10r/12month algorithm=fixed_window warn=80;
    ai_limit_policy other    key=\$http_x_key rate=100r/h;
    ai_limit_policy bucket   key=\$http_x_key rate=4r/h warn=50%;
    ai_limit_policy tokens   key=\$http_x_key rate=1000t/12month algorithm=fixed_window reserve=450 warn=40;
    ai_limit_policy slots    key=\$http_x_key concurrency=2 warn=100;
    ai_limit_policy tried    key=\$http_x_key rate=2r/h dry_run warn=50;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /requests { ai_limit requests other; empty_gif; }
        location /bucket   { ai_limit bucket; empty_gif; }
        location /tried    { ai_limit tried; empty_gif; }
        location /v1/      { ai_limit tokens; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /slots/   { ai_limit slots; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
my $api = AiLimit::Api->new($nginx->port);
my $key = 'sk-secret-0123456789abcdef';

subtest 'requests' => sub {
    ask('/requests', $key) for 1 .. 7;
    is_deeply [warned('requests')], [], 'below 80 of 100 nothing is said';
    ask('/requests', $key) for 1 .. 4;
    is_deeply [warned('requests')], ["80% sk-s\xE2\x80\xA6cdef 8 of 10 requests"], 'the eighth of ten is told once, without the secret';
    is $api->metrics->{'ai_limit_warnings_total{policy="requests"}'}, 1, 'and counted';
    ok !exists $api->metrics->{'ai_limit_warnings_total{policy="other"}'}, 'a policy without warn= has no such count';
    is_deeply [@{$api->policy('requests')}{qw(warn warnings)}], [80, 1], '/status shows both';
    like $nginx->error_log, qr/\[notice\].*a key has passed 80% of its limit.*request: "GET \/requests/, 'with the request in the log';
    $nginx->reload;
    $api->key(DELETE => "policy=requests&key=$key");
    ask('/requests', $key) for 1 .. 9;
    is scalar warned('requests'), 2, 'a key that has been forgotten is told again';
    $api->key(PUT => "policy=requests&key=raised&rate=100r/12month&ttl=1h");
    ask('/requests', 'raised') for 1 .. 10;
    is scalar warned('requests'), 2, 'another limit of a key is what counts';
};

subtest 'keys near their limits' => sub {
    ask('/requests', 'half') for 1 .. 5;
    ask('/requests', 'little') for 1 .. 4;
    my @near = map { "$_->{key} $_->{remaining} of $_->{limit}" } @{$api->policy('requests')->{near}};
    is_deeply \@near, ["sk-s\x{2026}cdef 1 of 10", "h\x{2026} 5 of 10"], 'are shown, the nearest first, from half of it on';
};

subtest 'a token bucket that decides at once' => sub {
    ask('/bucket', 'b') for 1 .. 5;
    is_deeply [warned('bucket')], ["50% \xE2\x80\xA6 2 of 4 requests"], 'is told as well';
};

subtest 'a dry run' => sub {
    ask('/tried', 'dry') for 1 .. 3;
    is scalar warned('tried'), 1, 'warns too';
};

subtest 'tokens' => sub {
    chat('t', 300);
    is_deeply [warned('tokens')], [], 'what is reserved is not used';
    chat('t', 250);
    is scalar warned('tokens'), 1, 'what an answer has used is, when it has ended';
    chat('t', 10);
    is scalar warned('tokens'), 1, 'once';
};

subtest 'slots' => sub {
    my @streams = map {
        my $stream = start_request($nginx->port, method => 'POST', path => '/slots/v1/chat/completions?gate=held',
            body => '{"model":"m","stream":true}', headers => ['Content-Type' => 'application/json', 'X-Key' => 's']);
        $stream->head;
        $stream;
    } 1 .. 2;
    is scalar warned('slots'), 1, 'the last slot is told';
    $_->abort for @streams;
};

done_testing;

sub ask {
    my ($path, $of) = @_;
    return get($nginx->port, $path, 'X-Key' => $of)->{status};
}

sub chat {
    my ($of, $tokens) = @_;
    my $answer = post($nginx->port, "/v1/chat/completions?prompt_tokens=0&completion_tokens=$tokens", '{"model":"m","messages":[]}',
        'Content-Type' => 'application/json', 'X-Key' => $of, Connection => 'close');
    is $answer->{status}, 200, "$tokens tokens";
}

# The warnings of a policy in the log so far.
sub warned {
    my ($policy) = @_;
    my @warned = map { /a key has passed (\d+%) of its limit, policy: "$policy", key: "([^"]*)", used: ([^,]+),/ ? "$1 $2 $3" : () }
        split /\n/, $nginx->error_log;
    return @warned;
}
