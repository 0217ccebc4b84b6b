# Tests what an operator sees and changes if several nginx share limits: one key's counts are those of all nodes, and
# all nodes forget it. Tests also what the API reports about Redis.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;

my $model = AiLimit::ModelServer->start;
my $redis = AiLimit::Redis->start;
my $http = <<"CONF";
    ai_limit_redis @{[$redis->url]} timeout=30s connect_timeout=30s sync=strict;
    ai_limit_policy bucket  key=\$http_x_key rate=6r/h;
    ai_limit_policy sliding key=\$http_x_key rate=6r/h algorithm=sliding_window;
    ai_limit_policy fixed   key=\$http_x_key rate=6r/12month algorithm=fixed_window;
    ai_limit_policy shares  key=\$http_x_key rate=6r/h sync=50ms;
    ai_limit_policy tokens  key=\$http_x_key rate=1000t/h reserve=max;
    ai_limit_policy slots   key=\$http_x_key concurrency=2;
    ai_limit_policy own     key=\$http_x_key rate=6r/h sync=off;
    ai_limit_policy warned  key=\$http_x_key rate=10r/12month algorithm=fixed_window warn=80 label=\$http_x_key;
    ai_limit_policy parts   key=\$http_x_pool rate=6r/h share=\$http_x_key;
    ai_limit_policy divided key=\$http_x_pool rate=6r/h share=\$http_x_key sync=50ms;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location = /sharer { ai_limit_self; ai_limit parts divided; }
        location /bucket  { ai_limit bucket; empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed; empty_gif; }
        location /shares  { ai_limit shares; empty_gif; }
        location /warned  { ai_limit warned; empty_gif; }
        location /own     { ai_limit own; empty_gif; }
        location /v1/     { ai_limit tokens slots; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location = /self  { ai_limit_self; ai_limit bucket own tokens slots; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
my @nodes = map { AiLimit::Nginx->start(http => $http, workers => 2, log_level => 'notice') } 1 .. 2;
my @apis = map { AiLimit::Api->new($_->port) } @nodes;

for my $policy (qw(bucket sliding fixed)) {
    subtest $policy => sub {
        my $query = "policy=$policy&key=a";
        is +($apis[0]->key(GET => $query))[0], 404, 'a key that nobody has seen';
        statuses($_, $policy, 'a', 3, '200 200 200') for 0, 1;
        is_counted($_, $query, 6, 0) for 0, 1;
        statuses($_, $policy, 'a', 1, '429') for 0, 1;
        is +($apis[0]->key(DELETE => $query))[0], 200, 'one node forgets it';
        is +($apis[$_]->key(GET => $query))[0], 404, 'both have' for 0, 1;
        statuses(1, $policy, 'a', 3, '200 200 200');
        is_counted($_, $query, 3, 3) for 0, 1;
        statuses(0, $policy, 'a', 4, '200 200 200 429');
    };
}

subtest 'nodes that decide by their share' => sub {
    my $query = 'policy=shares&key=a';
    statuses($_, 'shares', 'a', 3, '200 200 200') for 0, 1;
    ok wait_until(sub { ($apis[0]->key(GET => $query))[1]{remaining} == 0 }), 'each request is counted for both';
    statuses($_, 'shares', 'a', 1, '429') for 0, 1;
    is +($apis[0]->key(DELETE => $query))[0], 200, 'one node forgets the key';
    # The other node does not believe what it knew before.
    ok wait_until(sub { get($nodes[1]->port, '/shares', 'X-Key' => 'a')->{status} == 200 }), 'the other one lets it pass again';
    sleep 0.3;
    my ($code, $said) = $apis[0]->key(GET => $query);
    cmp_ok $said->{used}, '<', 3, 'what was forgotten does not come back';
};

subtest 'a policy that is not in Redis' => sub {
    statuses(0, 'own', 'a', 6, '200 200 200 200 200 200');
    is +($apis[1]->key(GET => 'policy=own&key=a'))[0], 404, 'is each node\'s own';
    is +($apis[0]->key(DELETE => 'policy=own&key=a'))[0], 200, 'and so is forgotten there';
};

subtest 'tokens and requests in flight' => sub {
    my $stream = start_request($nodes[0]->port, method => 'POST', path => '/v1/chat/completions?gate=held',
        body => '{"model":"m","stream":true,"max_tokens":200}',
        headers => ['Content-Type' => 'application/json', 'X-Key' => 'talks']);
    $stream->head;
    my ($code, $said) = $apis[1]->key(GET => 'policy=tokens&key=talks');
    is $code, 200, 'of another node';
    cmp_ok $said->{reserved}, '>=', 200, 'the reserved tokens are shown';
    is $said->{remaining}, 1000 - $said->{reserved}, 'is taken off';
    is_counted(1, 'policy=slots&key=talks', 1, 1);
    get($model->port, '/next?gate=held') for 1 .. 10;
    ok $stream->finish->{complete}, 'it ends';
    ok wait_until(sub { ($apis[1]->key(GET => 'policy=tokens&key=talks'))[1]{used} }), 'and is charged';
    is +($apis[1]->key(DELETE => 'policy=tokens&key=talks'))[0], 200, 'and forgotten';
    is +($apis[0]->key(GET => 'policy=tokens&key=talks'))[0], 404, 'by both';
};

subtest 'what a client sees of its own limits' => sub {
    is own(0, 'self'), 'own 6 of 6, bucket 6 of 6, tokens 1000 of 1000, slots 2 of 2', 'whole for a key that nobody has seen';
    statuses($_, 'bucket', 'self', 2, '200 200') for 0, 1;
    statuses(0, 'own', 'self', 1, '200');
    is own(0, 'self'), 'own 5 of 6, bucket 2 of 6, tokens 1000 of 1000, slots 2 of 2', 'what all nodes have counted';
    is own(1, 'self'), 'own 6 of 6, bucket 2 of 6, tokens 1000 of 1000, slots 2 of 2', 'on each of them';
    my $answer = get($nodes[0]->port, '/sharer', 'X-Pool' => 'p', 'X-Key' => 'self');
    is_deeply [map { "$_->{policy} $_->{remaining}" } @{JSON::PP->new->decode($answer->{body})->{policies}}], ['divided 6'],
        'of a key that several share only what this node knows of its own part';
};

subtest 'a warning' => sub {
    statuses(0, 'warned', 'w', 4, '200 200 200 200');
    statuses(1, 'warned', 'w', 3, '200 200 200');
    is warned(0) + warned(1), 0, 'is not given too early';
    statuses(1, 'warned', 'w', 2, '200 200');
    is warned(1), 1, 'goes by what all nodes have counted';
    statuses(0, 'warned', 'w', 1, '200');
    is warned(0), 1, 'and each node gives it that sees it';
    like $nodes[1]->error_log, qr/a key has passed 80% of its limit, policy: "warned", key: "[^"]+", label: "w", used: 8 of 10 requests/,
        'once, at the request that passed';
};

subtest 'another rate' => sub {
    is +($apis[0]->key(PUT => 'policy=bucket&key=raised&rate=8r/h&ttl=1h'))[0], 200, 'of one node';
    statuses(0, 'bucket', 'raised', 8, '200 200 200 200 200 200 200 200');
    is_counted(0, 'policy=bucket&key=raised', 8, 0);
    statuses(1, 'bucket', 'raised', 1, '429');
};

for my $policy (qw(sliding fixed)) {
    subtest "another period of $policy" => sub {
        my $query = "policy=$policy&key=period";
        my $rate = $policy eq 'fixed' ? '9r/12month' : '9r/h';
        statuses(0, $policy, 'period', 2, '200 200');
        my ($code, $said) = $apis[0]->key(PUT => "$query&rate=600r/m&ttl=1h");
        is $code, 409, 'is refused';
        like $said->{error}, qr/several nginx share this policy.*period/, 'with the reason';
        is +($apis[0]->key(PUT => "$query&rate=0r/m&ttl=1h"))[0], 200, 'a key can be blocked';
        statuses(0, $policy, 'period', 1, '403');
        ok wait_until(sub { ($apis[1]->key(GET => $query))[1]{limit} == 0 }), 'on all nodes';
        statuses(1, $policy, 'period', 1, '403');
        is +($apis[0]->key(PUT => "$query&rate=$rate&ttl=1h"))[0], 200, 'the same period is fine';
        ok wait_until(sub { ($apis[1]->key(GET => $query))[1]{limit} == 9 }), 'on all nodes';
        is_counted(1, $query, 2, 7);
        statuses(0, $policy, 'period', 1, '200');
        is_counted(1, $query, 3, 6);
    };
}

subtest 'the state of Redis' => sub {
    ok wait_until(sub { $apis[0]->status->{redis}{nodes} == 2 }), 'two nodes share';
    my ($status, $metrics) = ($apis[0]->status->{redis}, $apis[0]->metrics);
    ok $status->{up}, 'it is up';
    is $metrics->{ai_limit_redis_up}, 1, 'as the metrics say';
    is_deeply [@$status{qw(sync on_failure)}], ['strict', 'local'], 'how it is used';
    cmp_ok $status->{commands}{ok}, '>', 20, 'commands were answered';
    my %buckets = map { /_bucket\{le="(.+)"\}/ ? ($1 => $metrics->{$_}) : () } keys %$metrics;
    my $all = sum0 map { $metrics->{qq(ai_limit_redis_commands_total{result="$_"})} } qw(ok error);
    is $metrics->{ai_limit_redis_command_duration_seconds_count}, $all, 'each was timed';
    is $metrics->{ai_limit_redis_seconds_count}, $all, 'also by the name before';
    is $buckets{'+Inf'}, $all, 'and is in a bucket';
    my @counts = @buckets{sort { $a <=> $b } grep { $_ ne '+Inf' } keys %buckets};
    is_deeply \@counts, [sort { $a <=> $b } @counts], 'which charges the earlier ones as well';
    cmp_ok $metrics->{ai_limit_redis_command_duration_seconds_sum}, '>', 0, 'time has gone by';
    cmp_ok $metrics->{ai_limit_redis_command_duration_seconds_sum}, '<', 60, 'but no more than the commands took: login and script count as well';
};

subtest 'without Redis' => sub {
    statuses(0, 'bucket', 'c', 2, '200 200');
    $redis->stop;
    statuses(0, 'bucket', 'c', 1, '200');
    ok wait_until(sub { !$apis[0]->status->{redis}{up} }), 'it is seen to be away';
    is $apis[0]->metrics->{ai_limit_redis_up}, 0, 'in the metrics, too';
    is_counted(0, 'policy=bucket&key=c', 3, 3);
    like own(0, 'c'), qr/bucket 3 of 6/, 'a client sees what this node knows';
    my ($code, $said) = $apis[0]->key(DELETE => 'policy=bucket&key=c');
    is $code, 503, 'nothing can be forgotten by all';
    like $said->{error}, qr/Redis is not there.*nothing has changed/, 'as is said';
    is +($apis[0]->key(PUT => 'policy=bucket&key=c&rate=0r/m&ttl=1h'))[0], 503, 'nor can another rate be set for all';
    is_counted(0, 'policy=bucket&key=c', 3, 3);
};

$_->stop for @nodes;
done_testing;

sub statuses {
    my ($node, $path, $key, $count, $expected) = @_;
    my @got = map { get($nodes[$node]->port, "/$path", Connection => 'close', 'X-Key' => $key)->{status} } 1 .. $count;
    return is "@got", $expected, "node $node, $path: $expected";
}

sub is_counted {
    my ($node, $query, $used, $remaining) = @_;
    my ($code, $said) = $apis[$node]->key(GET => $query);
    return is_deeply [$code, @$said{qw(used remaining)}], [200, $used, $remaining], "node $node says so";
}

# The limits that a client sees of its own.
sub own {
    my ($node, $key) = @_;
    my $answer = get($nodes[$node]->port, '/self', 'X-Key' => $key);
    my $rows = JSON::PP->new->utf8->decode($answer->{body})->{policies};
    return join ', ', map { "$_->{policy} $_->{remaining} of $_->{limit}" } sort { ($a->{policy} ne 'own') <=> ($b->{policy} ne 'own') } @$rows;
}

# The warnings that a node has given.
sub warned {
    my ($node) = @_;
    return $apis[$node]->metrics->{'ai_limit_warnings_total{policy="warned"}'};
}
