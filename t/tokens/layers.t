# Limits of requests, tokens and requests in flight beside one another: what one refuses takes nothing from the
# others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $t = AiLimit::Tokens->start(
    left => [qw(tokens dear)],
    log_level => 'error',
    policies => <<'CONF',
    ai_limit_policy requests key=$http_x_key rate=1r/month burst=5;
    ai_limit_policy tokens   key=$http_x_key rate=1t/month burst=1000 reserve=max;
    ai_limit_policy dear     key=$http_x_key rate=1t/month burst=500 count=output reserve=max;
    ai_limit_policy slots    key=$http_x_key concurrency=2;
    ai_limit_policy tried    key=$http_x_key rate=1t/month burst=100 dry_run reserve=max;
    ai_limit_policy spare    key=$http_x_key rate=1t/month burst=10000 reserve=max;
CONF
    server => 'add_header X-Layers "$ai_limit_remaining_requests $ai_limit_remaining_tokens'
        . ' $ai_limit_remaining_dear $ai_limit_remaining_slots" always;',
    locations => <<'CONF',
        location / { ai_limit requests tokens dear slots; proxy_pass http://model; }
        location = /layers { ai_limit requests tokens dear slots; empty_gif; }
        location /tried/ { ai_limit tried tokens; proxy_pass http://model/; }
        location = /tried { ai_limit tried tokens; add_header X-Tried "$ai_limit_remaining_tried" always; empty_gif; }
        location /dry/ { ai_limit tokens; ai_limit_dry_run on; proxy_pass http://model/; }
        location /fallback/ { ai_limit tokens; error_page 429 = @fallback; proxy_pass http://model/; }
        location @fallback { ai_limit spare; rewrite ^/fallback(.*)$ $1 break; proxy_pass http://model; }
        location = /spare { ai_limit spare; add_header X-Spare "$ai_limit_remaining_spare" always; empty_gif; }
CONF
);
my $chat = '/v1/chat/completions?prompt_tokens=20&completion_tokens=30';

# Returns what remains of all policies, by a request that takes one of `requests` and a slot for itself.
sub layers { return get($t->port, '/layers', 'X-Key' => $t->key)->{headers}{'x-layers'} }

subtest 'all are charged' => sub {
    my $answer = $t->ask($chat, chat(max_tokens => 100));
    is $answer->{status}, 200, 'a request that fits all';
    is $answer->{headers}{'x-layers'}, '4 ' . (1000 - 100 - estimate()) . ' 400 1', 'takes from each its own';
    is layers(), '3 950 470 1', 'and what it used is charged';
};

my %refusals = (
    'a limit of tokens' => ['tokens', sub { chat(max_tokens => 450, text => 'x' x 2400) }],
    'another limit of tokens' => ['dear', sub { chat(max_tokens => 500) }],
);
for my $name (sort keys %refusals) {
    my ($policy, $body) = @{$refusals{$name}};
    subtest "refused by $name" => sub {
        $t->new_client;
        $t->ask($chat, chat(max_tokens => 10));
        my $refused = $t->ask($chat, $body->());
        is $refused->{status}, 429, 'a request is refused';
        is $refused->{log}{policy}, $policy, 'as the log says';
        is layers(), '3 950 470 1', 'and takes nothing from any';
    };
}

subtest 'refused by a limit of requests' => sub {
    $t->new_client;
    layers() for 1 .. 5;
    is $t->ask($chat, chat())->{log}{policy}, 'requests', 'a request is refused';
    is $t->left, 1000, 'and takes no tokens';
    is $t->left('dear'), 500, 'none at all';
};

subtest 'refused by a limit of requests in flight' => sub {
    $t->new_client;
    my @streams = map { $t->begin("$chat&gate=never", chat(stream => 1, max_tokens => 100)) } 1 .. 2;
    is_deeply [map { $_->head } @streams], [200, 200], 'two streams run';
    my $held = 2 * (100 + estimate());
    is $t->left, 1000 - $held, 'and reserve tokens';
    my $third = $t->ask($chat, chat(max_tokens => 100));
    is "$third->{status} $third->{log}{policy}", '429 slots', 'a third is refused';
    is $t->left, 1000 - $held, 'and reserves none';
    $_->abort for @streams;
    # 5 bytes of text from each.
    my ($charged, $output) = map { my $of = $_; $t->logged($streams[0])->{$of} + $t->logged($streams[1])->{$of} } qw(total out);
    is $t->left_at_last(1000 - $charged), 1000 - $charged, 'the reservations of the streams are settled';
    is layers(), join(' ', 2, 1000 - $charged, 500 - $output, 1), 'and their slots are back';
};

subtest 'a policy on a dry run' => sub {
    $t->new_client;
    my $tried = sub { get($t->port, '/tried', 'X-Key' => $t->key)->{headers}{'x-tried'} };
    my $fits = $t->ask("/tried$chat", chat(max_tokens => 20));
    is $fits->{log}{result}, 'PASSED', 'a request that fits';
    is $tried->(), 50, 'is charged';
    my $not = $t->ask("/tried$chat", chat(max_tokens => 200));
    is $not->{status}, 200, 'one that does not passes';
    is "$not->{log}{result} $not->{log}{policy}", 'REJECTED_DRY_RUN tried', 'as the log says';
    is $not->{headers}{'x-ratelimit-limit'}, 1000, 'which the client does not see';
    is $tried->(), 50, 'is not charged to it';
    is $t->left, 900, 'but to the others';
    like $t->nginx->error_log, qr/limiting requests, policy: "tried", .*, dry run/, 'and is logged';
};

subtest 'a location on a dry run' => sub {
    $t->new_client;
    is $t->ask("/dry$chat", chat(max_tokens => 900))->{log}{result}, 'PASSED', 'a request that fits';
    my $not = $t->ask("/dry$chat", chat(max_tokens => 990));
    is "$not->{status} $not->{log}{result}", '200 REJECTED_DRY_RUN', 'one that does not';
    is $t->left, 950, 'is not charged';
};

subtest 'a fallback' => sub {
    $t->new_client;
    my $spare = sub { get($t->port, '/spare', 'X-Key' => $t->key)->{headers}{'x-spare'} };
    is $t->ask("/fallback$chat", chat(max_tokens => 900))->{log}{policy}, 'tokens', 'a request that fits';
    is $t->left, 950, 'is charged';
    my $answer = $t->ask("/fallback$chat", chat(max_tokens => 980));
    is $answer->{status}, 200, 'one that does not is answered by the fallback';
    is $answer->{headers}{'x-ratelimit-limit'}, 10_000, 'and learns that limit';
    is usage_of($answer), 'in=20 out=30 cached=0 total=50 source=response', 'and its answer is counted';
    is $t->left, 950, 'not by the limit that refused';
    is $spare->(), 9950, 'but by its own';
};

$t->stop;
done_testing;
