# Tests a Redis that loses its data. It is seeded again from what the nodes know was counted, so what passes beyond a
# limit is no more than others have used since the first node that asks was last answered. Requests in flight are
# counted again when their records are renewed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(time);

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Redis;
use AiLimit::Tokens qw(chat);

use constant {LIMIT => 60, NODES => 3};

my $redis = AiLimit::Redis->start;
my $model = AiLimit::ModelServer->start;
# It is noon there now: no window of a day ends while this test runs.
my $noon = sprintf '%+03d:00', 12 - (gmtime)[2];
my $conf = join '', <<"CONF";
    ai_limit_redis @{[$redis->url]} sync=strict timeout=30s connect_timeout=30s;
    ai_limit_policy bucket  key=\$arg_k rate=1r/month burst=60;
    ai_limit_policy sliding key=\$arg_k rate=60r/month algorithm=sliding_window;
    ai_limit_policy fixed   key=\$arg_k rate=60r/d algorithm=fixed_window tz=$noon;
    ai_limit_policy slots   key=\$arg_k concurrency=3;
    ai_limit_policy tokens  key=\$arg_k rate=1t/month burst=1000 reserve=max;
    ai_limit_log_level info;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /bucket  { ai_limit bucket;  empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed;   empty_gif; }
        location /all     { ai_limit bucket sliding fixed; empty_gif; }
        location /left { ai_limit tokens; add_header X-Left \$ai_limit_remaining_tokens always; empty_gif; }
        location /v1/ {
            ai_limit slots tokens;
            proxy_pass http://127.0.0.1:@{[$model->port]};
            proxy_http_version 1.1;
            proxy_buffering off;
        }
    }
CONF
my @nodes = map { AiLimit::Nginx->start(http => $conf, workers => 2, log_level => 'notice') } 1 .. NODES;

my %losses = (
    'FLUSHALL'               => sub { $redis->command('FLUSHALL') },
    'a restart without data' => sub { $redis->restart; wait_until_back() },
);

# The node reports here what it knows of its key. It does not do so while it may still have to report what it has
# decided alone.
subtest 'what was used before by the key of a request that ran when data was lost' => sub {
    is post_status($nodes[0], 'before', 10), 200, 'a request has ended';
    my $left = left($nodes[0], 'before');
    my $stream = stream($nodes[0], 'before');
    is $stream->head, 200, 'another one runs';
    $redis->command('FLUSHALL');
    $redis->wait_for(sub { in_flight('tokens') == 1 }, 'it to be renewed');
    get($model->port, '/next?gate=before') for 1 .. 10;
    ok $stream->finish->{complete}, 'it ends';
    is left($nodes[1], 'before'), $left - 42, 'what was used before is kept';
};

for my $loss (sort keys %losses) {
    for my $policy ($loss eq 'FLUSHALL' ? qw(bucket sliding fixed) : (), 'all') {
        subtest "$loss: $policy" => sub {
            my $key = "$policy-$loss" =~ tr/ /-/r;
            my ($passed, $lost) = (0, 0);
            for my $i (0 .. 2 * LIMIT) {
                if ($i % 20 == 10) {
                    $losses{$loss}->();
                    $lost++ if $passed < LIMIT;
                }
                $passed++ if status($nodes[$i % NODES], $policy, $key) == 200;
            }
            cmp_ok $passed, '>=', LIMIT, 'all that may pass passes';
            # Each knows all but what the others have used since.
            cmp_ok $passed, '<=', LIMIT + $lost * (NODES - 1), "and little more after $lost losses";
            is sum0(map { status($_, $policy, $key) == 429 } @nodes), NODES, 'then all refuse';
            $losses{$loss}->();
            is sum0(map { status($_, $policy, $key) == 429 } reverse @nodes), NODES, 'after one more, too';
        };
    }
}

subtest 'one node that alone has asked' => sub {
    my $passed = 0;
    for my $i (1 .. 3 * LIMIT) {
        $redis->command('FLUSHALL') if $i % 7 == 0;
        $passed++ if status($nodes[0], 'bucket', 'alone') == 200;
    }
    is $passed, LIMIT, 'lets pass what it may, however often Redis forgets it';
};

subtest 'a node that knows less asks first' => sub {
    is_deeply [map { status($nodes[0], 'bucket', 'less') } 1 .. 30], [(200) x 30], 'one has used 30';
    is status($nodes[1], 'bucket', 'less'), 200, 'the other one has seen that';
    is_deeply [map { status($nodes[0], 'bucket', 'less') } 1 .. 9], [(200) x 9], 'and then the first one uses 9';
    $redis->command('FLUSHALL');
    my $passed = sum0(map { status($nodes[1], 'bucket', 'less') == 200 } 1 .. LIMIT);
    cmp_ok $passed, '<=', LIMIT - 31, 'after a loss the other one goes on from what it has seen';
};

