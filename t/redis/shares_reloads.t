# Tests nodes that count by themselves: a reload forgets and fails nothing, a worker that ends first reports what it has
# not yet reported, and one that is killed takes no more with it than that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Load;
use AiLimit::Nginx;
use AiLimit::Redis;
use AiLimit::Shares;

use constant {LIMIT => 400, MANY => 1_000_000};

my $rounds = $ENV{RELOAD_ROUNDS} // 8;
my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
my @nodes = map { start_node($redis->url, 'ai_limit') } 1, 2;
my $late = start_node($proxy->url, 'late');
wait_for_shares($redis, 'ai_limit', '/load?k=first', map { $_->port } @nodes);
wait_for_shares($redis, 'late', '/load?k=first', $late->port);

subtest 'reloads under load' => \&test_reloads;
subtest 'a graceful end' => \&test_graceful_end;
subtest 'a graceful end while Redis answers late' => \&test_late_answers;
subtest 'a graceful end without Redis' => \&test_end_without_redis;
subtest 'workers that are killed under load' => \&test_killed_workers;
$_->stop(graceful => 1) for grep { $_->master_pid } @nodes, $late;
unlike $_->error_log, qr/open socket/, 'no socket is left open' for @nodes, $late;
done_testing;

sub start_node {
    my ($url, $prefix) = @_;
    # No answer of Redis is late, however busy this machine is.
    return AiLimit::Nginx->start(workers => 2, log_level => 'info', http => <<"CONF");
    ai_limit_redis $url prefix=$prefix sync=100ms timeout=60s connect_timeout=60s;
    ai_limit_policy few  key=\$arg_k rate=1r/month burst=@{[LIMIT]};
    ai_limit_policy many key=\$arg_k rate=1r/month burst=@{[MANY]} sync=10s;
    ai_limit_policy windows key=\$arg_k rate=@{[MANY]}r/month algorithm=sliding_window sync=10s;
    map \$arg_cost \$cost { default \$arg_cost; "" 1; }
    ai_limit_policy load key=\$arg_k rate=1r/month burst=@{[MANY]} cost=\$cost;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /few  { ai_limit few; empty_gif; }
        location /many { ai_limit many windows; empty_gif; }
        location /load { ai_limit load; empty_gif; }
    }
CONF
}

sub passes {
    my ($node, $path, $count) = @_;
    my $all = many($node->port, requests => $count, connections => 4, path => $path);
    is_deeply $all->{status}, {200 => $count}, 'requests pass';
    return;
}

sub exhausts {
    my ($node, $path) = @_;
    my $passed = 0;
    $passed++ while get($node->port, $path)->{status} == 200;
    return $passed;
}

sub test_reloads {
    my @loads = map { AiLimit::Load->start($_->port, path => '/few?k=reloads') } @nodes;
    my @others = map { AiLimit::Load->start($_->port, path => '/load?k=reloads') } @nodes;
    for (1 .. $rounds) {
        $nodes[$_ % 2]->reload;
        sleep 0.02;
    }
    my ($passed, $others) = (0, 0);
    for (@loads) {
        my $sent = $_->end;
        $passed += $sent->{passed};
        is $sent->{failed}, 0, 'no request fails';
    }
    for (@others) {
        my $sent = $_->end;
        $others += $sent->{passed};
        is $sent->{passed}, $sent->{sent}, 'of the others, all pass';
    }
    $passed += exhausts($_, '/few?k=reloads') for @nodes;
    note $passed - LIMIT, ' beyond the limit, of ', bound(LIMIT, 2), "; $others of the others";
    cmp_ok $passed, '>=', LIMIT, 'all that is allowed passes';
    cmp_ok $passed, '<=', LIMIT + bound(LIMIT, 2), 'and no more than that and the bound';
    is wait_for_used($redis, 'few', 'reloads', $passed), $passed, 'each has been reported to Redis';
    is wait_for_used($redis, 'load', 'reloads', $others), $others, 'as of the others';
    is_deeply [map { $_->error_log =~ /Redis \S+ is (?:lost|back)/g } @nodes], [], 'Redis is never lost';
    return;
}

