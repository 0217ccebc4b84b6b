# count= may be a variable: each model then has its own prices, in one budget.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Redis;
use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $redis = AiLimit::Redis->start;
my $rate = "key=\$http_x_key rate=1t/month burst=$LIMIT";
my @names = qw(here fixed unheld strict share answer);
my $t = AiLimit::Tokens->start(
    left => \@names,
    policies => 'ai_limit_redis ' . $redis->url . " sync=off timeout=30s connect_timeout=30s;\n" . <<"CONF",
    map \$ai_limit_model \$prices {
        large     input:3,output:15,cached_input:0.3;
        small     input:0.5,output:2;
        broken    input:three;
        default   "";
    }
    map \$ai_limit_output_tokens \$by_answer {
        volatile;
        7         output:1000;
        default   total;
    }
    map \$uri \$fifty { default 50; /left 0; }   # who only looks reserves nothing
    ai_limit_policy here    $rate count=\$prices reserve=max;
    ai_limit_policy fixed   $rate count=\$prices reserve=\$fifty;
    ai_limit_policy unheld  $rate count=\$prices reserve=off;
    ai_limit_policy strict  $rate count=\$prices sync=strict reserve=max;
    ai_limit_policy share   $rate count=\$prices sync=50ms reserve=max;
    ai_limit_policy answer  $rate count=\$by_answer reserve=max;
CONF
    server => 'add_header X-Held $ai_limit_reserved_tokens always;',
    locations => join '', map { "location /$_/ { ai_limit $_; proxy_pass http://model/; }\n" } @names,
);

my $path = 'v1/chat/completions?prompt_tokens=100&cached_tokens=30&completion_tokens=7';
my %charged = (large => 210 + 105 + 9, small => 50 + 14, unknown => 107);

for my $policy (qw(here fixed unheld strict share)) {
    for my $model (sort keys %charged) {
        $t->new_client;
        $t->ask("/$policy/$path", chat(model => $model));
        is $t->left_at_last($LIMIT - $charged{$model}, $policy), $LIMIT - $charged{$model}, "$policy: the prices of $model";
    }
}

subtest 'one budget for all models' => sub {
    $t->new_client;
    $t->ask("/here/$path", chat(model => $_, stream => 1, include_usage => 1)) for qw(large small large unknown);
    is $t->left('here'), $LIMIT - 2 * $charged{large} - $charged{small} - $charged{unknown}, 'pays for each at its prices';
};

subtest 'a reservation' => sub {
    $t->new_client;
    my %held = map { $_ => $t->ask("/here/$path", chat(model => $_, max_tokens => 100))->{headers}{'x-held'} } 'large', 'small', 'other';
    is $held{large}, 3 * estimate() + 1500, 'is weighed at the prices of its model';
    is $held{small}, 207, 'rounded up';
    is $held{other}, estimate() + 100, 'or as total, where the variable is empty';
};

subtest 'a malformed value' => sub {
    my $before = () = $t->nginx->error_log =~ /invalid count/g;
    is $before, 0, 'nothing was malformed before';
    for my $policy (qw(here unheld strict)) {
        $t->new_client;
        $t->ask("/$policy/$path", chat(model => 'broken'));
        is $t->left($policy), $LIMIT - 107, "$policy: counts as total";
        my @lines = grep { /invalid count .* of policy "$policy"/ } split /\n/, $t->nginx->error_log;
        is @lines, 1, 'is logged once for the request';
        like $lines[0], qr/\[error\].* invalid count "input:three" of policy "$policy": a weight is a number .*; mistakes so far: 1\b/,
            'and says what is wrong';
    }
};

subtest 'a variable of the answer' => sub {
    $t->new_client;
    $t->ask("/answer/$path", chat(max_tokens => 50));
    is $t->left('answer'), $LIMIT - 7000, 'is read again when the answer has ended, if it is volatile';
};

subtest 'a reload' => sub {
    $t->new_client;
    my $stream = $t->begin("/here/$path&gate=reload", chat(model => 'large', stream => 1, include_usage => 1));
    is $stream->head, 200, 'comes while a stream runs';
    $t->nginx->reload;
    get($t->model->port, '/next?gate=reload') for 1 .. 20;
    $stream->finish;
    $t->ask("/here/$path", chat(model => 'small'));
    my $left = $LIMIT - $charged{large} - $charged{small};
    is $t->left_at_last($left, 'here'), $left, 'both are charged at their prices';
};

done_testing;
