# What Redis may answer in place of a decision, errors and what no Redis says: nginx goes on without it, says so
# once, and is back when Redis is. Requests come all the while, and none fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Redis;
use AiLimit::RedisFaults;

my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
# What is answered is not waited for: whoever waits here, waits in vain for long.
my %common = (proxy => $proxy, timeout => '30s', http => 'ai_limit_policy few key=$arg_k rate=1r/month burst=3;',
    locations => 'location /few { ai_limit few; empty_gif; }');
my $t = AiLimit::RedisFaults->start(%common);

subtest 'the script is lost' => sub {
    $t->ignores('in mid-load', sub {
        for (1 .. 10) {
            $redis->command('SCRIPT', 'FLUSH');
            $proxy->wait_for_commands('EVALSHA', $proxy->count('EVALSHA') + 30);
        }
    });
    $proxy->forget;
    $redis->command('SCRIPT', 'FLUSH');
    $t->ask(200);
    cmp_ok scalar(grep { $_->[0] eq 'EVAL' } $proxy->commands), '<=', 2, 'each worker sends it once';
};

for my $error (qw(LOADING MASTERDOWN BUSY CLUSTERDOWN CROSSSLOT WRONGPASS MISCONF)) {
    $t->survives($error, sub { answer(error => $error) }, sub { $proxy->clear }, lost => qr/lost: $error/);
}
$t->survives('MOVED', sub { answer(error => 'MOVED 1 127.0.0.1:7000') }, sub { $proxy->clear });

# By Redis itself.
$t->survives('OOM', config(maxmemory => 1), config(maxmemory => 0), lost => qr/lost: OOM/);
$t->survives('NOPERM', command(qw(ACL SETUSER default -evalsha)), command(qw(ACL SETUSER default +@all)), lost => qr/lost: NOPERM/);
$t->survives('NOAUTH', sub {
    $redis->command(qw(CONFIG SET requirepass secret));
    $redis->command(qw(CLIENT KILL TYPE normal SKIPME yes));
    # A new one is told so at once.
    my $other = AiLimit::RedisFaults->start(%common);
    is_deeply $other->ask(4)->{status}, {200 => 4}, 'who has no password passes without Redis';
    like join("\n", $other->lines(0)), qr/lost: NOAUTH/, 'and is told why';
    $other->stop;
}, sub { $redis->command('CONFIG', 'SET', 'requirepass', '') });

# Of a text of any size, the rest could still come.
for my $bad (grep { $_ ne 'huge_text' } sort keys %AiLimit::FakeRedis::BAD) {
    $t->survives("an answer that is $bad", sub { answer(bad => $bad) }, sub { $proxy->clear }, lost => qr/makes no sense/);
}
$t->survives('an answer of another kind', sub { answer(reply => "+OK\r\n") }, sub { $proxy->clear });
$t->survives('a decision on something else', sub { answer(reply => "*3\r\n:1\r\n:2\r\n:3\r\n") }, sub { $proxy->clear },
    tried => 1);
$t->survives('half an answer', sub { answer(cut => 3, close => 1) }, sub { $proxy->clear }, lost => qr/closed the connection/);
subtest 'answers too many' => sub {
    my @keys = map { "spent-$_" } 1 .. 3;
    many($t->port, requests => 12, path => sub { '/few?k=' . $keys[$_[0] % 3] });
    my $seen = length $t->nginx->error_log;
    $proxy->when('EVALSHA', extra => "+OK\r\n", nth => $_) for map { 20 * $_ } 1 .. 5;
    my $result = many($t->port, requests => 1200, connections => 16, keep => 1, path => sub {
        return $_[0] % 2 ? '/few?k=' . $keys[$_[0] % 3] : "/limited?k=many-$_[0]";
    });
    $proxy->clear;
    my @of = ([], []);
    push @{$of[$_ % 2]}, $result->{responses}[$_]{status} for 0 .. 1199;
    is_deeply [grep { $_ != 200 } @{$of[0]}], [], 'who has something left passes';
    is_deeply [grep { $_ != 429 } @{$of[1]}], [], 'and who has not is refused';
    $t->wait_until_back($seen);
    $t->decides_in_redis;
};

$t->ignores('an answer byte by byte', sub {
    $proxy->when('EVALSHA', bytewise => 1, times => 50);
    $proxy->wait_for_commands('EVALSHA', $proxy->count('EVALSHA') + 60);
    $proxy->clear;
});

$t->stop;

subtest 'a user who may not load scripts' => sub {
    $redis->command(qw(ACL SETUSER limiter on >secret ~ai_limit:* -@all +evalsha +eval +time +get +set +del +hget +hset +pexpire));
    my $limiter = AiLimit::RedisFaults->start(%common, parameters => 'user=limiter password=secret');
    $proxy->forget;
    $redis->command('SCRIPT', 'FLUSH');
    $limiter->ignores('sends it where it is missing', sub {
        for (1 .. 10) {
            $redis->command('SCRIPT', 'FLUSH');
            $proxy->wait_for_commands('EVALSHA', $proxy->count('EVALSHA') + 30);
        }
    });
    $redis->command(qw(ACL SETUSER limiter >other <secret));
    $limiter->survives('and whose password is not right any more', sub { $redis->command(qw(CLIENT KILL USER limiter)) },
        sub { $redis->command(qw(ACL SETUSER limiter >secret)) });
    $limiter->stop;
};

for my $case ([allow => 200], [reject => 503]) {
    my ($on_failure, $status) = @$case;
    subtest "on_failure=$on_failure" => sub {
        my $other = AiLimit::RedisFaults->start(%common, on_failure => $on_failure);
        $other->survives('LOADING', sub { answer(error => 'LOADING') }, sub { $proxy->clear });
        $other->survives('a connection reset', sub { $proxy->refuse; $proxy->close_all('reset') }, sub { $proxy->welcome });
        answer(error => 'OOM');
        is_deeply [map { get($other->port, "/few?k=$on_failure")->{status} } 1 .. 6], [($status) x 6],
            "without Redis, each request is answered by $status";
        $proxy->clear;
        $other->stop;
    };
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