# A worker that ends reports at once what it would otherwise report after ten seconds.
sub test_graceful_end {
    for my $how (qw(reload quit)) {
        my $key = "end-$how";
        my $node = $nodes[1];
        passes($node, "/many?k=$key", 1);
        is wait_for_used($redis, 'many', $key, 1), 1, 'the first one is reported soon';
        passes($node, "/many?k=$key", 60);
        is used($redis, $_, $key), 1, "$_: others later" for qw(many windows);
        if ($how eq 'reload') {
            my %old = map { $_ => 1 } $node->workers;
            $node->reload;
            $redis->wait_for(sub { !grep { $old{$_} } $node->workers }, 'the old workers to end');
        } else {
            ok $node->stop(graceful => 1), 'nginx ends';
        }
        is used($redis, $_, $key), 61, "$how: $_: when the worker has gone, Redis knows of each" for qw(many windows);
    }
    $nodes[1] = start_node($redis->url, 'ai_limit');
    return;
}

# The worker waits for what Redis has to say of it.
sub test_late_answers {
    passes($late, '/many?k=late', 1);
    is wait_for_used($redis, 'many', 'late', 1, 'late'), 1, 'the first one is reported soon';
    passes($late, '/many?k=late', 30);
    $proxy->when('EVALSHA', word => 'sync', delay => 300);
    ok $late->stop(graceful => 1), 'nginx ends';
    $proxy->clear;
    is used($redis, 'many', 'late', 'late'), 31, 'Redis knows of each';
    $late->launch;
    return;
}

sub test_end_without_redis {
    passes($late, '/many?k=without', 1);
    $proxy->refuse;
    $proxy->close_all;
    $late->wait_for_log(qr/is lost/);
    passes($late, '/many?k=without', 30);
    ok $late->stop(graceful => 1), 'nginx ends, and does not wait for what is not there';
    $proxy->welcome;
    return;
}

sub test_killed_workers {
    my @loads = map { AiLimit::Load->start($_->port, path => '/few?k=killed') } @nodes;
    my @others = map { AiLimit::Load->start($_->port, path => '/load?k=killed') } @nodes;
    for (1 .. 6) {
        my $node = $nodes[$_ % 2];
        my @workers = $node->serving_workers;
        $node->kill_worker($workers[rand @workers]);
        is get($node->port, '/load?k=other', Connection => 'close')->{status}, 200, 'others are served';
    }
    my ($passed, $failed, $most) = (0, 0, 0);
    for (@loads) {
        my $sent = $_->end;
        ($passed, $failed) = ($passed + $sent->{passed}, $failed + $sent->{failed});
        cmp_ok $sent->{longest}, '<', AiLimit::Nginx::PATIENCE, 'no client waits in vain';
    }
    $passed += exhausts($_, '/few?k=killed') for @nodes;
    note $passed - LIMIT, ' beyond the limit, of ', bound(LIMIT, 2), "; $failed failed";
    cmp_ok $passed, '>=', LIMIT - $failed, 'all that is allowed passes, but what was counted for those that failed';
    cmp_ok $passed, '<=', LIMIT + bound(LIMIT, 2), 'and no more than that and the bound';

    my ($others, $others_failed) = (0, 0);
    for (@others) {
        my $sent = $_->end;
        is $sent->{refused}, 0, 'nobody else is refused';
        ($others, $others_failed) = ($others + $sent->{passed}, $others_failed + $sent->{failed});
    }
    # The next report of each zone includes what the killed workers had still to report, as the zone has counted it.
    my $used = used($redis, 'load', 'killed');
    cmp_ok $used, '<=', $others + $others_failed, 'Redis has heard of no more than passed';
    note "$others passed, $others_failed failed, Redis knew of $used";
    my $sent = 0;
    $redis->wait_for(sub {
        $sent += get($_->port, '/load?k=killed')->{status} == 200 for @nodes;
        for (1 .. 50) {
            $used = used($redis, 'load', 'killed');
            return 1 if $used >= $others + $sent;
            sleep 0.01;
        }
        return 0;
    }, 'everything to be reported');
    cmp_ok $used, '<=', $others + $others_failed + $sent, 'and of all of them in the end, nothing twice';
    return;
}
