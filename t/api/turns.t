# Tests what /status shows of requests that wait for their turn (wait=), and of who shares a key (share=).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Slots;

my $model = AiLimit::ModelServer->start;
my $conf = <<"CONF";
    ai_limit_zone zone=main:1m;
    ai_limit_policy slots  key=\$arg_k concurrency=1 wait=100s;
    ai_limit_policy pool   key=all rate=100r/month algorithm=fixed_window share=key:\$arg_t weight=\$arg_w;
    ai_limit_policy secret key=\$arg_k rate=100r/month algorithm=fixed_window share=\$arg_t;
    ai_limit_policy shared key=\$arg_k concurrency=2 wait=100s share=key:\$arg_t;
    ai_limit_policy plain  key=\$arg_k rate=100r/month;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        proxy_buffering off;
        location /v1/       { ai_limit slots;  proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /shared/   { ai_limit shared; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /pool      { ai_limit pool;   empty_gif; }
        location /secret    { ai_limit secret; empty_gif; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
my $nginx = AiLimit::Nginx->start(http => $conf, workers => 2);
my $api = AiLimit::Api->new($nginx->port);

subtest 'nobody waits' => sub {
    is_deeply $api->policy('slots')->{waits}{keys}, [], 'for any key';
    ok !exists $api->policy('plain')->{waits}, 'nor without wait=';
    is_deeply $api->policy('pool')->{sharers}, [], 'nobody shares';
    ok !exists $api->policy('plain')->{sharers}, 'nor without share=';
};

subtest 'requests that wait' => sub {
    my $slots = AiLimit::Slots->new($nginx);
    my @streams = map { $slots->take($_) } 'ip:192.0.2.1', 'sk-secret-0123456789abcdef';
    my @waiting = map { wait_for('ip:192.0.2.1') } 1 .. 3;
    push @waiting, wait_for('sk-secret-0123456789abcdef');
    ok wait_until(sub { $api->policy('slots')->{waits}{now} == 4 }), 'four wait';
    sleep 1.1;
    my $keys = $api->policy('slots')->{waits}{keys};
    is_deeply [map { [@$_{qw(key waiting)}] } @$keys], [['ip:192.0.2.1', 3], ["sk-s\x{2026}cdef", 1]],
        'for these keys, shortened, the one with most first';
    is_deeply [map { $_->{whole} ? 1 : 0 } @$keys], [1, 0], 'which is said';
    cmp_ok $_->{next_waited}, '>=', 1.1, 'the next one has waited for a second' for @$keys;
    cmp_ok $_->{next_waited}, '<', 60, 'and not for ever' for @$keys;
    (shift @waiting)->abort;
    ok wait_until(sub { $api->policy('slots')->{waits}{keys}[0]{waiting} == 2 }), 'one has gone';
    $nginx->reload(http => $conf);
    is_deeply [map { $_->{waiting} } @{$api->policy('slots')->{waits}{keys}}], [2, 1], 'the others are seen over a reload';
    $_->abort for @streams, @waiting;
    ok wait_until(sub { !@{$api->policy('slots')->{waits}{keys}} }), 'until nobody waits';
};

subtest 'sharers of a quota' => sub {
    ask('/pool?t=a&w=1') for 1 .. 30;
    ask('/pool?t=b&w=3') for 1 .. 10;
    is_deeply rows('pool'), [['key:a', 'all', 1, 25, 30], ['key:b', 'all', 3, 75, 10]],
        'name, key, weight, part and use: what was lent shows when the other comes';
    ask('/pool?t=b&w=3') for 1 .. 40;
    is_deeply rows('pool')->[0], ['key:b', 'all', 3, 75, 50], 'the one that uses most first';
    my ($row) = @{$api->policy('pool')->{sharers}};
    ok $row->{whole}, 'a key that the configuration says is shown whole';
    cmp_ok $row->{need}, '<=', 75, 'nobody needs more than the part';
    request($nginx->port, method => 'PUT', path => '/ai_limit/keys?policy=pool&key=all&rate=200r/month&ttl=1h');
    is_deeply rows('pool')->[0], ['key:b', 'all', 3, 150, 50], 'parts are of the limit that an operator has set for the key';
};

subtest 'sharers of several keys, by secrets' => sub {
    ask("/secret?k=ip:192.0.2.$_&t=sk-secret-0123456789abcdef") for 2, 1;
    ask('/secret?k=ip:192.0.2.2&t=');
    my $name = "sk-s\x{2026}cdef";
    is_deeply rows('secret'), [[$name, 'ip:192.0.2.1', 1, 100, 1], ['', 'ip:192.0.2.2', 1, 50, 1], [$name, 'ip:192.0.2.2', 1, 50, 1]],
        'are shortened, and of each key';
    unlike get($nginx->port, '/ai_limit/status')->{body}, qr/0123456789/, 'no secret is shown';
};

subtest 'sharers of slots' => sub {
    my @streams = map { stream("/shared/v1/chat/completions?k=ip:192.0.2.3&t=a") } 1, 2;
    my $waiting = start_request($nginx->port, path => '/shared/v1/models?k=ip:192.0.2.3&t=b', deadline => 120);
    ok wait_until(sub { @{rows('shared')} == 2 }), 'one uses both slots, another one waits';
    is_deeply rows('shared'), [['key:a', 'ip:192.0.2.3', 1, 1, 2], ['key:b', 'ip:192.0.2.3', 1, 1, 0]], 'with a part of one each';
    is_deeply [map { [@$_{qw(key waiting)}] } @{$api->policy('shared')->{waits}{keys}}], [['ip:192.0.2.3', 1]], 'for the key';
    (shift @streams)->abort;
    is $waiting->finish->{status}, 200, 'which gets the slot that comes back';
    $_->abort for @streams;
};

$nginx->stop;
done_testing;

sub ask {
    my ($path) = @_;
    return get($nginx->port, $path, Connection => 'close')->{status};
}

sub wait_for {
    my ($key) = @_;
    return start_request($nginx->port, path => "/v1/models?k=$key", deadline => 120);
}

sub stream {
    my ($path) = @_;
    my $stream = start_request($nginx->port, method => 'POST', body => '{"stream":true}', path => "$path&chunk_delay=60000", deadline => 120);
    $stream->head;
    return $stream;
}

# [sharer, key, weight, part, used] of each that is shown.
sub rows {
    my ($policy) = @_;
    return [map { [@$_{qw(sharer key weight part used)}] } @{$api->policy($policy)->{sharers}}];
}
