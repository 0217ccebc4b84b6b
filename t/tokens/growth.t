# Tests that a reservation grows while its stream runs, and that all of it comes back or is charged, however the stream
# ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Patience qw(wait_until);
use AiLimit::Tokens;

use constant {
    LIMIT => 3000,
    STEP => 256,      # tokens of output
    PIECES => 6,
    PIECE => 1000,    # characters
};

my %algorithms = (
    bucket  => 'rate=1t/month burst=' . LIMIT,
    sliding => 'rate=' . LIMIT . 't/month algorithm=sliding_window',
    fixed   => 'rate=' . LIMIT . 't/12month algorithm=fixed_window',
);
my @names = sort keys %algorithms;
my @full = qw(evict allow reject);    # what a zone does that is full
my $t = AiLimit::Tokens->start(
    workers => 2,
    left => [@names],
    policies => 'ai_limit_zone zone=rest:1m;' . join('', map { "ai_limit_policy $_ key=\$http_x_key $algorithms{$_} reserve=100 zone=rest;\n" } @names)
        . 'ai_limit_policy weighted key=$http_x_key rate=1t/month burst=9000 reserve=100 count=input:1,output:3 zone=rest;'
        . 'ai_limit_policy none     key=$http_x_key rate=1t/month burst=3000 reserve=off zone=rest;'
        . 'ai_limit_policy none_cut key=$http_x_key rate=1t/month burst=3000 reserve=off overrun=cut zone=rest;'
        . 'ai_limit_policy tried    key=$http_x_key rate=1t/month burst=3000 reserve=100 dry_run overrun=cut zone=rest;'
        . 'ai_limit_policy learned  key=$http_x_key rate=1t/month burst=20000 zone=rest;'
        . join('', map { <<"CONF" } @full),
    ai_limit_zone zone=full_$_:64k on_full=$_;
    ai_limit_policy full_$_ key=\$http_x_key rate=1t/month burst=3000 reserve=100 zone=full_$_;
    ai_limit_policy crowd_$_ key=\$arg_k rate=1r/month burst=1 zone=full_$_;
CONF
    server => 'large_client_header_buffers 4 32k; add_header X-Worker $pid always;',
    locations => "location / { ai_limit @names; proxy_pass http://model; }"
        . 'location /all/ { ai_limit weighted none none_cut tried; proxy_pass http://model/; }'
        . 'location /learned/ { ai_limit learned; proxy_pass http://model/; }'
        . 'location /ai_limit/ { ai_limit_api write=on; }'
        . join('', map { <<"CONF" } @full),
        location /full_$_/ { ai_limit full_$_; proxy_pass http://model/; }
        location = /crowd_$_ { ai_limit crowd_$_; empty_gif; }
CONF
);
$t->nginx->{killed} = 1;
my $api = AiLimit::Api->new($t->port);

sub of_key {
    my ($policy, $what) = @_;
    my (undef, $said) = $api->key(GET => "policy=$policy&key=" . $t->key);
    return $said->{$what} // 0;
}

sub everywhere { my ($what) = @_; return [map { of_key($_, $what) } @names] }

my $gates = 0;
my $gate;

# A stream that waits for next_piece() before each piece but the first one.
sub start_stream {
    my ($path, %prompt) = @_;
    $gate = 'gate-' . ++$gates;
    my $stream = $t->begin("$path/v1/chat/completions?gate=$gate&chunks=" . PIECES, chat(stream => 1, %prompt),
        headers => ['X-Model-text' => 'x' x (PIECES * PIECE)], deadline => 60);
    $stream->{pieces} = 0;
    return wait_for_piece($stream);
}

sub wait_for_piece {
    my ($stream) = @_;
    $stream->{pieces}++;
    $stream->wait_for_body(qr/(?:x{@{[PIECE]}}.*){$stream->{pieces}}/s) or die "piece $stream->{pieces} does not come";
    return $stream;
}

sub next_piece {
    my ($stream) = @_;
    get($t->model->port, "/next?gate=$gate");
    return wait_for_piece($stream);
}

# What is used by an answer of so many pieces, by the weight of its output.
sub used { my ($pieces, $weight) = @_; return estimate() + ($weight // 1) * $pieces * PIECE / 4 }

subtest 'a reservation grows with its stream' => sub {
    $t->new_client;
    my $stream = start_stream('');
    is_deeply everywhere('reserved'), [(used(1) + STEP) x @names], 'a step ahead of the text';
    is_deeply everywhere('used'), [(0) x @names], 'and nothing is used yet';
    next_piece($stream);
    is_deeply everywhere('reserved'), [(used(1) + STEP) x @names], 'not for each piece';
    next_piece($stream);
    is_deeply everywhere('reserved'), [(used(3) + STEP) x @names], 'but whenever it is used up';
    next_piece($stream) for 4 .. PIECES;
    get($t->model->port, "/next?gate=$gate") for 1 .. 5;
    ok $stream->finish->{complete}, 'it runs to its end';
    is_deeply everywhere('reserved'), [(0) x @names], 'and nothing is reserved any more';
};

subtest 'what has grown is not there for others' => sub {
    $t->new_client;
    my @streams = map { my $stream = start_stream(''); next_piece($stream) for 2 .. 4; [$stream, $gate] } 1 .. 2;
    is_deeply everywhere('reserved'), [(2 * (used(3) + STEP)) x @names], 'two streams';
    $gate = $streams[0][1];
    next_piece($streams[0][0]) for 5 .. PIECES;
    $gate = $streams[1][1];
    next_piece($streams[1][0]) for 5 .. PIECES;
    is_deeply everywhere('reserved'), [(LIMIT) x @names], 'take all that there is, and no more';
    is $t->ask('/v1/chat/completions', chat())->{status}, 429, 'a third is refused';
    for my $one (@streams) {
        get($t->model->port, "/next?gate=$one->[1]") for 1 .. 5;
        ok $one->[0]->finish->{complete}, 'with overrun=debt a stream goes on';
    }
    is_deeply everywhere('used'), [(2 * used(PIECES)) x @names], 'and is charged what it used';
    is_deeply everywhere('reserved'), [(0) x @names], 'no more';
};

subtest 'weights, and policies that reserve nothing' => sub {
    $t->new_client;
    my $stream = start_stream('/all');
    next_piece($stream) for 2 .. 3;
    is of_key('weighted', 'reserved'), used(3, 3) + 3 * STEP, 'a step is of tokens of output';
    is of_key('none', 'reserved'), 0, 'reserve=off with overrun=debt reserves nothing';
    is of_key('none_cut', 'reserved'), used(3) + STEP, 'with overrun=cut it does when the text comes';
    is of_key('tried', 'reserved'), used(3) + STEP, 'as does a policy on a dry run';
    $stream->abort;
    ok wait_until(sub { of_key('weighted', 'used') == used(3, 3) }), 'a client that leaves is charged what was written';
    is of_key($_, 'reserved'), 0, "and nothing stays reserved in $_" for qw(weighted none none_cut tried);
};

subtest 'the prompt counts as it was learned' => sub {
    $t->new_client;
    my $text = 'x' x 4000;
    my $learned = '/learned/v1/chat/completions?prompt_tokens=500&completion_tokens=10';
    $t->ask($learned, chat(text => $text)) for 1 .. 20;
    my $stream = start_stream('/learned', text => $text);
    my $reserved = of_key('learned', 'reserved');
    cmp_ok $reserved, '<', 500 + PIECE / 4 + STEP + 200, 'the stream has grown by what such prompts really have';
    cmp_ok $reserved, '>=', 500 + PIECE / 4 + STEP - 1, 'and not by less';
    $stream->abort;
};

subtest 'the zone is full' => sub {
    for my $on_full (@full) {
        $t->new_client;
        my $stream = start_stream("/full_$on_full");
        my $reserved = of_key("full_$on_full", 'reserved');
        is $reserved, used(1) + STEP, "$on_full: a stream has grown";
        # More keys than the zone holds. Each is refused the second time.
        many($t->port, requests => 16_000, connections => 4, pipeline => 8, deadline => 120,
            path => sub { "/crowd_$on_full?k=" . int $_[0] / 2 });
        next_piece($stream) for 2 .. 4;
        is of_key("full_$on_full", 'reserved'), used(3) + STEP, 'it grows where it has its entry';
        next_piece($stream) for 5 .. PIECES;
        get($t->model->port, "/next?gate=$gate") for 1 .. 5;
        ok $stream->finish->{complete}, 'it runs to its end';
        is of_key("full_$on_full", 'reserved'), 0, 'and nothing stays reserved';
        my $used = of_key("full_$on_full", 'used');
        ok $used == used(PIECES) || ($on_full ne 'evict' && $used == 0), "it is charged if the zone has room for that: $used";
    }
};

subtest 'over a reload' => sub {
    $t->new_client;
    my $stream = start_stream('');
    $t->nginx->reload;
    next_piece($stream) for 2 .. 3;
    is_deeply everywhere('reserved'), [(used(3) + STEP) x @names], 'it grows in the old worker';
    next_piece($stream) for 4 .. PIECES;
    get($t->model->port, "/next?gate=$gate") for 1 .. 5;
    ok $stream->finish->{complete}, 'to its end';
    is_deeply everywhere('used'), [(used(PIECES)) x @names], 'and is charged once';
    is_deeply everywhere('reserved'), [(0) x @names], 'in place of its reservation';
};

subtest 'a worker is killed' => sub {
    for my $pieces (1, 3) {
        $t->new_client;
        my $stream = start_stream('');
        next_piece($stream) for 2 .. $pieces;
        my $reserved = used($pieces) + STEP;
        is_deeply everywhere('reserved'), [($reserved) x @names], 'a stream has grown';
        $t->nginx->kill_worker($stream->headers->{'x-worker'});
        ok wait_until(sub { of_key($names[0], 'used') == $reserved }), 'what it had reserved is charged';
        is_deeply everywhere('used'), [($reserved) x @names], 'in each policy';
        is_deeply everywhere('reserved'), [(0) x @names], 'and not reserved any more';
    }
};

$t->stop;
done_testing;
