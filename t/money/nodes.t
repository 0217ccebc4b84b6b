# Tests that nodes which count together in Redis share a budget in dollars, and that a restart forgets nothing of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;
use AiLimit::Tokens;

AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';

my $redis = AiLimit::Redis->start;
my @names = qw(strict timed);

sub start_node {
    return AiLimit::Tokens->start(
        left => [@names, 'here'],
        files => {'prices.json' => '{"large":{"input_cost_per_token":3e-6,"output_cost_per_token":15e-6},"small":{"input_cost_per_token":1e-7}}'},
        policies => 'ai_limit_zone zone=ai:1m state=%%DIR%%/state;' . <<"CONF",
    ai_limit_prices prices.json;
    ai_limit_redis @{[$redis->url]} timeout=30s connect_timeout=30s sync=off;
    ai_limit_policy strict key=\$http_x_key rate=1usd/12month algorithm=fixed_window reserve=0 sync=strict;
    ai_limit_policy timed  key=\$http_x_key rate=1usd/12month algorithm=fixed_window reserve=0 sync=20ms;
    ai_limit_policy here   key=\$http_x_key rate=1usd/12month algorithm=fixed_window reserve=0;
CONF
        locations => join('', map { "location /$_/ { ai_limit $_; proxy_pass http://model/; }" } @names, 'here')
            . 'location /dry_run/ { ai_limit strict timed; ai_limit_dry_run on; proxy_pass http://model/; }',
    );
}
my @nodes = map { start_node() } 1 .. 2;

# Asks a node for 0.3 dollars' worth of a model, or 0.01.
sub spend {
    my ($node, $policy, $model) = @_;
    return $nodes[$node]->ask("/$policy/v1/chat/completions?prompt_tokens=100000&completion_tokens=0&text=", chat(model => $model))->{status};
}

for my $policy (@names) {
    is_deeply [map { spend($_, $policy, 'large') } 0, 1, 0], [200, 200, 200], "$policy: each node spends";
    ok wait_until(sub { $nodes[1]->left($policy) eq '0.1' }), 'and both know the sum';
    is spend(1, $policy, 'small'), 200, 'a cheap model';
    ok wait_until(sub { $nodes[0]->left($policy) eq '0.09' }), 'has its own price on each';
    spend(0, $policy, 'large');
    ok wait_until(sub { spend(1, $policy, 'small') == 429 }), 'a node refuses when the other has spent the rest';
}

$_->new_client for @nodes;
for my $policy (@names) {
    spend(0, $policy, 'large');
    is spend(1, $policy, 'unheard-of'), 403, "$policy: a model without a price is refused";
    is spend(1, 'dry_run', 'unheard-of'), 200, 'but not on a dry run';
    ok wait_until(sub { $nodes[1]->left($policy) eq '0.7' }), 'and costs nothing';
}

is spend(0, 'here', 'large'), 200, 'a budget of one node';
$nodes[0]->nginx->stop;
$nodes[0]->nginx->launch;
is $nodes[0]->left('here'), '0.7', 'is spent over a restart';

$_->stop for @nodes;
done_testing;
