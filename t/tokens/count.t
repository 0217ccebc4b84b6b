# count= says what a policy counts as one token: all, input, output, or weights; the sum is rounded up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Tokens;

my $LIMIT = 1_000_000;

# The charge for 100 tokens of input, 30 of them cached, and 7 of output, by parameters.
my %counted = (
    total      => ['', 107],
    said       => ['count=total', 107],
    input      => ['count=input', 100],
    output     => ['count=output', 7],
    weights    => ['count=input:1,output:4', 128],
    discount   => ['count=input:1,output:4,cached_input:0.1', 70 + 28 + 3],
    any_order  => ['count=cached_input:0.1,output:4,input:1', 101],
    free_cache => ['count=input:1,output:1,cached_input:0', 77],
    cache_only => ['count=cached_input:2', 60],
    tiny       => ['count=output:0.001', 1],
    third      => ['count=input:0.333,output:0.333', 36],     # 35.631
    exact      => ['count=input:0.5,output:2', 64],
    just_above => ['count=input:0.5,output:2.000000001', 65],
    dear       => ['count=output:1000', 7000],
    prices     => ['count=input:2.5,output:10,cached_input:1.25', 283],    # 175 + 70 + 37.5
);
my @names = sort keys %counted;

my $t = AiLimit::Tokens->start(
    left => \@names,
    policies => join('', map { "ai_limit_policy $_ key=\$http_x_key rate=1t/month burst=$LIMIT $counted{$_}[0] reserve=max;\n" } @names),
    locations => join('', map { "location /$_/ { ai_limit $_; proxy_pass http://model/; }\n" } @names)
        . 'location /all/ { ai_limit ' . join(' ', @names) . '; proxy_pass http://model/; }',
);

my $wishes = 'prompt_tokens=100&cached_tokens=30&completion_tokens=7';
for my $name (@names) {
    $t->new_client;
    $t->ask("/$name/v1/chat/completions?$wishes", chat());
    is $t->left($name), $LIMIT - $counted{$name}[1], $counted{$name}[0] || 'without count=';
}

$t->new_client;
my $answer = $t->ask("/all/v1/messages?$wishes", chat(stream => 1));
is usage_of($answer), 'in=100 out=7 cached=30 total=107 source=response', 'the log has tokens, not weights';
is_deeply {map { $_ => $t->left($_) } @names}, {map { $_ => $LIMIT - $counted{$_}[1] } @names},
    'each policy counts in its own way';

subtest 'no use costs nothing' => sub {
    $t->new_client;
    $t->ask('/output/v1/embeddings?prompt_tokens=500', '{"model":"m","input":"Hi"}');
    is $t->left('output'), $LIMIT, 'embeddings have no output';
    $t->ask('/input/v1/embeddings?prompt_tokens=500', '{"model":"m","input":"Hi"}');
    is $t->left('input'), $LIMIT - 500, 'but input';
};

$t->stop;
done_testing;
