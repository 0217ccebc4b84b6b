# Tests nodes that count by themselves and report to each other: together they let through all that a limit allows, and
# beyond it no more than all but one of them may by their share. Each case notes what it was, beside the bound.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Redis;
use AiLimit::Shares;

use constant {LIMIT => 400, WIDE => 100_000, PATIENCE => AiLimit::Nginx::PATIENCE};

# It is noon there now: no window of a day ends while this test runs.
my $noon = sprintf '%+03d:00', 12 - (gmtime)[2];

my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
my $http = <<"CONF";
    ai_limit_policy bucket  key=\$arg_k rate=1r/h burst=400;
    ai_limit_policy sliding key=\$arg_k rate=400r/d algorithm=sliding_window;
    ai_limit_policy fixed   key=\$arg_k rate=400r/d algorithm=fixed_window tz=$noon;

    map \$arg_cost \$cost { default \$arg_cost; "" 1; }
    ai_limit_policy wide_bucket  key=\$arg_k rate=1r/h burst=100000 cost=\$cost;
    ai_limit_policy wide_sliding key=\$arg_k rate=100kr/d algorithm=sliding_window cost=\$cost;

    server {
        listen 127.0.0.1:%%PORT_0%% backlog=1024;
        location /bucket  { ai_limit bucket;  empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed;   empty_gif; }
        location /layered { ai_limit wide_bucket bucket fixed sliding wide_sliding; empty_gif; }
        location /wide    { ai_limit wide_bucket; empty_gif; }
    }
CONF

# Groups of nodes, by how many they are. All nodes of `held` but the first reach Redis through the proxy.
my %groups;
for my $group ([2, 'g2', 2], [4, 'g4', 2], [8, 'g8', 1], [4, 'held', 1]) {
    my ($count, $prefix, $workers) = @$group;
    $groups{$prefix} = [map { start_node($prefix, $workers, $prefix eq 'held' && $_ > 1) } 1 .. $count];
}
wait_for_nodes($redis, scalar @{$groups{$_}}, $_) for sort keys %groups;
my (@exhausted, %most);
my $keys = 0;

for my $prefix (qw(g2 g4 g8)) {
    my @ports = map { $_->port } @{$groups{$prefix}};
    my $n = @ports;
    my %loads = (
        even   => sub { many(\@ports, requests => 2 * LIMIT, connections => 4 * $n, path => $_[0]) },
        uneven => sub { many([($ports[0]) x 7, @ports], requests => 2 * LIMIT, connections => 7 + $n, path => $_[0]) },
        bursts => sub { many(\@ports, requests => 2 * LIMIT, connections => $n, pipeline => LIMIT, path => $_[0]) },
        'one after another' => \&one_after_another,
    );
    for my $load (sort keys %loads) {
        subtest "$n nodes, $load: $_" => sub { is_within_bound($prefix, $_, $loads{$load}) }
            for $n == 8 ? qw(bucket layered) : qw(bucket sliding fixed layered);
    }
    subtest "$n nodes, several keys" => sub { test_keys($prefix) };
    subtest "$n nodes, all at one of them: $_" => sub { test_one_node($prefix, $_) } for qw(bucket sliding fixed layered);
    subtest "$n nodes: each knows what all have used" => sub { test_agreement($prefix) };
}
subtest "the worst case: $_" => sub { test_worst($_) } for qw(bucket sliding fixed layered);
subtest 'requests that ask while a share comes' => \&test_asking;
subtest 'without Redis' => \&test_without_redis;

$_->stop for map { @$_ } values %groups;
diag sprintf 'beyond the limit of %d, the most of %s: %s', LIMIT, $_, $most{$_} for sort keys %most;
done_testing;

sub start_node {
    my ($prefix, $workers, $by_proxy) = @_;
    my $url = ($by_proxy ? $proxy : $redis)->url;
    # No answer of Redis is late, however busy this machine is.
    my $shared = "ai_limit_redis $url sync=100ms prefix=$prefix timeout=60s connect_timeout=60s";
    return AiLimit::Nginx->start(http => "$shared;\n$http", workers => $workers, log_level => 'notice');
}

