# Tests that mistakes in ai_limit_prices and in price files fail nginx -t with one line that says what is wrong. A
# correct configuration loads, also with prices that look odd.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Mistakes;
use AiLimit::Nginx;

AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';

my $nginx = AiLimit::Nginx->prepare(http => '', files => {'good.json' => '{"m":{"input_cost_per_token":1e-6}}'});
my $mistakes = AiLimit::Mistakes->new($nginx,
    http   => "HERE\n",
    server => "server {\nHERE\n}\n",
    prices => "ai_limit_prices good.json;\nHERE\n",
    policy => "ai_limit_prices good.json;\nHERE\n",
);
my $spend = 'ai_limit_policy p key=$arg_k rate=1usd/d';

my @mistakes = (
    [http => 'ai_limit_prices;', 'number of arguments'],
    [server => 'ai_limit_prices good.json;', 'not allowed here'],
    [http => 'ai_limit_prices missing.json;', 'missing.json'],
    [http => 'ai_limit_prices .;', 'ai_limit_prices'],
    [http => 'ai_limit_prices good.json unknown;', 'unknown'],
    (map { [http => "ai_limit_prices good.json unknown=$_;", "unknown=$_"] } '', 'maybe', 'Free', '1', '1:', ':1', '1:2:3', '-1:2', '1e3:1', '1,2:3', '0:0'),
    [http => 'ai_limit_prices good.json unknown=free unknown=reject;', 'unknown=reject'],
    [http => 'ai_limit_prices good.json unknown=1:2; ai_limit_prices good.json unknown=1:3;', 'unknown=1:3'],
    [http => 'ai_limit_prices good.json provider=;', 'provider='],
    (map { [http => "ai_limit_prices good.json provider=$_;", "provider=$_"] } 'azure/', '/azure', 'azure,openai', '/'),
    [http => 'ai_limit_prices good.json other.json;', 'other.json'],
    [http => "$spend;", 'ai_limit_prices'],
    [policy => "$spend count=input:1;", 'count=input:1'],
    [policy => "$spend cost=2;", 'cost=2'],
    [policy => "$spend burst=0;", 'burst=0'],
    [policy => "$spend burst=1.0000001;", 'burst=1.0000001'],
    [policy => 'ai_limit_policy p key=$arg_k rate=$2/d;', 'expected dollars as in 2usd/d'],
    [policy => 'ai_limit_policy p key=$arg_k rate=2dollars/d;', 'such as 60r/m or 20usd/d'],
    (map { [policy => "ai_limit_policy p key=\$arg_k rate=$_;", "rate=$_"] } '0.0000001usd/d', '1USD/d', '1usd', '0usd/d', '2Musd/d', '-1usd/d'),
);
$mistakes->is_refused(@$_) for @mistakes;

# The text of a price file, and what the message must have.
my @files = (
    ['', 'empty'],
    ['{"m":{"input_cost_per_token":1e-6', 'price.json'],
    ['[]', 'price.json'],
    ['{"m":{"input_cost_per_token":1e-6}} x', 'price.json'],
    ['[' x 100_000, 'price.json'],
    ['{"m":' . '{"a":' x 100_000, 'price.json'],
    ['{"m":{"input_cost_per_token":-1e-6}}', '"m"'],
    ['{"m":{"input_cost_per_token":1e400}}', 'price.json'],
    ['{"m":{"input_cost_per_token":NaN}}', 'price.json'],
    ['{"m":{"input_cost_per_token":"1e-6"}}', '"m"'],
    ['{"m":{"output_cost_per_token":null}}', '"m"'],
    ['{"m":{"output_cost_per_token":[1]}}', '"m"'],
    ['{"m":{"output_cost_per_token_above_200k_tokens":true}}', '"m"'],
    ['{"m":{"input_cost_per_token":2000}}', '"m"'],
    ['{"m":{"input_cost_per_token":1e-6},"m":{"input_cost_per_token":2e-6}}', '"m"'],
    ['{"m":{"input_cost_per_token":1e-6,"input_cost_per_token":2e-6}}', '"m"'],
    ['{"m":1}', '"m"'],
    ['{"a\n\u0007b":{"input_cost_per_token":-1}}', 'a\x0A\x07b'],
);
for my $file (@files) {
    my ($text, $word) = @$file;
    $nginx->write_file('price.json', $text);
    $mistakes->is_refused(http => 'ai_limit_prices price.json;', $word);
}

truncate $nginx->write_file('large.json', ' '), 100 * 1024 * 1024 or die "large.json: $!";
$mistakes->is_refused(http => 'ai_limit_prices large.json;', 'large.json');

my $uses = 'server { location / { ai_limit p; } }';
$mistakes->is_accepted(@$_) for (
    ['a price file', "ai_limit_prices good.json; $spend; $uses"],
    ['the same unknown= twice', 'ai_limit_prices good.json unknown=free; ai_limit_prices good.json unknown=free;'],
    ['all that unknown= can be', join ' ', map { "ai_limit_prices good.json$_;" } ' unknown=0.15:0.6', ''],
    ['providers', "ai_limit_prices good.json provider=azure provider=vertex_ai unknown=free; $spend burst=2.5 reserve=0.05; $uses"],
    ['rates', join(' ', 'ai_limit_prices good.json;', map { "ai_limit_policy p$_->[0] key=\$arg_k rate=$_->[1];" }
        [1, '0.5usd/h'], [2, '1kusd/month'], [3, '1Musd/d'], [4, '0.000001usd/d']) . ' server { location / { ai_limit p1 p2 p3 p4; } }'],
);
# Prices that are probably wrong -> what the warning must have.
for my $file (
    ['{"m":{"input_cost_per_token":3,"output_cost_per_token":15},"n":{"input_cost_per_token":3}}', '"input_cost_per_token" is above 0.01 USD for one token'],
    ['{"m":{"input_cost_per_token":1e-6,"ouput_cost_per_token":4e-6},"a\n":{"input_cost_per_tokens":1e-6}}', '"ouput_cost_per_token" is ignored: is it a mistake for output_cost_per_token?'],
) {
    $nginx->write_file('price.json', $file->[0]);
    my ($code, $output) = $nginx->test_config(http => 'ai_limit_prices price.json;');
    is $code, 0, 'a price that is probably wrong is accepted';
    my @warnings = grep { /\[(?:warn|error|emerg|alert)\]/ } split /\n/, $output;
    is scalar @warnings, 1, 'with one line' or diag $output;
    like $warnings[0], qr/\[warn\].*ai_limit_prices: price file "[^"]*price\.json": model "m": \Q$file->[1]\E.*; 1 more model has a price to check in /,
        'that says what to check';
}
$nginx->write_file('odd.json', <<'JSON');
{"sample_spec": {"input_cost_per_token": "x"}, "fallback_generalizations": [1],
 "m": {"input_cost_per_token": 0, "tiered_pricing": [{"range": [0, 1], "input_cost_per_token": "x"}], "other": {"a": [[{}]]},
       "search_context_cost_per_query": {"search_context_size_low": 0.03, "search_context_size_medium": 0.035}}}
JSON
$mistakes->is_accepted('unknown fields, models that are none', 'ai_limit_prices odd.json;');
done_testing;
