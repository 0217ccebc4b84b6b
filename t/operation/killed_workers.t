# Kills workers under load: nobody waits for them, nothing that was counted is forgotten, and what they had in flight is
# given back. KILL_ROUNDS=n kills n workers in place of 200.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max sum);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Load;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Slots;

use constant BURST => 100_000_000;

my $rounds = $ENV{KILL_ROUNDS} // 200;
my $patience = AiLimit::Nginx::PATIENCE;
my $model = AiLimit::ModelServer->start;
my $http = sprintf <<'CONF', $model->port;
    # One comes back in a month: in this test, none.
    ai_limit_policy few key=$arg_k rate=1r/month burst=3;
    ai_limit_policy one key=$arg_k rate=1r/month burst=100000000;
    ai_limit_policy two key=$arg_k rate=1r/month burst=100000000;
    ai_limit_policy window key=$arg_k rate=100000000r/month algorithm=sliding_window;
    ai_limit_policy slots key=$arg_k concurrency=2;
    ai_limit_log_level info;

    add_header X-Worker $pid always;
    add_header X-Left "$ai_limit_remaining_one $ai_limit_remaining_two $ai_limit_remaining_window";

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        location /few { ai_limit few; empty_gif; }
        location /layers { ai_limit one two window; empty_gif; }
        location /v1/ {
            ai_limit slots;
            proxy_pass http://127.0.0.1:%d;
            proxy_http_version 1.1;
            proxy_buffering off;
        }
    }
CONF
my $nginx = AiLimit::Nginx->start(http => $http, workers => 3, log_level => 'warn');
my $slots = AiLimit::Slots->new($nginx);
# The master's words on each of them.
$nginx->{killed} = 1;

subtest 'workers are killed under load' => sub {
    is_deeply few(4), [200, 200, 200, 429], 'a client has used up what it had';
    my %load = (path => '/layers?k=load', requests => 200, connections => 8, pipeline => 2);
    my @loads = map { AiLimit::Load->start($nginx->port, %load) } 1 .. 2;
    my ($refused, $even, $grows, $used) = (0, 1, 1, 0);
    for my $round (1 .. $rounds) {
        my @workers = $nginx->serving_workers;
        # Now and then all of them at once.
        my @killed = $round % 20 ? $workers[rand @workers] : @workers;
        kill 'KILL', @killed;
        wait_for_workers(@killed);
        $refused++ if few(1)->[0] == 429;
        my @left = left();
        $even = 0 if grep { $_ != $left[0] } @left;
        $grows = 0 if BURST - $left[0] <= $used;
        $used = BURST - $left[0];
        sleep rand 0.03;
    }
    is $refused, $rounds, 'it stays refused, whichever worker is killed';
    ok $even, 'policies that are charged together have always the same left';
    ok $grows, 'and what is used only grows';
    my @sums = map { $_->end } @loads;
    my ($passed, $sent) = map { my $what = $_; sum map { $_->{$what} } @sums } qw(passed sent);
    cmp_ok max(map { $_->{longest} } @sums), '<', $patience, 'no client waits in vain';
    my @left = left();
    $used = BURST - $left[0];
    cmp_ok $used, '>=', $passed + $rounds + 1, 'every request that passed is counted';
    cmp_ok $used, '<=', $sent + $rounds + 1, 'and none twice';
    note "$passed of $sent requests passed, $used are counted";
};

subtest 'a killed worker gives its slots back' => sub {
    for my $round (1 .. 5) {
        my $stream = $slots->take('a');
        my $worker = $stream->headers->{'x-worker'};
        my $kept = start_other_stream('a', $worker);
        is $slots->try('a'), 429, 'all slots are taken';
        $nginx->kill_worker($worker);
        my $begin = time;
        is $slots->wait_for('a'), 200, 'a slot is back when its worker was killed';
        note sprintf 'after %.2f s', time - $begin;
        my $second = $slots->take('a');
        is $second->head, 200, 'it is one slot';
        is $slots->try('a'), 429, 'and not both';
        $_->abort for $kept, $second;
        is $slots->wait_for('a'), 200, 'a client that goes away gives its own back';
    }
};

subtest 'a killed worker of an old generation gives its slots back' => sub {
    for my $round (1 .. 3) {
        my @streams = map { $slots->take('b') } 1 .. 2;
        my @workers = map { $_->headers->{'x-worker'} } @streams;
        $nginx->reload;
        is $slots->try('b'), 429, 'all slots are taken after a reload';
        kill 'KILL', @workers;
        my $begin = time;
        is $slots->wait_for('b'), 200, 'they are back when their workers were killed';
        note sprintf 'after %.2f s', time - $begin;
        my @again = map { $slots->take('b') } 1 .. 2;
        is_deeply [map { $_->head } @again], [200, 200], 'both of them';
        is $slots->try('b'), 429, 'and no more';
        $_->abort for @again;
        $slots->wait_for('b');
    }
};

is_deeply few(1), [429], 'the client of the beginning is still refused';
$nginx->stop;
done_testing;

sub few {
    my ($n) = @_;
    return [map { get($nginx->port, '/few?k=few')->{status} } 1 .. $n];
}

# Returns what is left for the load's key of the three policies that are charged together.
sub left {
    my $response = get($nginx->port, '/layers?k=load');
    return split / /, $response->{headers}{'x-left'} // '-1 -2 -3';
}

# One more, in another worker, which the kernel chooses.
sub start_other_stream {
    my ($key, $worker) = @_;
    my $deadline = time + $patience;
    while (time < $deadline) {
        my $stream = $slots->start($key);
        return $stream if $stream->head == 200 && $stream->headers->{'x-worker'} != $worker;
        $stream->abort;
        sleep 0.02;
    }
    die 'only one worker answers';
}

sub wait_for_workers {
    my (@killed) = @_;
    my %killed = map { $_ => 1 } @killed;
    my $deadline = time + $patience;
    while (time < $deadline) {
        my @now = $nginx->serving_workers;
        return if @now == 3 && !grep { $killed{$_} } @now;
        sleep 0.002;
    }
    die 'killed workers are not replaced';
}
