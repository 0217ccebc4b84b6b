# Tests the script that decides in Redis, on a Redis itself: that Redis takes it, and what it keeps. The unit tests
# compare its decisions with the core in depth.

use strict;
use warnings;

use FindBin;
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Patience qw(PATIENCE);

use constant LEASE => 30_000;
use constant HOUR  => 3_600_000;

my $dir    = File::Temp::tempdir('ai_limit_XXXXXX', TMPDIR => 1);
my $owner  = $$;
my ($pid, $socket) = start_redis();
my $script = script();
my $sha1   = redis('SCRIPT', 'LOAD', $script);
my $second = int(redis_time() / 1000);
my $window = $second - $second % 86_400;

# The limits as a node sends them: 1r/h with a burst of 5, 5r/h, 5r/d, 5 at once, 100t/h.
my %limits = (
    bucket  => {kind => 'b', capacity => 5,   parameters => [1, HOUR, 5 * HOUR, undef]},
    sliding => {kind => 's', capacity => 5,   parameters => [HOUR / 8, (undef) x 3]},
    fixed   => {kind => 'f', capacity => 5,   parameters => [map { $window + 86_400 * $_ } -1 .. 2]},
    slots   => {kind => 'c', capacity => 2,   parameters => [(undef) x 4]},
    tokens  => {kind => 'b', capacity => 100, parameters => [1, HOUR / 100, HOUR, undef]},
);

like($sha1, qr/^[0-9a-f]{40}$/, 'Redis takes the script') or BAIL_OUT($sha1);

subtest 'requests' => sub {
    for my $name (qw(bucket sliding fixed)) {
        is_deeply([map { take([$name, $name, '', 2])->[0] } 1 .. 3], [1, 1, 0], "$name: two pass of three");
        is(take([$name, $name, '', 1])->[0], 1, "$name: one has room still");
        my $told = take([$name, $name, '', 1]);
        is_deeply([@$told[0, 2, 3]], [0, 0, 0], "$name: and no other");
        cmp_ok(abs($told->[1] - time * 1000), '<', PATIENCE * 1000, "$name: by Redis's clock");
    }
};

subtest 'the answer of the script' => sub {
    my $told = take(['bucket', 'told', '', 3], ['fixed', 'told_too', '', 2]);
    is_deeply($told, [1, $told->[1], 1, 0, 3, $told->[1], 0, HOUR, 1, 0, 2, $window, $window + 86_400],
        'every number is one');
    is_deeply([map { ref \$_ } @$told], [('SCALAR') x 13], 'none is nothing');
};

subtest 'all or none' => sub {
    is(take(['bucket', 'all_a', '', 5], ['sliding', 'all_b', '', 6])->[0], 0, 'one refuses');
    is(redis('EXISTS', 'all_a', 'all_b'), 0, 'and none is charged');
    is(take(['bucket', 'all_a', '', 5], ['sliding', 'all_b', '', 5], ['slots', 'all_c', 'x', 1])->[0], 1, 'all fit');
    is(redis('EXISTS', 'all_a', 'all_b', 'all_c:flights'), 3, 'and are charged');
};

subtest 'requests in flight' => sub {
    is_deeply([map { take(['slots', 'slots', $_, 1])->[0] } qw(a b c)], [1, 1, 0], 'two at once');
    settle(['slots', 'slots', 'a', 0, 0]) for 1 .. 2;
    is_deeply([map { take(['slots', 'slots', $_, 1])->[0] } qw(d e)], [1, 0], 'one has landed');
};

