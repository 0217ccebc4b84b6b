# Tests that answers that nobody can read do no harm: they are passed on, cost what an answer without usage costs, are
# worth one line in the log, and take no memory. GARBAGE_MB=n sends so many megabytes in place of 32.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Tokens;

my $LIMIT = 1_000_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /asked/ { ai_limit_include_usage on; proxy_pass http://model/; }
CONF
);
my $MEGABYTES = $ENV{GARBAGE_MB} // 32;

# The bad answer, and how many tokens of output it may cost: what can be read, and a quarter of the bytes of the rest.
my %kinds = (
    garbage   => ['garbage', 1, 65_536 / 4 + 2],
    truncated => ['truncated', 0, 2],    # "Hello fr"
    deep      => ['deep', 0, 0],
    longline  => ['longline', 10_000_000 / 4, 10_000_000 / 4 + 2],
    numbers   => ['numbers', 0, 0],
    much      => ['garbage&size=' . $MEGABYTES * 1024 * 1024, 1, $MEGABYTES * 1024 * 1024 / 4 + 2],
);

# Returns the worker's memory as the kernel counts it, in kB.
sub memory {
    my ($worker) = $t->nginx->workers;
    open my $status, '<', "/proc/$worker/status" or die "status: $!";
    my ($size) = map { /^VmRSS:\s*(\d+)/ } <$status>;
    return $size;
}

my $before = memory();
for my $kind (sort keys %kinds) {
    my ($wish, $least, $most) = @{$kinds{$kind}};
    for my $how (['whole', '', 0], ['a stream', '', 1], ['usage asked for', '/asked', 1]) {
        my ($name, $prefix, $stream) = @$how;
        subtest "$kind, $name" => sub {
            plan skip_all => 'once is enough' if $kind eq 'much' && $name ne 'a stream';
            $t->new_client;
            my $seen = length $t->nginx->error_log;
            my $path = "/v1/chat/completions?bad=$wish";
            my $body = chat(stream => $stream);
            my $answer = $t->by_curl($t->port, "$prefix$path", $body);
            ok $answer->{complete}, 'reaches the client';
            # nginx hides a piece of usage there, whatever its numbers.
            is $answer->{digest}, $t->by_curl($t->model->port, $path, $body)->{digest}, 'byte for byte'
                if "$kind$prefix" ne 'numbers/asked';
            $answer->{log} = $t->logged_id($answer->{id});
            my $charged = estimate() + $answer->{log}{out};
            is $answer->{log}{source}, 'estimate', 'is estimated';
            cmp_ok $answer->{log}{out}, '>=', $least, "the text: $answer->{log}{out}";
            cmp_ok $answer->{log}{out}, '<=', $most, 'no more than it has';
            is $answer->{log}{in}, estimate(), 'and the prompt';
            is $t->left, $LIMIT - $charged, 'are charged';
            my @lines = grep { /\[(?:warn|error|crit|alert|emerg)\]/ } split /\n/, substr $t->nginx->error_log, $seen;
            cmp_ok scalar(@lines), '<=', 1, 'the log has at most one line' or diag @lines;
        };
    }
}
# ASan keeps what is freed for a while.
if (!$ENV{ASAN_OPTIONS}) {
    cmp_ok memory() - $before, '<', 16_384, 'nginx has not grown';
}

subtest 'bad requests' => sub {
    my %bodies = (
        deep => '{"messages":' . '[' x 100_000,
        'a long line' => '{"messages":[{"role":"user","content":"' . 'x' x 1_000_000,
        garbage => join('', map { chr($_ * 7 % 256) } 1 .. 100_000),
        numbers => '{"messages":[],"max_tokens":1e400,"n":-5,"max_completion_tokens":"12"}',
    );
    for my $name (sort keys %bodies) {
        $t->new_client;
        my $answer = $t->ask('/v1/chat/completions?prompt_tokens=1&completion_tokens=1', $bodies{$name});
        my $readable = $name eq 'numbers';
        is $answer->{status}, $readable ? 200 : 400, "$name: " . ($readable ? 'are for the server to judge' : 'cannot be read');
        is $t->left, $readable ? $LIMIT - 2 : $LIMIT, $readable ? 'and cost what it says' : 'and costs nothing';
    }
};

$t->stop;
done_testing;
