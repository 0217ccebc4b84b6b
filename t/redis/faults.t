# Tests errors, and answers that no Redis gives, in place of a decision or of the answer to a report. nginx goes on
# without Redis, says so once, and is back when Redis is. Requests come all the while, and none fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Redis;
use AiLimit::RedisFaults;
use AiLimit::Shares;

use constant LIMIT => 400;

my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
# Every fault here is an answer, so no node has to wait. The long timeout shows if one waits nevertheless.
my %common = (redis => $redis, proxy => $proxy, timeout => '30s', http => <<'CONF', locations => <<'CONF');
    ai_limit_policy few  key=$arg_k rate=1r/month burst=3;
    ai_limit_policy lost key=$arg_k rate=1r/month burst=400;
CONF
    location /few  { ai_limit few;  empty_gif; }
    location /lost { ai_limit lost; empty_gif; }
CONF
# A user of Redis has the rights that docs/redis-server.md says are needed.
my $allowed = '-@all +evalsha +eval +time +get +set +del +hget +hset +pexpire +zadd +zcard +zremrangebyscore';
$redis->command(qw(ACL SETUSER limiter on >secret ~ai_limit:*), split ' ', $allowed);

for my $sync (qw(strict 100ms)) {
    my $t = AiLimit::RedisFaults->start(%common, sync => $sync);
    test_lost_script($t);
    test_errors($t);
    test_nonsense($t);
    test_answers_too_many($t);
    test_lost_data($t);
    $t->stop;
    test_user($sync);
    test_on_failure($sync, $_) for qw(allow reject);
}
done_testing;

sub answer {
    my (@how) = @_;
    $proxy->when($_, @how) for qw(EVALSHA EVAL);
    return;
}

sub command {
    my (@words) = @_;
    return sub { $redis->command(@words) };
}

sub config { return command(qw(CONFIG SET), @_) }

sub test_lost_script {
    my ($t) = @_;
    $t->ignores('the script is lost in mid-load', sub { lose_script($t) });
    subtest $t->title('the script is lost') => sub {
        $t->ask(4);
        $proxy->forget;
        $redis->command('SCRIPT', 'FLUSH');
        $t->ask(200);
        $t->decides_in_redis;
        my @sent = grep { $_->[0] eq 'EVAL' && "@$_" !~ /:units:/ } $proxy->commands;
        cmp_ok scalar(@sent), '<=', $t->nodes * AiLimit::RedisFaults::WORKERS, 'each worker sends it once';
    };
    return;
}

sub lose_script {
    my ($t) = @_;
    for (1 .. 6) {
        $redis->command('SCRIPT', 'FLUSH');
        $t->wait_for_calls(2);
    }
    return;
}

sub test_errors {
    my ($t) = @_;
    for my $error (qw(LOADING MASTERDOWN BUSY CLUSTERDOWN CROSSSLOT WRONGPASS MISCONF)) {
        $t->survives($error, sub { answer(error => $error) }, sub { $proxy->clear }, lost => qr/lost: $error/);
    }
    for my $error (qw(MOVED ASK)) {
        $t->survives($error, sub { answer(error => "$error 1 127.0.0.1:7000") }, sub { $proxy->clear });
    }
    # Redis itself gives these errors.
    $t->survives('OOM', config(maxmemory => 1), config(maxmemory => 0), lost => qr/lost: OOM/);
    $t->survives('NOPERM', command(qw(ACL SETUSER default -evalsha)), command(qw(ACL SETUSER default +@all)), lost => qr/lost: NOPERM/);
    $t->survives('NOAUTH', sub {
        $redis->command(qw(CONFIG SET requirepass secret));
        $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));
        # Redis refuses a new nginx at once.
        my $other = AiLimit::RedisFaults->start(%common, sync => $t->{sync}, lost => 1);
        is_deeply $other->ask(4)->{status}, {200 => 4}, 'a node without the password lets requests pass without Redis';
        like join("\n", @$_), qr/lost: NOAUTH/, 'and logs why' for $other->lines;
        $other->stop;
    }, sub { $redis->command('CONFIG', 'SET', 'requirepass', '') });
    return;
}

sub test_nonsense {
    my ($t) = @_;
    # huge_text is left out: the rest of a text of any size could still come.
    for my $bad (grep { $_ ne 'huge_text' } sort keys %AiLimit::FakeRedis::BAD) {
        $t->survives("an answer that is $bad", sub { answer(bad => $bad) }, sub { $proxy->clear }, lost => qr/makes no sense/);
    }
    subtest $t->title('an answer of another kind to the only request that asks') => sub {
        my $seen = $t->seen;
        answer(reply => "+OK\r\n");
        # A node that decides by its share reports that soon.
        is get($t->port, "/limited?k=alone-$t->{sync}")->{status}, 200, 'a request passes';
        $t->nginx->wait_for_log(qr/\[error\].* is lost: its answer makes no sense/, $seen->[0]);
        $proxy->clear;
        $t->wait_until_back($seen);
    };
    $t->survives('an answer of another kind', sub { answer(reply => "+OK\r\n") }, sub { $proxy->clear });
    $t->survives('a decision on something else', sub { answer(reply => "\$4\r\n\x93\x01\x02\x03\r\n") }, sub { $proxy->clear },
        tried => 1);
    $t->survives('half an answer', sub { answer(cut => 3, close => 1) }, sub { $proxy->clear }, lost => qr/closed the connection/);
    $t->ignores('an answer byte by byte', sub {
        my $times = $t->by_share ? 2 : 20;
        $proxy->when('EVALSHA', bytewise => 1, times => $times);
        $proxy->wait_for_commands('EVALSHA', $proxy->count('EVALSHA') + $times + 1);
        $proxy->clear;
    });
    return;
}