subtest 'requests that a node decides alone' => sub {
    my $key = 'without-redis';
    my $passed = sum0(map { status($nodes[0], 'bucket', $key) == 200 } 1 .. 20);
    $redis->stop;
    $passed += sum0(map { status($nodes[0], 'bucket', $key) == 200 } 1 .. 20);
    is $passed, 40, 'goes on from what Redis has said';
    $redis->launch;
    wait_until_back();
    $passed += sum0(map { status($nodes[0], 'bucket', $key) == 200 } 1 .. LIMIT);
    is $passed, LIMIT, 'and is seeded when Redis is back';
};

subtest 'what a node has decided alone, where Redis still has its data' => sub {
    my $key = 'kept';
    my $passed = sum0(map { status($nodes[0], 'bucket', $key) == 200 } 1 .. 20);
    my $told = sub { scalar @{$redis->command('KEYS', '*:bucket:nodes')} };
    my $before = $told->();
    $redis->stop(keep => 1);
    $passed += sum0(map { status($nodes[0], 'bucket', $key) == 200 } 1 .. 20);
    $redis->launch;
    wait_until_back();
    $redis->wait_for(sub { $told->() > $before }, 'it to be reported');
    $passed += sum0(map { status($nodes[1], 'bucket', $key) == 200 } 1 .. LIMIT);
    is $passed, LIMIT, 'is reported, and not forgotten';
};

# Redis does not know the request that ends. It may have lost it. It may have charged it already, because its end was
# reported before or its lease was over. Its node, which has charged it, may have seeded Redis before Redis heard of the
# end. Redis cannot tell these cases apart, and must count nothing twice.
TODO: {
    local $TODO = 'a request that is no longer in flight in Redis may have been charged';

    subtest 'tokens of a request that ran when data was lost' => sub {
        my $stream = stream($nodes[0], 'ran');
        is $stream->head, 200, 'a request runs';
        $redis->command('FLUSHALL');
        is post_status($nodes[1], 'ran', 10), 200, 'another one comes before it is renewed';
        my $left = left($nodes[1], 'ran');
        get($model->port, '/next?gate=ran') for 1 .. 10;
        ok $stream->finish->{complete}, 'it ends';
        is left($nodes[1], 'ran'), $left - 42, 'and is charged what it used';
    };
}

subtest 'requests in flight' => sub {
    my @streams = map { stream($nodes[$_ % NODES], 'flights') } 1 .. 3;
    is_deeply [map { $_->head } @streams], [(200) x 3], 'three requests run';
    is_deeply [map { in_flight($_) } qw(slots tokens)], [3, 3], 'Redis knows of them';
    is post_status($nodes[0], 'flights', 10), 429, 'there is no slot for another one';
    $redis->command('FLUSHALL');
    my $begin = time;
    $redis->wait_for(sub { in_flight('slots') == 3 && in_flight('tokens') == 3 }, 'the flights to be renewed');
    note sprintf 'renewed after %.1f s', time - $begin;
    is post_status($nodes[1], 'flights', 10), 429, 'there is none when they are renewed';
    get($model->port, '/next?gate=flights') for 1 .. 10;
    $_->abort for @streams;
    $redis->wait_for(sub { !in_flight('slots') && !in_flight('tokens') }, 'the flights to end');
    is post_status($nodes[2], 'flights', 10), 200, 'and there are slots when they have ended';
};

$_->stop for @nodes;
done_testing;

sub status {
    my ($node, $policy, $key) = @_;
    return get($node->port, "/$policy?k=$key", Connection => 'close')->{status};
}

# Every node that has lost it has found it.
sub wait_until_back {
    for my $node (@nodes) {
        $redis->wait_for(sub {
            status($node, 'bucket', 'wait');
            my @said = $node->error_log =~ /Redis \S+ is (lost|back)/g;
            return !@said || $said[-1] eq 'back';
        }, 'Redis to be found');
    }
    return;
}

sub stream {
    my ($node, $key) = @_;
    return start_request($node->port, method => 'POST', deadline => 120,
        body => chat(stream => 1, include_usage => 1, max_tokens => 200),
        headers => ['Content-Type' => 'application/json'],
        path => "/v1/chat/completions?gate=$key&prompt_tokens=20&completion_tokens=22&k=$key");
}

# Returns what is left of the key's tokens.
sub left {
    my ($node, $key) = @_;
    return get($node->port, "/left?k=$key")->{headers}{'x-left'};
}

sub post_status {
    my ($node, $key, $most) = @_;
    return post($node->port, "/v1/chat/completions?k=$key", chat(max_tokens => $most), 'Content-Type' => 'application/json')->{status};
}

# Returns how many requests of a policy Redis knows to be in flight.
sub in_flight {
    my ($policy) = @_;
    return sum0(map { $redis->command('ZCARD', $_) } @{$redis->command('KEYS', "*:$policy*:flights")});
}
