# Tests tokens over two nginx on one Redis. With honest max_tokens a limit is never exceeded. The tokens used are
# charged once, however an answer ends. A running request keeps its reservation as long as it runs, but not for ever.

use strict;
use warnings;
use feature 'state';

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;
use AiLimit::Tokens;

use constant {REQUESTS => 60, LIMIT => 4000, LARGE => 1_000_000, LEASE => 15, MOST_USED => 100 + estimate()};

my $redis = AiLimit::Redis->start;
my %rates = (
    bucket  => 'rate=1t/month burst=%d',
    sliding => 'rate=%dt/month algorithm=sliding_window',
    fixed   => 'rate=%dt/12month algorithm=fixed_window',
);
my @names = sort keys %rates;
my @large = map { "large_$_" } @names;
# No answer of Redis is late, however busy this machine is.
my $policies = 'ai_limit_redis ' . $redis->url . " sync=strict timeout=30s connect_timeout=30s;\n"
    # A request that only looks reserves nothing.
    . 'map $uri $most { default ' . MOST_USED . "; /left 0; }\n"
    . "ai_limit_policy slots key=\$http_x_key concurrency=50;\n"
    . 'ai_limit_policy output key=$http_x_key rate=1t/month burst=4000 count=output:2 reserve=200;';
my $locations = '';
for my $name (@names) {
    my ($rate, $large) = map { sprintf $rates{$name}, $_ } LIMIT, LARGE;
    $policies .= "ai_limit_policy $name key=\$http_x_key $rate reserve=max;\n"
        . "ai_limit_policy number_$name key=\$http_x_key $rate reserve=\$most;\n"
        . "ai_limit_policy loose_$name key=\$http_x_key $rate reserve=off;\n"
        . "ai_limit_policy large_$name key=\$http_x_key $large" . ($name eq 'fixed' ? " reserve=5000;\n" : " reserve=max;\n");
    $locations .= "location /$_/ { ai_limit $_; proxy_pass http://model/; }\n" for $name, "number_$name", "loose_$name";
}
$locations .= "location /all/ { ai_limit @names output slots; proxy_pass http://model/; }\n"
    . "location /large/ { ai_limit @large slots; add_header X-Worker \$pid always; proxy_pass http://model/; }\n"
    . "location /buffered/ { ai_limit @large slots; proxy_buffering on; proxy_pass http://model/; }\n"
    . "location /asked/ { ai_limit @large slots; ai_limit_include_usage on; proxy_pass http://model/; }\n"
    . "location /slots { ai_limit slots; empty_gif; }\n";

sub start_node {
    return AiLimit::Tokens->start(
        workers => 2,
        log_level => 'notice',
        left => [@names, @large, 'output', map { ("number_$_", "loose_$_") } @names],
        policies => $policies,
        locations => $locations,
        @_,
    );
}

my @shapes = (
    ['/large/v1/chat/completions', chat(stream => 1, include_usage => 1, max_tokens => 100)],
    ['/large/v1/chat/completions', chat(max_tokens => 100)],
    ['/large/v1/messages', chat(stream => 1, max_tokens => 100)],
    ['/asked/v1/chat/completions', chat(stream => 1)],
    ['/buffered/v1/chat/completions', chat(stream => 1, include_usage => 1)],
    ['/large/v1/chat/completions?encoding=gzip', chat(stream => 1, include_usage => 1)],
);

my $held = 300 + estimate();

my @nodes = map { start_node() } 1, 2;

subtest 'requests at once' => \&test_at_once;
subtest 'answers that end anywhere' => \&test_ends;
subtest 'a stream that lasts' => \&test_long_stream;
subtest 'a worker that is killed' => \&test_killed_worker;
subtest 'the end of a node' => \&test_end_of_node;

ok wait_until(sub { !keys_like('*flights*') }), 'when all is over, nothing is in flight in Redis';
$_->nginx->stop for @nodes;
is scalar(grep { $_->nginx->error_log =~ /is lost/ } @nodes), 0, 'all of it was decided in Redis';
done_testing;

sub new_client { $_->new_client for @nodes; return }

# Returns the tokens that request i uses, at most the number that it announces.
sub output_of { return 1 + $_[0] * 7 % 100 }

# Sends requests to both nodes, and returns what those that passed have used of each count.
sub all_at_once {
    my ($path) = @_;
    my $all = many([map { $_->port } @nodes], requests => REQUESTS, connections => REQUESTS, method => 'POST', keep => 1,
        path => sub { "$path/v1/chat/completions?delay=50&prompt_tokens=" . estimate() . '&completion_tokens=' . output_of($_[0]) },
        headers => ['X-Key' => $nodes[0]->key],
        body => sub { chat(max_tokens => 100, stream => $_[0] % 2, include_usage => 1) });
    is $all->{failed}, 0, 'all are answered';
    my @passed = grep { $all->{responses}[$_]{status} == 200 } 0 .. REQUESTS - 1;
    return map { output_of($_) } @passed;
}

