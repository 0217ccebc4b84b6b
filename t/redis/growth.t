# Tests reservations that grow in Redis while their streams run: nodes know of each other's, nobody waits for Redis, and
# each is settled once whatever became of a question.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;
use AiLimit::Tokens;

use constant {LIMIT => 3000, STEP => 256, PIECES => 6, PIECE => 1000};

my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
my %algorithms = (
    bucket  => 'rate=1t/month burst=' . LIMIT,
    sliding => 'rate=' . LIMIT . 't/month algorithm=sliding_window',
    fixed   => 'rate=' . LIMIT . 't/12month algorithm=fixed_window',
);
my @names = sort keys %algorithms;

sub start_node {
    my ($url, %o) = @_;
    my $sync = $o{sync} // 'strict';
    return AiLimit::Tokens->start(
        workers => 1,
        left => [@names],
        policies => "ai_limit_redis $url sync=$sync timeout=@{[$o{timeout} // '30s']} connect_timeout=30s;"
            . join('', map { "ai_limit_policy $_ key=\$http_x_key $algorithms{$_} reserve=@{[$o{reserve} // 100]};\n" } @names),
        server => 'large_client_header_buffers 4 32k;',
        locations => "location / { ai_limit @names; proxy_pass http://model; }"
            . 'location /ai_limit/ { ai_limit_api; }',
    );
}