# The policies of a location that are used up there.
sub tight { return $_[0] eq 'layered' ? qw(bucket sliding fixed) : $_[0] }

# Sends requests until one is refused, and returns how many pass.
sub passes_at {
    my ($port, $path) = @_;
    my $passed = 0;
    $passed++ while get($port, $path)->{status} == 200;
    return $passed;
}

# Checks that what passes beyond the limit is within the bound and that Redis knows all of it. Then no node lets
# anything pass.
sub is_exhausted {
    my ($prefix, $path, $key, $passed) = @_;
    my $nodes = $groups{$prefix};
    $passed += passes_at($_->port, "/$path?k=$key") for @$nodes;
    my $bound = bound(LIMIT, scalar @$nodes);
    my $beyond = $passed - LIMIT;
    note "$beyond beyond the limit, of $bound";
    my $kind = @$nodes . " nodes (bound $bound)";
    $most{$kind} = $beyond if $beyond > ($most{$kind} // -1);
    cmp_ok $beyond, '>=', 0, 'all that is allowed passes';
    cmp_ok $beyond, '<=', $bound, 'and no more than that and the bound';
    is wait_for_used($redis, $_, $key, $passed, $prefix), $passed, "$_: each is reported to Redis" for tight($path);
    is_deeply [map { get($_->port, "/$path?k=$key")->{status} } @$nodes], [(429) x @$nodes], 'then all refuse';
    push @exhausted, [$prefix, $path, $key];
    return $beyond;
}

sub is_within_bound {
    my ($prefix, $path, $load) = @_;
    my $key = 'k' . ++$keys;
    my $result = $load->("/$path?k=$key", $prefix);
    is $result->{failed}, 0, 'none fails';
    return is_exhausted($prefix, $path, $key, $result->{status}{200});
}

# The others find out only when they have let something pass themselves.
sub one_after_another {
    my ($path, $prefix) = @_;
    my %sum = (failed => 0, status => {200 => 0});
    for my $node (@{$groups{$prefix}}) {
        my $result = many($node->port, requests => LIMIT, connections => 4, pipeline => 8, path => $path);
        $sum{failed} += $result->{failed};
        $sum{status}{200} += $result->{status}{200} // 0;
    }
    return \%sum;
}

sub test_keys {
    my ($prefix) = @_;
    my @ports = map { $_->port } @{$groups{$prefix}};
    my @keys = map { 'k' . ++$keys } 1 .. 6;
    my $key_of = sub { $keys[$_[0] * 7 % @keys] };
    my $all = many(\@ports, requests => @keys * LIMIT * 1.5, connections => 4 * @ports, keep => 1,
        path => sub { '/bucket?k=' . $key_of->($_[0]) });
    is $all->{failed}, 0, 'none fails';
    my %passed;
    $all->{responses}[$_]{status} == 200 and $passed{$key_of->($_)}++ for 0 .. $#{$all->{responses}};
    is_exhausted($prefix, 'bucket', $_, $passed{$_}) for @keys;
    return;
}

sub test_one_node {
    my ($prefix, $path) = @_;
    my ($node) = @{$groups{$prefix}};
    my $key = 'k' . ++$keys;
    my $all = many($node->port, requests => LIMIT + 20, path => "/$path?k=$key");
    is_deeply $all->{status}, {200 => LIMIT, 429 => 20}, 'exactly what is allowed passes';
    is_exhausted($prefix, $path, $key, LIMIT);

    $key = 'k' . ++$keys;
    $all = many($node->port, requests => 2 * LIMIT, connections => 8, pipeline => 4, path => "/$path?k=$key");
    note "$all->{status}{200} pass at once";
    cmp_ok $all->{status}{200}, '>=', 0.95 * LIMIT, 'at least 19 of 20 of it where they come at once';
    is_exhausted($prefix, $path, $key, $all->{status}{200});
    return;
}

sub test_agreement {
    my ($prefix) = @_;
    my @nodes = @{$groups{$prefix}};
    my $key = 'k' . ++$keys;
    my $sent = 50 * @nodes;
    my $all = many([map { $_->port } @nodes], requests => $sent, connections => 2 * @nodes, path => "/wide?k=$key");
    is_deeply $all->{status}, {200 => $sent}, 'all pass';
    is wait_for_used($redis, 'wide_bucket', $key, $sent, $prefix), $sent, 'each is reported to Redis';
    # A node learns what the others have used from the answer to its own report.
    for my $node (@nodes) {
        $sent++;
        is get($node->port, "/wide?k=$key")->{status}, 200, 'one more';
        is wait_for_used($redis, 'wide_bucket', $key, $sent, $prefix), $sent, 'is reported';
        my $left;
        $redis->wait_for(sub { ($left = left($node, $key)) <= WIDE - $sent }, 'the report to reach the node');
        is $left, WIDE - $sent, 'and then that node knows of all';
    }
    return;
}

sub left {
    my ($node, $key) = @_;
    return get($node->port, "/wide?k=$key&cost=0")->{headers}{'x-ratelimit-remaining'};
}

# One node uses up all before the others have learned of anything.
sub test_worst {
    my ($path) = @_;
    my ($first, @others) = @{$groups{held}};
    my $key = 'k' . ++$keys;
    my $share = int(LIMIT / 4);
    is passes_at($first->port, "/$path?k=$key"), LIMIT, 'one node lets pass all that is allowed';
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    my $burst = "GET /$path?k=$key HTTP/1.1\r\nHost: localhost\r\n\r\n" x LIMIT;
    my @bursts = map { start_request($_->port, raw => $burst) } @others;
    $proxy->wait_for_commands('EVALSHA', scalar @others, 'take');
    $proxy->clear;
    $proxy->release;
    my $passed = LIMIT;
    for my $one (@bursts) {
        my @statuses = $one->statuses(LIMIT);
        is_deeply \@statuses, [(200) x $share, (429) x (LIMIT - $share)], 'each other one lets pass its share, and then asks';
        $passed += grep { $_ == 200 } @statuses;
    }
    is is_exhausted('held', $path, $key, $passed), bound(LIMIT, 4), 'which is as bad as it can be';
    return;
}

# All at one node, of which the answers of Redis are late.
sub test_asking {
    my (undef, $node) = @{$groups{held}};
    my $key = 'k' . ++$keys;
    my $share = int(LIMIT / 4);
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    my @requests = map { start_request($node->port, path => "/bucket?k=$key") } 1 .. LIMIT;
    $proxy->wait_for_commands('EVALSHA', LIMIT - $share, 'take');
    is wait_for_used($redis, 'bucket', $key, LIMIT, 'held'), LIMIT, 'its share and what it asks for are all there is';
    # The node gets the answer about its share before it gets those about the rest.
    $proxy->release($proxy->count('EVALSHA', 'sync') - (LIMIT - $share) + 1);
    $proxy->wait_for_commands('EVALSHA', 1, 'sync');
    push @requests, map { start_request($node->port, path => "/bucket?k=$key") } 1 .. $share;
    $proxy->clear;
    $proxy->release;
    is scalar(grep { $_->finish->{status} == 200 } @requests), LIMIT, 'and no more than that passes';
    return;
}

# Each node still has what it knows when Redis is gone.
sub test_without_redis {
    $redis->stop;
    my @wrong;
    for (@exhausted) {
        my ($prefix, $path, $key) = @$_;
        push @wrong, grep { get($_->port, "/$path?k=$key")->{status} != 429 } @{$groups{$prefix}};
    }
    is scalar(@wrong), 0, 'each still refuses what is used up';
    return;
}
