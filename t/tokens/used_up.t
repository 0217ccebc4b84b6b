# Tests that requests are refused when the tokens are used up, until enough have come back. Use beyond the limit is a
# debt, which time pays off first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Nginx;
use AiLimit::Tokens;

my $t = AiLimit::Tokens->start(
    left => [qw(tokens small)],
    policies => <<'CONF',
    ai_limit_policy tokens key=$http_x_key rate=1t/h burst=1000 reserve=max;
    ai_limit_policy small  key=$http_x_key rate=1t/h burst=100 reserve=off;
    ai_limit_policy fast   key=$http_x_key rate=2kt/s burst=1000 reserve=off;
CONF
    locations => <<'CONF',
        location / { ai_limit tokens; proxy_pass http://model; }
        location /small/ { ai_limit small; proxy_pass http://model/; }
        location /fast/ { ai_limit fast; proxy_pass http://model/; }
CONF
);

# Uses so many tokens in all.
sub use_up {
    my ($path, $tokens) = @_;
    my $in = estimate();
    return $t->ask("$path?prompt_tokens=$in&completion_tokens=" . ($tokens - $in), chat());
}

subtest 'used up' => sub {
    my $chat = '/v1/chat/completions';
    is use_up($chat, 400)->{status}, 200, 'a request passes' for 1 .. 2;
    is use_up($chat, 200 - estimate())->{status}, 200, 'and one that leaves enough for a prompt';
    is $t->left, estimate(), 'just enough';
    my $refused = $t->ask($chat, chat(max_tokens => 20));
    is $refused->{status}, 429, 'a request for more is refused';
    cmp_ok abs($refused->{headers}{'retry-after'} - 20 * 3600), '<=', 60, 'until that has come back';
    is $refused->{headers}{'x-should-retry'}, 'false', 'which is long';
    is $refused->{headers}{'x-ratelimit-remaining'}, estimate(), 'the headers show what is left';
    is $refused->{log}{source}, 'none', 'it used nothing';
    is $refused->{log}{reserved} =~ s/^-$/0/r, 0, 'and reserves nothing';
    is $t->left, estimate(), 'and takes nothing';
    my $asked = $t->ask("$chat?prompt_tokens=1&completion_tokens=1", chat());
    is $asked->{status}, 200, 'a smaller one passes';
};

subtest 'a debt' => sub {
    $t->new_client;
    is use_up('/small/v1/chat/completions', 150)->{status}, 200, 'more may be used than is left';
    is $t->left('small'), 0, 'nothing remains';
    my $refused = $t->ask('/small/v1/chat/completions', chat());
    is $refused->{status}, 429, 'the next request is refused';
    cmp_ok abs($refused->{headers}{'retry-after'} - 51 * 3600), '<=', 60, 'until the debt is paid off and one is there';
    is $refused->{headers}{'x-ratelimit-remaining'}, 0, 'what remains is not below nothing';
};

subtest 'time pays it off' => sub {
    $t->new_client;
    my $before = time;
    is use_up('/fast/v1/chat/completions', 2000)->{status}, 200, 'twice what there is';
    my $refused = $t->ask('/fast/v1/chat/completions', chat());
    my $status = $refused->{status};
    while ($status == 429 && time < $before + AiLimit::Nginx::PATIENCE) {
        sleep 0.02;
        $status = $t->ask('/fast/v1/chat/completions?prompt_tokens=1&completion_tokens=1', chat())->{status};
    }
    is $status, 200, 'requests pass again';
    cmp_ok time - $before, '>=', 0.5, 'not before it is paid off';
};

subtest 'a request that does not fit is not charged' => sub {
    $t->new_client;
    use_up('/v1/chat/completions', 50);
    is $t->ask('/v1/chat/completions', chat(max_tokens => 938))->{status}, 429, 'one token too many' for 1 .. 5;
    is $t->left, 950, 'takes nothing, however often it is asked for';
    is $t->ask('/v1/chat/completions?prompt_tokens=1&completion_tokens=1', chat(max_tokens => 937))->{status}, 200,
        'one less passes';
};

$t->stop;
done_testing;
