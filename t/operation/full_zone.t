# Tests a zone that is full: random keys push out neither a client that is refused nor each other's turn, and take no
# memory beyond the zone's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(http => <<'CONF', log_level => 'warn');
    ai_limit_zone zone=evict:64k;
    ai_limit_zone zone=allow:64k on_full=allow;
    ai_limit_zone zone=reject:64k on_full=reject;
    # Nothing comes back while this runs.
    ai_limit_policy evict key=$arg_k rate=1r/month burst=2 zone=evict;
    ai_limit_policy allow key=$arg_k rate=1r/month burst=2 zone=allow;
    ai_limit_policy reject key=$arg_k rate=1r/month burst=2 zone=reject;
    ai_limit_policy allow_one key=$arg_k rate=1r/month burst=1 zone=allow;
    ai_limit_policy reject_one key=$arg_k rate=1r/month burst=1 zone=reject;
    ai_limit_log_level info;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location = /evict { ai_limit evict; empty_gif; }
        location = /allow { ai_limit allow; empty_gif; }
        location = /reject { ai_limit reject; empty_gif; }
        location = /allow_one { ai_limit allow_one; empty_gif; }
        location = /reject_one { ai_limit reject_one; empty_gif; }
    }
CONF

# A zone of 64 KB holds 2,560 keys.
use constant MANY_TIMES_FULL => 25_000;

for my $zone (qw(evict allow reject)) {
    subtest "on_full=$zone" => sub {
        is_deeply [map { status($zone, 'early') } 1 .. 3], [200, 200, 429], 'a client has used up what it had';
        is_deeply new_keys($zone, MANY_TIMES_FULL), {200 => MANY_TIMES_FULL}, 'new clients are served';
        is status($zone, 'early'), 429, 'and the first is still refused';
        is_deeply [map { status($zone, 'late') } 1 .. 3], [200, 200, 429], 'a late one is limited';
    };
}

subtest 'a zone full of refused clients' => sub {
    is_deeply [map { status('allow_one', 'early') } 1 .. 2], [200, 429], 'allow: a client has used up what it had';
    fill_with_refused($_) for qw(allow_one reject_one);
    my $allowed = new_keys('allow_one', 1000, 2);
    is $allowed->{200}, 2000, 'allow: new ones are not limited';
    is status('allow_one', 'early'), 429, 'but the old one is';
    my $rejected = new_keys('reject_one', 1000);
    is $rejected->{429}, 1000, 'reject: new ones are refused';
    my $response = get($nginx->port, '/reject_one?k=new');
    is $response->{headers}{'retry-after'}, 1, 'reject: and may come again in a second';
};

subtest 'memory' => sub {
    my ($worker) = $nginx->workers;
    new_keys('evict', 20_000);
    my $before = resident($worker);
    new_keys('evict', 200_000);
    my $after = resident($worker);
    is_deeply [$nginx->workers], [$worker], 'the worker lives';
    cmp_ok $after - $before, '<', 2048, '200,000 more keys take no memory (KB)';
    note "$before KB before, $after KB after";
};

$nginx->stop;
done_testing;

sub status { return get($nginx->port, "/$_[0]?k=$_[1]")->{status} }

# Requests with as many keys that never were before, `times` each: {status => count}.
sub new_keys {
    my ($location, $count, $times) = @_;
    $times //= 1;
    our $key;
    my $first = $key //= 0;
    $key += $count;
    my $all = many($nginx->port, requests => $count * $times, connections => 4, pipeline => 8, deadline => 120,
        path => sub { "/$location?k=" . ($first + int $_[0] / $times) });
    diag "$all->{failed} requests failed" if $all->{failed};
    return $all->{status};
}

# Fills the zone until all entries refuse: new keys then find no room.
sub fill_with_refused {
    my ($location) = @_;
    new_keys($location, 2560 * 8, 2);
    return;
}

sub resident {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/status" or die "/proc/$pid/status: $!";
    my ($size) = join('', <$file>) =~ /^VmRSS:\s*(\d+) kB/m;
    return $size;
}