subtest 'tokens' => sub {
    is_deeply([@{take(['tokens', 'tokens', 'a:60', 60])}[0, 2, 3, 4]], [1, 1, 60, 0], 'reserved');
    is_deeply([@{take(['tokens', 'tokens', 'b:60', 60])}[0, 2, 3, 4]], [0, 0, 60, 0], 'no room beside it');
    settle(['tokens', 'tokens', 'a:60', 60, 25]) for 1 .. 2;
    is_deeply([@{take(['tokens', 'tokens', 'c:0', 0])}[0, 3, 4]], [1, 0, 25], 'settled once');
    take(['tokens', 'leases', 'd:20', 20]);
    settle(['tokens', 'leases', 'd:20', 20, 30]);
    take(['tokens', 'leases', 'e:20', 20], {lease => 1});
    sleep 0.01;
    is_deeply([@{take(['tokens', 'leases', 'f:60', 60])}[0, 3, 4]], [0, 0, 50], 'used when the lease is over');
    redis('DEL', 'tokens', 'tokens:flights');
    renew('tokens', 'tokens', $_) for qw(f:30 g:40);
    is_deeply([@{take(['tokens', 'tokens', 'h:0', 0])}[0, 3, 4]], [1, 70, 0], 'known again after a loss');
    settle(['bucket', 'bucket', '', 0, -2]);
    is(take(['bucket', 'bucket', '', 2])->[0], 1, 'given back');
};

subtest 'what is stored' => sub {
    my ($at) = @{take(['bucket', 'stored', '', 2])}[5];
    is_deeply(unpack_numbers(redis('GET', 'stored')), [1, 0, 2, $at, 0, HOUR], 'MessagePack of a bucket');
    my $counts = take(['sliding', 'stored_too', '', 2]);
    is_deeply(unpack_numbers(redis('GET', 'stored_too')), [4, 0, HOUR / 8, @$counts[4 .. 13]], 'of a sliding window');
    take(['fixed', 'stored_fixed', '', 2]);
    is_deeply(unpack_numbers(redis('GET', 'stored_fixed')), [3, 0, 2, $window, $window + 86_400], 'of a fixed one');
    redis('SET', $_, 'x') for qw(text text:flights);
    redis('RPUSH', $_, 'x') for qw(list list:flights);
    is_deeply([@{take(['tokens', $_, 'a:1', 1])}[0, 3, 4]], [1, 1, 0], "a $_ counts as nothing") for qw(text list);
    is(evaluate(['probe'], 'probe')->[0] > 0, 1, 'a probe is answered');
    cmp_ok(redis('PTTL', 'probe'), '<=', 1000, 'and goes soon');
};

subtest 'everything expires' => sub {
    my @keys = @{redis('KEYS', '*')};
    cmp_ok(scalar @keys, '>', 10, 'there are keys');
    is_deeply([grep { redis('PTTL', $_) == -1 } @keys], [], 'none stays for ever');
};

