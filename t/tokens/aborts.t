# Tests a thousand answers that end anywhere, cut by the client or by the server: each is settled once, and nothing
# stays reserved, also if the reservation has grown. ABORTS=n for another number.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

use constant LIMIT => 100_000_000;

my $aborts = $ENV{ABORTS} // 1000;
my $t = AiLimit::Tokens->start(
    workers => 2,
    log_level => 'warn',
    left => [qw(tokens fixed sliding)],
    policies => sprintf(<<'CONF', (LIMIT) x 3),
    ai_limit_policy tokens  key=$http_x_key rate=1t/month burst=%d reserve=max;
    ai_limit_policy fixed   key=$http_x_key rate=%dt/12month algorithm=fixed_window reserve=1;
    ai_limit_policy sliding key=$http_x_key rate=%dt/month algorithm=sliding_window reserve=5000;
    ai_limit_policy slots   key=$http_x_key concurrency=1000;
CONF
    server => 'add_header X-Slots $ai_limit_remaining_slots always;',
    locations => <<'CONF',
        ai_limit tokens fixed sliding slots;
        location / { proxy_pass http://model; }
        location /buffered/ { proxy_buffering on; proxy_pass http://model/; }
        location /asked/ { ai_limit_include_usage on; proxy_pass http://model/; }
        location = /slots { ai_limit slots; empty_gif; }
CONF
);

my @shapes = (
    ['/v1/chat/completions', chat(stream => 1, include_usage => 1, max_tokens => 100)],
    ['/v1/chat/completions', chat(max_tokens => 100)],
    ['/v1/messages', chat(stream => 1, max_tokens => 100)],
    ['/v1beta/models/g:streamGenerateContent', '{"contents":[{"parts":[{"text":"Hi"}]}]}'],
    ['/api/chat', chat(stream => 1)],
    ['/model/m/converse-stream', '{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}'],
    ['/v1/responses', '{"input":"Hi","stream":true}'],
    ['/asked/v1/chat/completions', chat(stream => 1)],
    ['/buffered/v1/chat/completions', chat(stream => 1, include_usage => 1)],
    ['/v1/chat/completions?encoding=gzip', chat(stream => 1, include_usage => 1)],
);
my @sizes = map { length post($t->model->port, ($_->[0] =~ s{^/(?:asked|buffered)}{}r), $_->[1])->{body} } @shapes;

# Some answers report their input before they are cut.
$t->new_client;
my $told = max estimate(), map { $t->ask(@$_)->{log}{in} } @shapes;
my $asked = @shapes;
$t->new_client;

# The same numbers everywhere.
my $state = 20_260_101;
sub random {
    my ($below) = @_;
    $state = ($state * 1_103_515_245 + 12_345) % 2**31;
    return int($state / 65_536) % $below;
}

my @running;
my $sent = 0;
my $ids = '';
while ($sent < $aborts || @running) {
    while ($sent < $aborts && @running < 20) {
        push @running, start_one($sent++);
    }
    end_one(shift @running);
}
is $sent, $aborts, "$aborts answers were cut";

my @logs = map { $t->logged_id($_ + $asked) } 1 .. $aborts;
my %sources;
$sources{$_->{source}}++ for @logs;
note join ', ', map { "$_: $sources{$_}" } sort keys %sources;
is_deeply [grep { !/^(?:response|estimate|none)$/ } keys %sources], [], 'each is settled in one of the ways there are';
cmp_ok $sources{estimate}, '>', $aborts / 2, 'mostly by an estimate';
is scalar(grep { $_->{source} eq 'none' && $_->{total} !~ /^[-0]$/ } @logs), 0, 'none is charged without a cause';
# A client that leaves before the answer begins (499) pays for the time.
my @wrong = grep { $_->{source} eq 'estimate' && ($_->{in} > $told || ($_->{out} > 28 / 4 && $_->{status} ne '499')) } @logs;
is scalar(@wrong), 0, 'none for more than prompt and text' or diag explain \@wrong;

my $used = sum0 map { $_->{total} =~ s/^-$/0/r } @logs;
# The request that looks reserves as well.
my %looks = (tokens => 0, fixed => 1, sliding => 5000);
for my $policy (sort keys %looks) {
    my $left = LIMIT - $used - $looks{$policy};
    is $t->left_at_last($left, $policy), $left, "what is left of $policy is the rest";
}
my $slots = sub { get($t->port, '/slots', 'X-Key' => $t->key)->{headers}{'x-slots'} };
is wait_for($slots, 999), 999, 'all slots are back';
my $all = $t->ask('/v1/models', undef, headers => []);
is $all->{status}, 200, 'requests pass';

$t->stop(graceful => 1);
done_testing;

# The server cuts every second one; it stops the others there until the client leaves.
sub start_one {
    my ($i) = @_;
    my $n = random(scalar @shapes);
    my ($path, $body) = @{$shapes[$n]};
    my $at = random($sizes[$n]);
    my $how = $i % 2 ? 'cut_at' : 'hold_at';
    my $split = random(2) ? '&split=' . (1 + random(40)) : '';
    my $pending = $t->begin($path . ($path =~ /\?/ ? '&' : '?') . "$how=$at$split", $body);
    return {pending => $pending, at => $at, how => $how, leaves => random(4)};
}

# A client leaves when it has all that it will get, or at once, or in between.
sub end_one {
    my ($one) = @_;
    my ($pending, $at) = @$one{qw(pending at)};
    return $pending->finish if $one->{how} eq 'cut_at';
    my $wanted = (0, int($at / 2), $at, $at)[$one->{leaves}];
    # Usage that is hidden from the client makes its part shorter, and buffers may keep some back.
    $pending->wait_for_size($wanted, 0.03) if $wanted;
    return $pending->abort;
}

sub wait_for {
    my ($get, $expected) = @_;
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    my $got;
    while (($got = $get->()) ne $expected && time < $deadline) { sleep 0.02 }
    return $got;
}
