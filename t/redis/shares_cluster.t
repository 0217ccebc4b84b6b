# Nodes that count by themselves and tell each other through a Redis Cluster: keys in many slots, and slots that move.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::Http;
use AiLimit::Load;
use AiLimit::Nginx;
use AiLimit::Redis;
use AiLimit::Shares;

use constant LIMIT => 50;

my @redis = AiLimit::Redis->start_cluster(masters => 3);
my $http = sprintf <<'CONF', $redis[0]->url, $redis[1]->url;
    # No answer of Redis is late, however busy this machine is.
    ai_limit_redis %s %s cluster sync=100ms timeout=60s connect_timeout=60s;
    ai_limit_policy bucket  key=$arg_k rate=1r/month burst=50;
    ai_limit_policy sliding key=$arg_k rate=50r/month algorithm=sliding_window;
    ai_limit_policy other   key=$arg_o rate=1r/month burst=50;
    ai_limit_policy many    key=$arg_k rate=1r/month burst=1000000;
    ai_limit_policy slots   key=$arg_k concurrency=5;
    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        location /bucket  { ai_limit bucket; empty_gif; }
        location /layered { ai_limit many bucket sliding; empty_gif; }
        location /two     { ai_limit bucket other; empty_gif; }
        location /many    { ai_limit many; empty_gif; }
        location /seats   { ai_limit many slots; empty_gif; }
    }
CONF
my @nodes = map { AiLimit::Nginx->start(http => $http, workers => 2, log_level => 'notice') } 1, 2;
my @ports = map { $_->port } @nodes;
wait_for_nodes(owner('ai_limit:nodes'), 2);

subtest 'keys in many slots' => \&test_keys;
subtest 'two keys in one request' => \&test_two_keys;
subtest 'beside a policy that Redis decides' => \&test_beside;
subtest "slots that move in mid-load: $_" => sub { test_move($_) } for 1 .. 3;
is scalar(grep { $_->error_log =~ /is lost/ } @nodes), 0, 'none of it is taken for a loss';
$_->stop for @nodes;
done_testing;

# The one that has a key.
sub owner {
    my ($key) = @_;
    my ($owner) = grep { $_->error_of('EXISTS', $key) eq '' } @redis;
    return $owner // die "nobody has $key";
}

sub used_there {
    my ($policy, $key, $expected) = @_;
    return wait_for_used(owner(redis_key($policy, $key)), $policy, $key, $expected);
}

sub exhausts {
    my ($path) = @_;
    my $passed = 0;
    for my $port (@ports) {
        $passed++ while get($port, $path)->{status} == 200;
    }
    return $passed;
}

sub test_keys {
    my @keys = map { "key-$_" } 1 .. 24;
    my $all = many(\@ports, requests => 24 * LIMIT, connections => 16, keep => 1, path => sub { "/layered?k=$keys[$_[0] % 24]" });
    is $all->{failed}, 0, 'none fails';
    my (%passed, %slots, @wrong, $most);
    $all->{responses}[$_]{status} == 200 and $passed{$keys[$_ % 24]}++ for 0 .. $#{$all->{responses}};
    for my $key (@keys) {
        my $passed = $passed{$key} + exhausts("/layered?k=$key");
        $most = $passed if $passed > ($most // 0);
        push @wrong, "$key: $passed passed" if $passed < LIMIT || $passed > LIMIT + bound(LIMIT, 2);
        for my $policy (qw(many bucket sliding)) {
            my $used = used_there($policy, $key, $passed);
            push @wrong, "$key: $passed passed, $policy has $used" if $used != $passed;
        }
        $slots{$redis[0]->command('CLUSTER', 'KEYSLOT', redis_key('many', $key))}++;
    }
    note "at most $most of ", LIMIT, ', bound ', bound(LIMIT, 2);
    cmp_ok scalar(keys %slots), '>', 20, 'in many slots';
    is_deeply \@wrong, [], 'each key passes its limit and no more than the bound beyond it, and all is reported';
    is_deeply [grep { !keys_of($_) } @redis], [], 'all servers have some';
    return;
}

sub test_two_keys {
    my $passed = 0;
    for my $key ('a' .. 'd') {
        my $all = many(\@ports, requests => 20, connections => 4, path => "/two?k=two-$key&o=same");
        $passed += $all->{status}{200} // 0;
    }
    $passed += exhausts('/two?k=two-e&o=same');
    my $used = used_there('other', 'same', $passed);
    is $used, $passed, 'the one that is the same has counted each';
    cmp_ok $passed, '>=', LIMIT, 'which passes as often as it may';
    cmp_ok $passed, '<=', LIMIT + bound(LIMIT, 2), 'and little more often';
    return;
}

sub test_beside {
    my $all = many(\@ports, requests => 40, connections => 2, path => '/seats?k=beside');
    is_deeply $all->{status}, {200 => 40}, 'requests pass';
    is used_there('many', 'beside', 40), 40, 'each is counted';
    return;
}

sub test_move {
    my ($round) = @_;
    my @keys = map { "moving-$round-$_" } 1 .. 3;
    my %often = (requests => 10, pause => 0.005);
    my @loads = map { my $key = $_; map { AiLimit::Load->start($_, path => "/many?k=$key", %often) } @ports } @keys;
    sleep 0.05;
    move($_) for map { redis_key('many', $_) } @keys;
    sleep 0.05;
    my %passed;
    for my $i (0 .. $#loads) {
        my $sent = $loads[$i]->end;
        $passed{$keys[$i / 2]} += $sent->{passed};
        is $sent->{passed}, $sent->{sent}, 'no request fails, or is refused';
    }
    is used_there('many', $_, $passed{$_}), $passed{$_}, "each of $passed{$_} is counted once" for @keys;
    return;
}

# A key's slot, to another server.
sub move {
    my ($key) = @_;
    my $from = owner($key);
    my $slot = $from->command('CLUSTER', 'KEYSLOT', $key);
    my ($to, $third) = grep { $_ != $from } @redis;
    my ($from_id, $to_id) = map { $_->command('CLUSTER', 'MYID') } $from, $to;
    $to->command('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from_id);
    $from->command('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to_id);
    # One by one: the keys of one call are in two places.
    while (my @there = @{$from->command('CLUSTER', 'GETKEYSINSLOT', $slot, 1)}) {
        $from->command('MIGRATE', '127.0.0.1', $to->port, $there[0], 0, 5000);
        sleep 0.03;
    }
    $_->command('CLUSTER', 'SETSLOT', $slot, 'NODE', $to_id) for $to, $from, $third;
    return;
}
