# Tests overrun=cut over two nginx on one Redis: a budget is not passed, and a lost Redis is what on_failure= says.

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

use constant {LIMIT => 3000, STREAMS => 10, PIECES => 100, PIECE => 80};

my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);

sub start_node {
    my ($url, $parameters, $policy) = @_;
    return AiLimit::Tokens->start(
        workers => 1,
        log_level => 'notice',
        policies => "ai_limit_redis $url connect_timeout=30s $parameters;"
            . "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=@{[LIMIT]} overrun=cut $policy;",
        server => 'large_client_header_buffers 4 32k;',
        locations => 'location / { ai_limit tokens; proxy_pass http://model; } location /ai_limit/ { ai_limit_api; }',
    );
}

# A stream of 2,000 tokens.
sub start_stream {
    my ($node, $wishes) = @_;
    return $node->begin("/v1/chat/completions?chunks=@{[PIECES]}&$wishes", chat(stream => 1),
        headers => ['X-Model-text' => 'x' x (PIECES * PIECE)], deadline => 60);
}

sub of_key {
    my ($node, $what) = @_;
    my (undef, $said) = AiLimit::Api->new($node->port)->key(GET => 'policy=tokens&key=' . $node->key);
    return $said->{$what} // 0;
}

sub in_flight { return scalar map { @{$redis->command('ZRANGE', $_, 0, -1)} } @{$redis->command('KEYS', '*flights*')} }

for my $case (['sync=strict timeout=30s', 'reserve=100'], ['sync=100ms timeout=30s', 'reserve=off']) {
    my ($parameters, $policy) = @$case;
    subtest "$parameters, $policy" => sub {
        $redis->command('FLUSHALL');
        my @nodes = map { start_node($redis->url, $parameters, $policy) } 1, 2;
        # No faster than Redis answers.
        my @streams = map { start_stream($nodes[$_ % 2], 'chunk_delay=20') } 1 .. STREAMS;
        my @answers = map { $_->finish } @streams;
        is scalar(grep { !$_->{complete} } @answers), 0, 'each stream comes to an end';
        is scalar(grep { $_->{body} !~ /"finish_reason":"(?:length|stop)".*\[DONE\]/s } @answers), 0, 'that is one of its API';
        ok wait_until(sub { in_flight() == 0 }), 'nothing is in flight any more';
        my $used = of_key($nodes[0], 'used');
        cmp_ok $used, '<=', LIMIT + STREAMS * PIECE / 4, 'at most an event of each stream is too much';
        cmp_ok $used, '>=', LIMIT - STREAMS * PIECE / 4, 'and all of the budget is used';
        is of_key($nodes[1], $_->[0]), $_->[1], "$_->[0], on the other node" for ['used', $used], ['reserved', 0];
        $_->nginx->stop for @nodes;
    };
}

for my $case (['local', LIMIT], ['allow', 5000], ['reject', 0]) {
    my ($on_failure, $most) = @$case;
    subtest "Redis goes away, on_failure=$on_failure" => sub {
        $redis->command('FLUSHALL');
        my $node = start_node($proxy->url, "sync=strict timeout=200ms on_failure=$on_failure", 'reserve=100');
        my @streams = map { start_stream($node, 'gate=next') } 1, 2;
        $_->wait_for_body(qr/x{80}/) or die 'no stream' for @streams;
        $proxy->refuse;
        $proxy->close_all;
        my $deadline = time + 30;
        until (time > $deadline || 2 == grep { $_->body =~ /\[DONE\]/ } @streams) {
            get($node->model->port, '/next?gate=next') for 1 .. 20;
            $_->wait_for_size(1e6, 0.01) for @streams;
        }
        my @ends = map { $_->finish->{body} =~ /"finish_reason":"(\w+)"/ ? $1 : 'none' } @streams;
        my %expected = (local => 'length', allow => 'stop', reject => 'length');
        is((sort @ends)[0], $expected{$on_failure}, 'the end of a stream');
        my $total = 0;
        $total += $node->logged($_)->{total} for @streams;
        cmp_ok $total, '<=', LIMIT + 2 * PIECE, 'no more than the budget' if $on_failure ne 'allow';
        cmp_ok $total, '<', 1600, 'nothing more than Redis had reserved' if $on_failure eq 'reject';
        cmp_ok $total, '>=', 4000, 'all that there was' if $on_failure eq 'allow';
        $proxy->welcome;
        ok wait_until(sub { in_flight() == 0 }), 'when Redis is back, nothing stays in flight';
        $node->nginx->stop;
    };
}
done_testing;
