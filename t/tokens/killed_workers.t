# Tests that what a killed worker's requests had reserved is charged: it is not reserved for ever, and it is not given
# back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

my %algorithms = (
    bucket  => 'rate=1t/month burst=1000',
    sliding => 'rate=1000t/month algorithm=sliding_window',
    fixed   => 'rate=1000t/12month algorithm=fixed_window',
);
my @names = sort keys %algorithms;
my $t = AiLimit::Tokens->start(
    workers => 2,
    left => [@names, 'fast'],
    policies => 'ai_limit_policy fast key=$http_x_key rate=2000t/s burst=1000 reserve=max;'
        . join('', map { "ai_limit_policy $_ key=\$http_x_key $algorithms{$_} reserve=max;\n" } @names),
    server => 'add_header X-Worker $pid always;',
    locations => "location / { ai_limit @names; proxy_pass http://model; }"
        . 'location /fast/ { ai_limit fast; proxy_pass http://model/; }',
);
# The master's words on each of them.
$t->nginx->{killed} = 1;

my $held = 300 + estimate();

sub start_stream {
    my ($prefix) = @_;
    my $stream = $t->begin(($prefix // '') . '/v1/chat/completions?gate=never', chat(stream => 1, max_tokens => 300),
        deadline => 120);
    return $stream if $stream->wait_for_body(qr/Hello/);
    die 'no stream';
}

sub everywhere { return [map { $t->left($_) } @names] }

subtest 'a worker is killed' => sub {
    for my $round (1 .. 5) {
        $t->new_client;
        my $stream = start_stream();
        is_deeply everywhere(), [(1000 - $held) x @names], 'a stream reserves tokens';
        $t->nginx->kill_worker($stream->headers->{'x-worker'});
        # Others look for dead workers within a second.
        my $until = time + 1.5;
        my %seen;
        do { $seen{join ' ', @{everywhere()}}++; sleep 0.1 } while time < $until && $round == 1;
        is_deeply [keys %seen], [join ' ', (1000 - $held) x @names], 'its reservation does not come back';
        my $rest = chat(max_tokens => 1000 - $held - estimate());
        is $t->ask('/v1/chat/completions?prompt_tokens=20&completion_tokens=22', $rest)->{status}, 200, 'the rest can be had';
        is_deeply everywhere(), [(1000 - $held - 42) x @names], 'and is charged';
    }
};

subtest 'its reservation becomes a charge, which time pays off' => sub {
    $t->new_client;
    my $stream = start_stream('/fast');
    my $until = time + 0.5;
    my $most = 0;
    while (time < $until) {
        my $left = $t->left('fast');
        $most = $left if $left > $most;
    }
    is $most, 1000 - $held, 'while the stream runs, time gives nothing back';
    $t->nginx->kill_worker($stream->headers->{'x-worker'});
    is $t->left_at_last(1000, 'fast'), 1000, 'when its worker is killed, it does';
};

subtest 'a worker of an old generation is killed' => sub {
    $t->new_client;
    my $stream = start_stream();
    my $old = $stream->headers->{'x-worker'};
    $t->nginx->reload;
    is_deeply everywhere(), [(1000 - $held) x @names], 'a stream keeps its reservation over a reload';
    kill 'KILL', $old;
    my $gone = time + AiLimit::Nginx::PATIENCE;
    sleep 0.01 while kill(0, $old) && time < $gone;
    my $rest = chat(max_tokens => 1000 - $held - estimate());
    is $t->ask('/v1/chat/completions?prompt_tokens=20&completion_tokens=22', $rest)->{status}, 200, 'the rest can be had';
    is_deeply everywhere(), [(1000 - $held - 42) x @names], 'and no more';
};

subtest 'many at once' => sub {
    $t->new_client;
    my @streams = map { start_stream('/fast') } 1 .. 3;
    is $t->ask('/fast/v1/chat/completions', chat(max_tokens => 300))->{status}, 429, 'all of it is reserved';
    kill 'KILL', $t->nginx->serving_workers;
    is $t->left_at_last(1000, 'fast'), 1000, 'all comes back with time when all workers are killed';
};

$t->stop;
done_testing;