sub is_left {
    my ($left, $policy, $name) = @_;
    # A settlement may reach Redis after the client has its answer.
    is_deeply [map { $_->left_at_last($left, $policy) } @nodes], [$left, $left], $name;
    return;
}

# Returns what is left of 50 slots while one more request is looking.
sub slots_seen_by { return get($_[0]->port, '/slots', 'X-Key' => $_[0]->key)->{headers}{'x-ratelimit-remaining'} }

sub keys_like { return sort @{$redis->command('KEYS', $_[0])} }

# Returns the time and the scores of all that is in flight, by key.
sub scores {
    my ($seconds) = @{$redis->command('TIME')};
    my %scores;
    for my $key (keys_like('*flights*')) {
        my %by_member = @{$redis->command('ZRANGE', $key, 0, -1, 'WITHSCORES')};
        $scores{$key =~ s/.*\}:(\w+?)(?::t)?:flights$/$1/r} = \%by_member;
    }
    return ($seconds * 1000, \%scores);
}

# Checks that all that is in flight is there until a lease from now, at the longest.
sub is_leased {
    my ($count) = @_;
    my ($now, @scores);
    ok wait_until(sub {
        ($now, my $scores) = scores();
        @scores = map { values %$_ } values %$scores;
        return @scores == $count;
    }), 'Redis knows what is in flight';
    is scalar(grep { $_ > $now && $_ <= $now + 1000 * (LEASE + 1) } @scores), $count, 'until its lease is over';
    return;
}

sub test_at_once {
    for my $path ((map { ($_, "number_$_") } @names), 'all') {
        new_client();
        my ($total, $output, $rounds, $before) = (0, 0, 0, '');
        while (my @used = all_at_once("/$path")) {
            $output += sum0 @used;
            $total += sum0 map { estimate() + $_ } @used;
            cmp_ok $total, '<=', LIMIT, "$path: never more than the limit: " . @used . ' passed';
            is_left(LIMIT - $total, $path eq 'all' ? 'bucket' : $path, 'all that was used is charged');
            last if ++$rounds == 20;
        }
        if ($path eq 'all') {
            is_left(LIMIT - $total, $_, "also of $_") for qw(sliding fixed);
            is_left(LIMIT - 2 * $output > 0 ? LIMIT - 2 * $output : 0, 'output', 'and by the weights of another');
        }
        my $most = $path eq 'all' ? 200 : MOST_USED;
        ok LIMIT - $total < MOST_USED || LIMIT - 2 * $output < $most, 'until the next does not fit';
    }
    for my $name (@names) {
        new_client();
        my @used = all_at_once("/loose_$name");
        # All together use less than the limit.
        is scalar(@used), REQUESTS, "loose_$name: reserve=off lets pass while anything is left";
        my $debt = sum0(map { estimate() + $_ } @used);
        while ($debt < LIMIT && (@used = all_at_once("/loose_$name"))) { $debt += sum0 map { estimate() + $_ } @used }
        is_left(0, "loose_$name", 'until nothing is');
        is scalar(all_at_once("/loose_$name")), 0, 'then nothing passes';
    }
    return;
}

# The same numbers everywhere.
sub random {
    my ($below) = @_;
    state $state = 20_260_101;
    $state = ($state * 1_103_515_245 + 12_345) % 2**31;
    return int($state / 65_536) % $below;
}

sub test_ends {
    new_client();
    my @sizes = map { length post($nodes[0]->model->port, ($_->[0] =~ s{^/\w+}{}r), $_->[1])->{body} } @shapes;
    my @running;
    my @begun;
    for my $i (0 .. 239) {
        my $node = $nodes[$i % 2];
        my $n = random(scalar @shapes);
        my ($path, $body) = @{$shapes[$n]};
        $path .= ($path =~ /\?/ ? '&' : '?') . 'prompt_tokens=20&completion_tokens=' . random(50);
        my $at = random($sizes[$n]);
        # A whole one, an error, one that the server cuts, two that the client leaves.
        my $how = (qw(whole error cut_at hold_at hold_at))[random(5)];
        $path .= $how eq 'whole' ? '' : $how eq 'error' ? '&status=500' : "&$how=$at";
        push @begun, [$node, $node->begin($path, $body)];
        push @running, {pending => $begun[-1][1], at => $at, how => $how, leaves => random(4)};
        end_one(shift @running) if @running > 20;
    }
    end_one($_) for @running;
    my @logs = map { $_->[0]->logged($_->[1]) } @begun;
    my %sources;
    $sources{$_->{source}}++ for @logs;
    note join ', ', map { "$_: $sources{$_}" } sort keys %sources;
    is_deeply [sort keys %sources], [qw(estimate none response)], 'each is settled in one of the ways there are';
    my $used = sum0 map { $_->{total} =~ s/^-$/0/r } @logs;
    cmp_ok $used, '>', 1000, 'some was used';
    # The request that looks reserves as well.
    is_left(LARGE - $used, $_, "what is left of $_ is the rest") for qw(large_bucket large_sliding);
    is_left(LARGE - $used - 5000, 'large_fixed', 'what is left of large_fixed is the rest');
    for my $node (@nodes) {
        ok wait_until(sub { slots_seen_by($node) == 49 }), 'all slots are back';
    }
    return;
}

