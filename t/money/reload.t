# Tests that a reload changes the prices of requests that begin after it, and of no others, and that a bad price file
# changes nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';

use constant STREAMS => 50;

my $CHAT = '/v1/chat/completions';
my $t = AiLimit::Tokens->start(
    workers => 2,
    expect_trouble => qr/ai_limit_prices/,
    left => ['spend'],
    files => {'prices.json' => '{"m":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6}}'},
    policies => "ai_limit_prices prices.json;\nai_limit_policy spend key=\$http_x_key rate=100usd/month algorithm=fixed_window;\n",
    locations => 'location / { ai_limit spend; proxy_pass http://model; }',
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
$t->nginx->write_file('prices.json', '{"m":{"input_cost_per_token":1e-3}}');
$t->stop;
done_testing;
