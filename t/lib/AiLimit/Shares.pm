package AiLimit::Shares;

# Helps tests with nodes that count by themselves and report to each other through Redis.
#
#   wait_for_nodes($redis, 3);               # each knows that they are three
#   is used($redis, 'quota', 'alice'), 70;   # by all that Redis has been told
#   wait_for_used($redis, 'quota', 'alice', 70);

use strict;
use warnings;

use Digest::SHA qw(sha256);
use Exporter qw(import);
use List::Util qw(sum0);
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Patience;

our @EXPORT = qw(bound keys_of redis_key used wait_for_nodes wait_for_shares wait_for_used);

# Each sort of state has its used amount in another field, counted from 1 as Lua does (src/redis/script/script.h).
my $USED = <<'LUA';
local packed = redis.call('GET', KEYS[1])
if not packed then return 0 end
local state = cmsgpack.unpack(packed)
if state[1] ~= 4 then return state[3] end
local sum = 0
for i = 5, 13 do sum = sum + state[i] end
return sum
LUA

# Returns by how much so many nodes together may go beyond a limit: all but one of them by their share.
sub bound {
    my ($limit, $nodes) = @_;
    return ($nodes - 1) * int($limit / $nodes);
}

sub redis_key {
    my ($policy, $key, $prefix) = @_;
    my $hash = substr encode_base64(substr(sha256($key), 0, 16), ''), 0, 22;
    return ($prefix // 'ai_limit') . ":{$hash}:$policy";
}

# Returns what a key has used of a policy, as Redis counts it.
sub used {
    my ($redis, $policy, $key, $prefix) = @_;
    return $redis->command('EVAL', $USED, 1, redis_key($policy, $key, $prefix));
}

# The same, once it is what is expected.
sub wait_for_used {
    my ($redis, $policy, $key, $expected, $prefix) = @_;
    my $used;
    my $patience = AiLimit::Patience->new(AiLimit::Redis::PATIENCE());
    while (($used = used($redis, $policy, $key, $prefix)) != $expected && !$patience->is_over) { sleep 0.005 }
    return $used;
}

sub keys_of {
    my ($redis) = @_;
    return @{$redis->command('KEYS', '*')};
}

# Waits until each of `count` nodes believes that they are so many, which takes a little more than a second. A node that
# sends its second heartbeat has read the answer to its first.
sub wait_for_nodes {
    my ($redis, $count, @prefixes) = @_;
    my @all = map { "$_:nodes" } @prefixes ? @prefixes : 'ai_limit';
    my $monitor = $redis->monitor;
    for my $all (@all) {
        $redis->wait_for(sub { $redis->command('ZCARD', $all) >= $count }, "$count nodes to be there");
    }
    my %beats;
    $monitor->commands;
    $redis->wait_for(sub {
        for my $words ($monitor->commands) {
            my ($i) = grep { $words->[$_] eq 'heartbeat' } 0 .. $#$words or next;
            my $node = $beats{$words->[3]}{$words->[$i + 1]} //= {first => time};
            $node->{last} = time;
        }
        return @all == grep { $count <= grep { $_->{last} - $_->{first} > 1.6 } values %{$beats{$_}} } @all;
    }, "$count nodes to know of each other");
    return;
}

# The nodes of these ports know of each other, and decide on this path by themselves: sooner than one can be sure of
# that without asking.
sub wait_for_shares {
    my ($redis, $prefix, $path, @ports) = @_;
    my $monitor = $redis->monitor;
    $redis->wait_for(sub { $redis->command('ZCARD', "$prefix:nodes") == @ports }, 'all nodes to be there');
    my %beats;
    $monitor->commands;
    $redis->wait_for(sub {
        for my $words (grep { ($_->[3] // '') eq "$prefix:nodes" } $monitor->commands) {
            $beats{$words->[5]}++;
        }
        # A node that sends its second heartbeat has read the answer to its first.
        return @ports == grep { $_ > 1 } values %beats;
    }, 'all nodes to know of each other');
    $redis->wait_for(sub {
        $monitor->commands;
        get($_, $path) for @ports;
        return !grep { my $words = $_; grep { $_ eq 'take' } @$words } $monitor->commands;
    }, 'nodes to decide by their share');
    return;
}

1;