# What a node says of its client.
sub everywhere {
    my ($node, $what) = @_;
    my $api = AiLimit::Api->new($node->port);
    return [map { ($api->key(GET => "policy=$_&key=" . $node->key))[1]{$what} // 0 } @names];
}

# Waits for the same on each policy: a question may be on its way.
sub is_everywhere {
    my ($node, $what, $expected, $name) = @_;
    my $seen;
    wait_until(sub { $seen = everywhere($node, $what); return "@$seen" eq join ' ', ($expected) x @names });
    is_deeply $seen, [($expected) x @names], $name;
    return;
}

my $gates = 0;

sub start_stream {
    my ($node) = @_;
    my $gate = 'gate-' . ++$gates;
    my $stream = $node->begin("/v1/chat/completions?gate=$gate&chunks=" . PIECES, chat(stream => 1),
        headers => ['X-Model-text' => 'x' x (PIECES * PIECE)], deadline => 60);
    my $one = {node => $node, stream => $stream, gate => $gate, pieces => 1};
    return wait_for_piece($one);
}

sub wait_for_piece {
    my ($one) = @_;
    $one->{stream}->wait_for_body(qr/(?:x{@{[PIECE]}}.*){$one->{pieces}}/s) or die "piece $one->{pieces} does not come";
    return $one;
}

sub go_to_piece {
    my ($one, $piece) = @_;
    while ($one->{pieces} < $piece) {
        get($one->{node}->model->port, "/next?gate=$one->{gate}");
        $one->{pieces}++;
        wait_for_piece($one);
    }
    return;
}

sub finish {
    my ($one) = @_;
    go_to_piece($one, PIECES);
    get($one->{node}->model->port, "/next?gate=$one->{gate}") for 1 .. 5;
    return $one->{stream}->finish;
}

sub used { my ($pieces) = @_; return estimate() + $pieces * PIECE / 4 }

sub in_flight { return scalar map { @{$redis->command('ZRANGE', $_, 0, -1)} } @{$redis->command('KEYS', '*flights*')} }

for my $sync ('strict', '100ms') {
    $redis->command('FLUSHALL');
    my @nodes = map { start_node($redis->url, sync => $sync) } 1, 2;
    subtest "sync=$sync: two nodes" => sub {
        $_->new_client for @nodes;
        my $stream = start_stream($nodes[0]);
        is_everywhere($_, 'reserved', used(1) + STEP, 'a stream has grown') for @nodes;
        is in_flight(), 3, 'and is in flight once in each policy';
        go_to_piece($stream, 3);
        is_everywhere($nodes[1], 'reserved', used(3) + STEP, 'the other node sees it grow');
        go_to_piece($stream, 5);
        is_everywhere($nodes[1], 'reserved', used(5) + STEP, 'and grow');
        # A question is asked when some text comes and the one before is answered.
        my $other = start_stream($nodes[1]);
        is_everywhere($nodes[0], 'reserved', used(5) + used(1) + 2 * STEP, 'another stream reserves a part');
        go_to_piece($other, 3);
        is_everywhere($nodes[0], 'reserved', used(5) + used(3) + 2 * STEP, 'and more');
        go_to_piece($other, 5);
        is_everywhere($_, 'reserved', LIMIT, 'together they take all that there is') for @nodes;
        is $_->ask('/v1/chat/completions', chat())->{status}, 429, 'no other request passes' for @nodes;
        ok finish($_)->{complete}, 'a stream ends' for $stream, $other;
        is_everywhere($_, 'used', 2 * used(PIECES), 'and is charged') for @nodes;
        is_everywhere($_, 'reserved', 0, 'in place of its reservation') for @nodes;
        is in_flight(), 0, 'nothing is in flight any more';
    };
    $_->stop for @nodes;
}

my $node = start_node($proxy->url, timeout => '200ms');
subtest 'answers that end anywhere' => sub {
    $node->new_client;
    $redis->command('FLUSHALL');
    my @running = map {
        my $at = $_ * 61;    # bytes
        my $how = $_ % 2 ? 'cut_at' : 'hold_at';
        my $stream = $node->begin("/v1/chat/completions?$how=$at&chunks=5", chat(stream => 1), headers => ['X-Model-text' => 'x' x 600]);
        $stream->wait_for_size($at / 2, 0.05) if $_ % 3;
        $stream;
    } 1 .. 30;
    $_->abort for @running;
    my $used = 0;
    for my $log (map { $node->logged($_) } @running) { $used += $log->{total} =~ s/^-$/0/r }
    cmp_ok $used, '>', 5 * estimate(), 'some was used';
    is_everywhere($node, 'used', $used, 'all of that is charged');
    is_everywhere($node, 'reserved', 0, 'and nothing stays reserved');
    ok wait_until(sub { in_flight() == 0 }), 'nor in flight';
};

for my $arrives (0, 1) {
    subtest $arrives ? 'a lost answer' : 'a lost question' => sub {
        $node->new_client;
        $redis->command('FLUSHALL');
        $proxy->when('EVALSHA', word => 'grow', silent => 1, $arrives ? (pass => 1) : ());
        my $stream = start_stream($node);
        go_to_piece($stream, 4);
        $proxy->clear;
        ok finish($stream)->{complete}, 'nobody waits';
        is_everywhere($node, 'used', used(PIECES), 'it is charged once');
        is_everywhere($node, 'reserved', 0, 'and nothing stays reserved');
        ok wait_until(sub { in_flight() == 0 }), 'nor in flight';
    };
}

# Runs a stream of which Redis misses a part, and perhaps the end.
sub test_absence {
    my ($on, $sync, $misses_end) = @_;
    $on->new_client;
    $redis->command('FLUSHALL');
    my $stream = start_stream($on);
    $proxy->refuse;
    $proxy->close_all;
    go_to_piece($stream, 4);
    ok finish($stream)->{complete}, "sync=$sync: a stream goes on without Redis" if $misses_end;
    $proxy->welcome;
    ok wait_until(sub { $on->nginx->error_log =~ /is back.*\z/s }), "sync=$sync: Redis is back";
    ok finish($stream)->{complete}, "sync=$sync: the stream went on" if !$misses_end;
    is_everywhere($on, 'used', used(PIECES), 'it is charged once');
    is_everywhere($on, 'reserved', 0, 'and nothing stays reserved');
    ok wait_until(sub { in_flight() == 0 }), 'nor in flight';
    return;
}

my $sharing = start_node($proxy->url, sync => '100ms', timeout => '200ms');
for my $misses_end (0, 1) {
    subtest 'Redis goes away and comes back' . ($misses_end ? ' behind the end of a stream' : '') => sub {
        test_absence($node, 'strict', $misses_end);
        test_absence($sharing, '100ms', $misses_end);
    };
}
$sharing->nginx->stop;

# The number of times that Redis has been asked to let a reservation grow.
sub asked_to_grow { return scalar grep { grep { $_ eq 'grow' } @$_ } $proxy->commands('EVALSHA') }

subtest 'Redis does not know the flight any more' => sub {
    $node->new_client;
    $redis->command('FLUSHALL');
    my $stream = start_stream($node);
    is_everywhere($node, 'reserved', used(1) + STEP, 'a stream has grown');
    $redis->command('FLUSHALL');
    # The second piece has been reserved for.
    for my $piece (3, 4) {
        my $before = asked_to_grow();
        go_to_piece($stream, $piece);
        ok wait_until(sub { asked_to_grow() >= $before + @names }), "piece $piece: Redis is asked for each policy";
    }
    ok finish($stream)->{complete}, 'the stream goes on';
    is_everywhere($node, 'used', used(PIECES), 'it is charged once');
    is_everywhere($node, 'reserved', 0, 'and nothing stays reserved');
    ok wait_until(sub { in_flight() == 0 }), 'nor in flight';
};
$node->nginx->stop;

my $learner = start_node($proxy->url, timeout => '500ms', reserve => 'auto');
$learner->new_client;
my $short = '/v1/chat/completions?prompt_tokens=' . estimate() . '&completion_tokens=20';
$learner->ask($short, chat()) for 1 .. 12;
for my $loses (0, 1) {
    subtest 'a long answer where short ones are usual' . ($loses ? ', and a lost answer of Redis' : '') => sub {
        $learner->new_client;
        $redis->command('FLUSHALL');
        my $stream = start_stream($learner);
        is_everywhere($learner, 'reserved', used(1) + STEP, 'a stream has grown');
        $proxy->when('EVALSHA', word => 'grow', silent => 1, pass => 1) if $loses;
        go_to_piece($stream, 3);
        $loses ? $proxy->clear : is_everywhere($learner, 'reserved', used(3) + STEP, 'and grows');
        ok finish($stream)->{complete}, 'it ends';
        my $reserved = $learner->logged($stream->{stream})->{reserved};
        ok $reserved > estimate() && $reserved < estimate() + STEP, "it began with what was learned: $reserved";
        is_everywhere($learner, 'used', used(PIECES), 'it is charged once');
        is_everywhere($learner, 'reserved', 0, 'in place of its reservation');
        ok wait_until(sub { in_flight() == 0 }), 'nothing is in flight any more';
    };
}
$learner->nginx->stop;
done_testing;
