# A policy in money shows dollars wherever an amount is shown: headers, variables, bodies, /keys, /status and /metrics.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Tokens;

my $json = JSON::PP->new;

# Each token costs a millionth of a dollar. The windows of a year do not end while a test runs, but for a moment.
my $t = AiLimit::Tokens->start(
    files => {'prices.json' => '{"test-model":{"input_cost_per_token":1e-6,"output_cost_per_token":1e-6}}'},
    policies => <<'CONF',
    ai_limit_prices prices.json;
    ai_limit_policy spend  key=$http_x_key rate=0.001usd/12month algorithm=fixed_window tz=-01:00 reserve=max;
    ai_limit_policy bucket key=$http_x_key rate=0.5usd/month burst=0.0002 reserve=0.00005usd;
    ai_limit_policy count  key=$http_x_key rate=1Mt/month count=input:1,output:4 burst=500;
    ai_limit_policy plan   key=$http_x_key rate=$http_x_plan burst=5 reserve=off;
CONF
    locations => <<'CONF',
    location /v1/ {
        ai_limit spend; proxy_pass http://model; ai_limit_headers x-ratelimit;
        add_header X-Variables "$ai_limit_limit $ai_limit_remaining $ai_limit_remaining_spend" always;
    }
    location /ietf/      { ai_limit spend;  proxy_pass http://model/; ai_limit_headers ietf; }
    location /openai/    { ai_limit spend;  proxy_pass http://model/; ai_limit_headers openai; ai_limit_error_format openai; }
    location /anthropic/ { ai_limit spend;  proxy_pass http://model/; ai_limit_error_format anthropic; }
    location /json/      { ai_limit spend;  proxy_pass http://model/; ai_limit_error_format json; }
    location /bucket/    { ai_limit bucket; proxy_pass http://model/; ai_limit_error_format json; }
    location /count/     { ai_limit count;  proxy_pass http://model/; }
    location /plan/      { ai_limit plan;   proxy_pass http://model/; ai_limit_headers x-ratelimit; }
    location /ai_limit/  { ai_limit_api write=on; }
CONF
    left => ['spend'],
);
my $api = AiLimit::Api->new($t->port);
my $usage = 'prompt_tokens=700&completion_tokens=107';

sub spend { return $t->ask("/v1/chat/completions?$usage", chat(max_tokens => 10)) }

# The message of a refusal of a request that wants this much output.
sub message {
    my ($path, $output) = @_;
    my $answer = $t->ask("$path/v1/chat/completions", chat(max_tokens => $output));
    my $body = $json->decode($answer->{body});
    return ($body->{message} // $body->{error}{message}) =~ s/\d+(?:\.\d+)?(?= ?s(?:econds)?\b)/N/r;
}

sub figures { my ($answer) = @_; return [@{$answer->{headers}}{qw(x-ratelimit-limit x-ratelimit-remaining)}] }

my $estimate = estimate();

subtest 'headers and variables are in dollars' => sub {
    my $answer = spend();
    is_deeply figures($answer), ['0.001', '0.000977'], 'the limit, and what the reservation leaves of it';
    $answer = spend();
    is_deeply figures($answer), ['0.001', '0.00017'], 'after a request that cost 807 millionths, without zeros at the end';
    is $answer->{headers}{'x-variables'}, '0.001 0.00017 0.00017', 'so in variables';
    $t->new_client;
    spend();
    like $t->ask('/ietf/v1/chat/completions', chat(max_tokens => 1))->{headers}{'ratelimit-policy'}, qr/^"spend";q=1000;w=\d+$/,
        'in millionths where only whole numbers are allowed';
    my $openai = $t->ask('/openai/v1/chat/completions', chat(max_tokens => 1));
    is_deeply [grep { /ratelimit/ } keys %{$openai->{headers}}], [], 'and left out where there are names for requests and tokens alone';
};

subtest 'a refusal says what is left of the budget' => sub {
    $t->new_client;
    spend();
    my $needs = sprintf '0.%06d', $estimate + 500;
    my $left = 'budget of 0.001 USD per 12 months';
    is message('/json', 500), "The $left is used up: this request needs $needs USD, 0.000193 USD is left. Try again in N seconds.", 'plain';
    is message('/anthropic', 500),
        "This request would exceed the $left: it needs $needs USD, 0.000193 USD is left. Please try again in N seconds.", 'of Anthropic';
    is message('/openai', 500), "You exceeded your current $left: Limit 0.001 USD, Used 0.000807 USD, Requested $needs USD."
        . ' Please try again in Ns.', 'of OpenAI';
};

subtest '/keys is in dollars' => sub {
    $t->new_client;
    spend();
    my $query = 'policy=spend&key=' . $t->key;
    my ($code, $said) = $api->key(GET => $query);
    is_deeply [@$said{qw(measure limit remaining used reserved)}], ['money', 0.001, 0.000193, 0.000807, 0], 'what is counted';
    ($code, $said) = $api->key(PUT => "$query&rate=0.002usd/12month&ttl=1h");
    is $code, 200, 'another rate in dollars is taken';
    is_deeply [@$said{qw(limit remaining used)}, $said->{override}{rate}], [0.002, 0.001193, 0.000807, '0.002usd/12month'], 'and shown';
    is figures(spend())->[0], '0.002', 'and holds';
    for my $rate ('600r/12month', '1kt/12month') {
        ($code, $said) = $api->key(PUT => "$query&rate=$rate&ttl=1h");
        is $code, 400, "$rate is not";
        is $said->{error}, 'rate= has another unit than the policy: it is in usd, such as 20usd/d', 'and says why';
    }
    ($code, $said) = $api->key(PUT => 'policy=count&key=' . $t->key . '&rate=5usd/month&ttl=1h');
    is $said->{error}, 'rate= has another unit than the policy', 'no policy in tokens takes dollars';
};

subtest 'burst= and reserve= are dollars' => sub {
    $t->new_client;
    my $answer = $t->ask('/bucket/v1/chat/completions?prompt_tokens=100&completion_tokens=20', chat());
    is $answer->{headers}{'x-ratelimit-limit'}, '0.0002', 'the burst';
    my ($status) = map { $_->{status} } $t->ask('/bucket/v1/chat/completions?prompt_tokens=100&completion_tokens=20', chat());
    is $status, 200, '50 millionths fit beside the 120 that were used';
    is message('/bucket', 1), 'The budget of 0.0002 USD is used up: this request needs 0.00005 USD, 0 USD is left. Try again in N seconds.',
        'then they do not';
};

subtest 'a variable that holds a rate in dollars' => sub {
    $t->new_client;
    my $plan = sub { $t->ask("/plan/v1/chat/completions?$usage", chat(), headers => ['X-Plan' => $_[0]]) };
    is_deeply figures($plan->('20usd/month')), [5, 5], 'has a burst of dollars';
    is_deeply figures($plan->('20usd/month')), [5, 4.999193], 'and is charged by what answers use';
};

subtest '/status and /metrics are in dollars' => sub {
    my $policy = $api->policy('spend');
    is_deeply [@$policy{qw(measure limit tz)}], ['money', '0.001usd/12month', '-01:00'], 'what the configuration says';
    ok !exists $policy->{count}, 'which has no count=';
    is_deeply [@{$api->policy('count')}{qw(measure count burst)}], ['tokens', 'input:1,output:4', '500'], 'other policies have count= and burst=';
    my ($spent, $metrics) = ($policy->{money}{spent}, $api->metrics);
    cmp_ok $spent, '>=', 5 * 0.000807, 'what all keys have spent';
    cmp_ok $metrics->{'ai_limit_cost_usd_total{policy="spend"}'}, '==', $spent, 'is a metric as well';
    ok !exists $metrics->{'ai_limit_cost_usd_total{policy="count"}'}, 'of policies in dollars alone';
    ok !exists $metrics->{qq($_\{policy="spend"})}, "$_ is not of dollars" for qw(ai_limit_reserved_tokens ai_limit_overshoot_tokens_total);
    my ($most) = sort { $b->{count} <=> $a->{count} } @{$policy->{top_keys}{money}};
    cmp_ok $most->{count}, '==', 0.001614, 'the key that has spent most';
    ok !exists $policy->{top_keys}{tokens}, 'is not found by tokens';
};

$t->stop;
done_testing;