sub test_answers_too_many {
    my ($t) = @_;
    subtest $t->title('answers too many') => sub {
        my @keys = map { "spent-$t->{sync}-$_" } 1 .. 3;
        many($t->port, requests => 12, path => sub { '/few?k=' . $keys[$_[0] % 3] });
        my $seen = $t->seen;
        $proxy->when('EVALSHA', extra => "+OK\r\n", nth => $_) for map { ($t->by_share ? 4 : 20) * $_ } 1 .. 5;
        my $result = many($t->port, requests => 1200, connections => 16, keep => 1, path => sub {
            return $_[0] % 2 ? '/few?k=' . $keys[$_[0] % 3] : "/limited?k=many-$_[0]";
        });
        $proxy->clear;
        my @of = ([], []);
        push @{$of[$_ % 2]}, $result->{responses}[$_]{status} for 0 .. 1199;
        is_deeply [grep { $_ != 200 } @{$of[0]}], [], 'a client with quota left passes';
        is_deeply [grep { $_ != 429 } @{$of[1]}], [], 'and one without is refused';
        $t->wait_until_back($seen);
        $t->decides_in_redis;
    };
    return;
}

# Redis loses its data twice while a limit is being used up.
sub test_lost_data {
    my ($t) = @_;
    subtest $t->title('FLUSHALL in mid-load') => sub {
        my @workers = $t->workers;
        my $seen = $t->seen;
        my $load = $t->start_load;
        my $key = "flushed-$t->{sync}";
        my $path = sub {
            my ($i) = @_;
            $redis->command('FLUSHALL') if $i == 150 || $i == 300;
            return "/lost?k=$key";
        };
        my $all = many([$t->ports], requests => 3 * LIMIT, connections => 8, path => $path);
        is $all->{failed}, 0, 'none fails';
        my $passed = $all->{status}{200};
        for my $port (($t->ports) x 2) {
            $passed++ while get($port, "/lost?k=$key")->{status} == 200;
        }
        $t->end_load($load);
        # Redis may lose counts that no node has heard of: one for each request in flight, or as much as a share is.
        my $nodes = () = $t->nodes;
        my $unheard = $t->by_share ? bound(LIMIT, $nodes) : 8;
        note $passed - LIMIT, ' beyond the limit';
        cmp_ok $passed, '>=', LIMIT, 'all that is allowed passes';
        cmp_ok $passed, '<=', LIMIT + bound(LIMIT, $nodes) + 2 * $unheard, 'and little more';
        $redis->command('FLUSHALL');
        $t->decides_in_redis;
        is sum0(map { get($_, "/lost?k=$key")->{status} == 429 } $t->ports), $nodes, 'then each refuses, whatever Redis forgets';
        is_deeply [map { @$_ } $t->lines($seen)], [], 'nothing is logged';
        is_deeply [$t->workers], \@workers, 'no worker has ended';
    };
    return;
}

sub test_user {
    my ($sync) = @_;
    my $t = AiLimit::RedisFaults->start(%common, sync => $sync, parameters => 'user=limiter password=secret');
    subtest $t->title('a user that may not load scripts') => sub {
        $t->ignores('sends it where it is missing', sub { lose_script($t) });
        $redis->command(qw(ACL SETUSER limiter >other <secret));
        $t->survives('and whose password is not right any more', sub { $redis->command(qw(CLIENT KILL USER limiter)) },
            sub { $redis->command(qw(ACL SETUSER limiter >secret)) });
    };
    $t->stop;
    return;
}

# Checks that on_failure=reject answers with a refusal like any other, except that nobody knows what remains.
sub is_refusal {
    my ($port, $path) = @_;
    my $answer = get($port, $path);
    is_deeply [@{$answer->{headers}}{qw(content-type retry-after retry-after-ms cache-control)}],
        ['application/json', 1, 1000, 'no-store'], 'with the headers of a refusal';
    like $answer->{body}, qr/^\{"error":"service_unavailable","message":"The limits cannot be checked.*"retry_after":1,/, 'and the body';
    is_deeply [grep { /ratelimit/ } keys %{$answer->{headers}}], [], 'but without what remains, which nobody knows';
    return;
}

sub test_on_failure {
    my ($sync, $on_failure) = @_;
    my $t = AiLimit::RedisFaults->start(%common, sync => $sync, on_failure => $on_failure);
    my $status = $on_failure eq 'allow' ? 200 : 503;
    subtest $t->title("on_failure=$on_failure") => sub {
        $t->survives('LOADING', sub { answer(error => 'LOADING') }, sub { $proxy->clear });
        $t->survives('a connection reset', sub { $proxy->refuse; $proxy->close_all('reset') }, sub { $proxy->welcome });
        my $seen = $t->seen;
        answer(error => 'OOM');
        # Nodes that decide by their share let the first requests pass before any of them has noticed the error.
        $t->wait_until_lost($seen) if $t->by_share;
        is_deeply [map { get($_, "/few?k=$on_failure-$sync")->{status} } map { ($_) x 6 } $t->ports],
            [map { ($status) x 6 } $t->ports], "without Redis, each request is answered by $status";
        is_refusal(($t->ports)[0], "/few?k=$on_failure-$sync") if $status == 503;
        $proxy->clear;
    };
    $t->stop;
    return;
}