subtest 'memory' => sub {
    for my $name (qw(bucket sliding fixed slots tokens)) {
        my $key = 'policy:0123456789abcdef0123456789abcdef';    # 39 bytes
        redis('DEL', $key, "$key:flights");
        take([$name, $key, $name eq 'slots' ? 'f' x 16 : $name eq 'tokens' ? 'f' x 16 . ':60' : '', 1]);
        my @bytes = map { redis('MEMORY', 'USAGE', $_) // 0 } $key, "$key:flights";
        diag("$name: $bytes[0] bytes a key, $bytes[1] for one in flight");
        cmp_ok($bytes[0] + $bytes[1], '<', 400, $name);
    }
};

done_testing;

# --- calls of the script, as src/redis/script/script.h has them

# take([limit, key, member, cost], ..., {lease => ms})
sub take {
    my $options = ref $_[-1] eq 'HASH' ? pop : {};
    my (@keys, @arguments);
    for my $charge (@_) {
        my ($name, $key, $member, $cost) = @$charge;
        my $limit = $limits{$name};
        push @keys, $key, $member eq '' ? () : "$key:flights";
        push @arguments, policy($limit), text($member), $cost, \0;
    }
    return evaluate(\@keys, 'take', $options->{lease} // LEASE, scalar @_, @arguments);
}

# settle([limit, key, member, held, amount])
sub settle {
    my ($name, $key, $member, $held, $amount) = @{$_[0]};
    my $limit = $limits{$name};
    return evaluate([$key, $member eq '' ? () : "$key:flights"],
        'settle', 1, policy($limit), text($member), $held, $amount);
}

# The arguments about a policy that are the same in all calls; no seed.
sub policy {
    my ($limit) = @_;
    return (text($limit->{kind}), $limit->{capacity}, @{$limit->{parameters}}, text(''));
}

sub renew {
    my ($name, $key, @members) = @_;
    return evaluate([$key, "$key:flights"], 'renew', LEASE, 1, text($limits{$name}{kind}), scalar @members,
        map { text($_) } @members);
}

sub evaluate {
    my ($keys, $name, @arguments) = @_;
    my $reply = redis('EVALSHA', $sha1, scalar @$keys, @$keys, $name, join '', map { packed($_) } @arguments);
    my $numbers = unpack_numbers($reply);
    ref $numbers or die "the script fails: $reply\n";
    return $numbers;
}

# MessagePack of a number, of a text as text() marks it, of undef, of \0 for false.
sub packed {
    my ($value) = @_;
    return !defined $value ? "\xc0"
        : ref $value eq 'SCALAR' ? "\xc2"
        : ref $value ? pack('CC/a', 0xd9, $$value[0])
        : $value < 0 || $value > 0xffffffff ? pack('Cq>', 0xd3, $value)
        : pack('CN', 0xce, $value);
}

sub text { return [$_[0]] }

sub script {
    my $text = qx($FindBin::Bin/../../src/redis/script/join.sh);
    die "there is no script\n" if $? || $text eq '';
    return $text;
}

# Unpacks an array of integers, none of them negative.
sub unpack_numbers {
    my ($bytes) = @_;
    my $first = ord $bytes;
    ($first & 0xf0) == 0x90 || $first == 0xdc or return "no array: $first";
    my @numbers;
    my ($count, $at) = $first == 0xdc ? (unpack('xn', $bytes), 3) : ($first & 15, 1);
    for (1 .. $count) {
        my $byte = ord substr $bytes, $at++;
        my $size = $byte < 0x80 ? 0 : {0xcc => 1, 0xcd => 2, 0xce => 4, 0xcf => 8}->{$byte} // return "what is $byte?";
        push @numbers, $size ? unpack('Q>', "\0" x (8 - $size) . substr $bytes, $at, $size) : $byte;
        $at += $size;
    }
    return $at == length $bytes ? \@numbers : 'more behind it';
}

# --- Redis

sub redis_time {
    my ($seconds, $micros) = @{redis('TIME')};
    return $seconds * 1000 + int($micros / 1000);
}

sub start_redis {
    for (1 .. 10) {
        my $free = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no port: $!\n";
        my $port = $free->sockport;
        close $free;
        my $child = fork // die "fork: $!\n";
        if ($child == 0) {
            open STDOUT, '>', "$dir/log";
            open STDERR, '>&', \*STDOUT;
            my $binary = $ENV{REDIS_BIN} // 'redis-server';
            exec {$binary} $binary, '--bind', '127.0.0.1', '--port', $port, '--save', '', '--dir', $dir or POSIX::_exit(1);
        }
        my $deadline = time + PATIENCE;
        while (time < $deadline && waitpid($child, WNOHANG) == 0) {
            my $connection = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => PATIENCE);
            return ($child, $connection) if $connection;
            sleep 0.05;
        }
        kill 'KILL', $child;
    }
    die "Redis does not start\n";
}

# One command and its reply: a text, a number, [replies], undef; of an error its text.
sub redis {
    my (@command) = @_;
    print {$socket} '*' . @command . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @command;
    $socket->flush;
    return reply();
}

sub reply {
    local $/ = "\r\n";
    my $line = <$socket> // die "Redis has gone\n";
    chomp $line;
    my ($type, $rest) = $line =~ /^(.)(.*)/s;
    return [map { reply() } 1 .. $rest] if $type eq '*';
    return $rest if $type ne '$';
    return undef if $rest < 0;
    read $socket, my $text, $rest + 2;
    return substr $text, 0, $rest;
}

END {
    if ($pid && $$ == $owner) {
        local $?;
        kill 'TERM', $pid;
        waitpid $pid, 0;
        remove_tree($dir);
    }
}