# A client leaves when it has all that it will get, or at once, or in between.
sub end_one {
    my ($one) = @_;
    my ($pending, $at) = @$one{qw(pending at)};
    return $pending->finish if $one->{how} ne 'hold_at';
    my $wanted = (0, int($at / 2), $at, $at)[$one->{leaves}];
    # Usage that is hidden from the client makes its part shorter, and buffers may keep some back.
    $pending->wait_for_size($wanted, 0.03) if $wanted;
    return $pending->abort;
}

sub start_stream {
    my ($node, $arguments) = @_;
    my $stream = $node->begin("/large/v1/chat/completions?gate=next&$arguments", chat(stream => 1, max_tokens => 300, include_usage => 1),
        deadline => 120);
    return $stream if $stream->wait_for_body(qr/Hello/);
    die 'no stream';
}

# Opens the gates of all pieces to come.
sub go_on {
    my ($node, $stream) = @_;
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    until ($stream->body =~ /\[DONE\]/ || time > $deadline) {
        get($node->model->port, '/next?gate=next');
        $stream->wait_for_size(1e6, 0.01);
    }
    return $stream->finish;
}

sub test_long_stream {
    new_client();
    my $stream = start_stream($nodes[0], 'prompt_tokens=20&completion_tokens=22');
    is_left(LARGE - $held, 'large_bucket', 'is reserved on both nodes');
    is_leased(4);
    my (undef, $before) = scores();
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    my $after = $before;
    my $renewed = sub {
        (undef, $after) = scores();
        return !grep { my $policy = $_; grep { $after->{$policy}{$_} < $before->{$policy}{$_} + 3000 } keys %{$before->{$policy}} } keys %$before;
    };
    sleep 0.1 until $renewed->() || time > $deadline;
    ok $renewed->(), 'each of its reservations is renewed long before its lease is over';
    is_deeply [map { [sort keys %$_] } @$after{sort keys %$after}], [map { [sort keys %$_] } @$before{sort keys %$before}], 'and is the same';
    is_leased(4);
    is_left(LARGE - $held, $_, "$_: nothing was given back meanwhile") for qw(large_bucket large_sliding);

    $nodes[0]->nginx->reload;
    is_left(LARGE - $held, 'large_bucket', 'stays reserved over a reload');
    is go_on($nodes[0], $stream)->{status}, 200, 'ends';
    is_left(LARGE - 42, $_, "$_: and is charged") for qw(large_bucket large_sliding);
    is_left(LARGE - 42 - 5000, 'large_fixed', 'large_fixed: and is charged');
    return;
}

sub test_killed_worker {
    new_client();
    my $stream = start_stream($nodes[0], 'prompt_tokens=20&completion_tokens=22');
    my $other = start_stream($nodes[1], 'prompt_tokens=20&completion_tokens=22');
    is_left(LARGE - 2 * $held, 'large_bucket', 'two streams have reservations');
    my (undef, $both) = scores();
    $nodes[0]->nginx->kill_worker($stream->headers->{'x-worker'});
    is_left(LARGE - 2 * $held, 'large_bucket', 'one of them still, when its worker is killed');
    is_leased(8);

    # Time goes by, for what nobody renews.
    go_on($nodes[1], $other);
    is_left(LARGE - $held - 42, 'large_bucket', 'the other one is charged');
    my %member;
    ok wait_until(sub {
        my %members = map { $_ => $redis->command('ZRANGE', $_, 0, -1) } keys_like('*flights*');
        %member = map { $_ => $members{$_}[0] } keys %members;
        return keys %members == 4 && !grep { @$_ != 1 } values %members;
    }), 'which leaves one stream in flight';
    $redis->command('ZADD', $_, 'XX', $redis->command('TIME')->[0] * 1000 - 1, $member{$_}) for keys %member;
    is_left(LARGE - $held - 42, $_, "$_: its reservation is charged when its lease is over") for qw(large_bucket large_sliding);
    is_left(LARGE - 10_000 - 42, 'large_fixed', 'large_fixed: its reservation is charged when its lease is over');
    ok wait_until(sub { slots_seen_by($_) == 49 }), 'its slot is free' for @nodes;
    ok wait_until(sub { !keys_like('*flights*') }), 'and nothing is in flight any more';
    return;
}

sub test_end_of_node {
    new_client();
    my $third = start_node();
    $third->new_client while $third->key ne $nodes[0]->key;
    my $stream = start_stream($third, 'prompt_tokens=20&completion_tokens=22');
    is_left(LARGE - $held, 'large_bucket', 'a stream has a reservation');
    $third->nginx->signal('QUIT');
    is go_on($third, $stream)->{status}, 200, 'ends while its node does';
    ok $third->nginx->stop(graceful => 1), 'which then is gone';
    is_left(LARGE - 42, $_, "$_: and is charged") for qw(large_bucket large_sliding);
    ok wait_until(sub { !keys_like('*flights*') }), 'and nothing is in flight any more';
    return;
}
