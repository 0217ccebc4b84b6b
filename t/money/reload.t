# Tests that a reload changes the prices of requests that begin after it, and of no others, and that a bad price file
# changes nothing. STREAMS=n for another number of requests under way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';

use constant STREAMS => $ENV{STREAMS} // 50;

my $CHAT = '/v1/chat/completions';
my $t = AiLimit::Tokens->start(
    workers => 2,
    expect_trouble => qr/ai_limit_prices/,
    left => ['spend'],
    files => {'prices.json' => '{"m":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6}}'},
    policies => "ai_limit_prices prices.json;\nai_limit_policy spend key=\$http_x_key rate=100usd/month algorithm=fixed_window;\n",
    locations => 'location / { ai_limit spend; proxy_pass http://model; proxy_read_timeout 1h; }',
);

my @streams = map { $t->begin("$CHAT?gate=g$_&prompt_tokens=1000&completion_tokens=1000", chat(model => 'm', stream => 1, include_usage => 1)) }
    1 .. STREAMS;
$_->wait_for_body(qr/Hello/) for @streams;
$t->nginx->write_file('prices.json', '{"m":{"input_cost_per_token":1e-3,"output_cost_per_token":1e-3}}');
$t->nginx->reload;
is $t->ask("$CHAT?prompt_tokens=1000&completion_tokens=1000", chat(model => 'm', max_tokens => 1))->{log}{cost}, '2', 'a new request has the new price';
for my $i (1 .. STREAMS) {
    get($t->model->port, "/next?gate=g$i") for 1 .. 10;
}
my %costs;
for my $stream (@streams) {
    $stream->finish;
    $costs{$t->logged($stream)->{cost}}++;
}
is_deeply \%costs, {'0.003' => STREAMS}, 'requests under way have the price that was there when they began';
is $t->left_at_last(98 - STREAMS * 0.003, 'spend'), 98 - STREAMS * 0.003, 'in the same budget';

$t->nginx->write_file('prices.json', '{"m":{"input_cost_per_token":');
$t->nginx->signal('HUP');
$t->nginx->wait_for_log(qr/\[emerg\].*ai_limit_prices/);
is $t->ask("$CHAT?prompt_tokens=1000&completion_tokens=0&text=", chat(model => 'm', max_tokens => 1))->{log}{cost}, '1', 'a bad file keeps the old prices';
$t->nginx->write_file('prices.json', '{"m":{"input_cost_per_token":1e-3}}');    # good again
$t->stop;

# A limit of a key outlives a reload after which its policy counts something else.
my %plans = (left => ['plan'], locations => 'location / { ai_limit plan; proxy_pass http://model; } location /ai_limit/ { ai_limit_api write=on; }');
my $plan = 'ai_limit_policy plan key=$http_x_key rate=$http_x_rate;';
my $other = AiLimit::Tokens->start(%plans, files => {'prices.json' => '{"m":{"input_cost_per_token":1e-6}}'}, policies => "ai_limit_prices prices.json; $plan");
my $ask = sub { $other->ask("$CHAT?prompt_tokens=1000&completion_tokens=0&text=", chat(model => 'm', max_tokens => 1), headers => ['X-Rate' => '100kt/month']) };
my $api = AiLimit::Api->new($other->port);
for my $case (['50usd/d', 'in dollars, without prices', $plan], ['50kt/d', 'in tokens, of a policy in requests', 'ai_limit_policy plan key=$http_x_key rate=60kr/h;']) {
    my ($rate, $name, $policy) = @$case;
    $other->new_client;
    is +($api->key(PUT => "policy=plan&key=@{[$other->key]}&rate=$rate&ttl=1h"))[0], 200, "a limit of a key $name";
    is $ask->()->{status}, 200, 'counts';
    $other->nginx->reload(http => $other->conf(%plans, policies => $policy));
    is_deeply [map { $ask->()->{status} } 1 .. 2], [200, 200], 'and is ignored after a reload that changes the policy';
    is_deeply [($api->key(GET => "policy=plan&key=@{[$other->key]}"))[1]{override}, $api->status->{overrides}], [undef, []], 'nor does the API show it';
    $other->nginx->reload(http => $other->conf(%plans, policies => "ai_limit_prices prices.json; $plan"));
}
$other->stop;
done_testing;
