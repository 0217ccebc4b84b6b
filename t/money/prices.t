# Budgets in dollars: what each request costs, by which price, and what a client is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';

my $CHAT = '/v1/chat/completions';

my $prices = <<'JSON';
{
    "sample_spec": {"input_cost_per_token": "a number"},
    "large": {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6, "cache_read_input_token_cost": 3e-7,
        "input_cost_per_token_above_200k_tokens": 6e-6, "input_cost_per_token_priority": 5e-6, "mode": "chat"},
    "small": {"input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7},
    "tiers": {"input_cost_per_token": 2e-6, "input_cost_per_token_flex": 1e-6},
    "azure/other": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
}
JSON
my $own = '{"small": {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}}';

my $t = AiLimit::Tokens->start(
    left => [qw(spend tokens)],
    files => {'prices.json' => $prices, 'own.json' => $own, 'no-price.html' => "a page of our own\n"},
    policies => <<'CONF',
    ai_limit_prices prices.json provider=azure;
    ai_limit_prices own.json;
    ai_limit_policy spend  key=$http_x_key rate=1usd/month algorithm=fixed_window reserve=max;
    ai_limit_policy team   key=team rate=1kusd/month algorithm=fixed_window;
    ai_limit_policy tokens key=$http_x_key rate=100Mt/month;
    ai_limit_policy slots  key=$http_x_key concurrency=10;
    ai_limit_policy tried  key=$http_x_key rate=1usd/month dry_run;
    ai_limit_policy cut    key=$http_x_key rate=0.001usd/month overrun=cut;
    map $http_x_rate $rate { default $http_x_rate; }
    ai_limit_policy rates  key=$http_x_key rate=$rate;
CONF
    locations => <<'CONF',
        location / { ai_limit spend; proxy_pass http://model; }
        location /layers/ { ai_limit spend team tokens slots; proxy_pass http://model/; }
        location /free/ { proxy_pass http://model/; }
        location /cut/ { ai_limit cut; ai_limit_include_usage on; proxy_pass http://model/; }
        location /remaining/ { ai_limit spend; ai_limit_max_output remaining; proxy_pass http://model/; }
        location /rates/ { ai_limit rates; proxy_pass http://model/; }
        location /estimated/ { ai_limit spend; ai_limit_unreadable_body estimate; proxy_pass http://model/; }
        location /status/ { ai_limit spend; ai_limit_status 429 blocked=451; proxy_pass http://model/; }
        location /dry_run/ { ai_limit spend tokens; ai_limit_dry_run on; proxy_pass http://model/; }
        location /tried/ { ai_limit tried tokens; proxy_pass http://model/; }
        location /page/ {
            ai_limit spend slots;
            error_page 403 = /other;
            location /page/named/ { error_page 403 = @other; proxy_pass http://model/; }
            location /page/own/ { error_page 403 /no-price.html; proxy_pass http://model/; }
            proxy_pass http://model/;
        }
        location /other { ai_limit spend; proxy_pass http://model/v1/chat/completions; }
        location @other { recursive_error_pages on; error_page 403 = @other; ai_limit spend; rewrite ^ /v1/chat/completions break; proxy_pass http://model; }
        location = /no-price.html { ai_limit spend; root %%DIR%%; }
        location /ai_limit/ { ai_limit_api; }
CONF
);

# Asks a model that uses so much -> the response.
sub used {
    my ($model, $in, $out, %o) = @_;
    # What says nothing has used no output.
    $o{text} = '' if $out == 0;
    my $wishes = join '&', "prompt_tokens=$in", "completion_tokens=$out", map { "$_=$o{$_}" } grep { !/^(?:path|body)$/ } sort keys %o;
    return $t->ask(($o{path} // $CHAT) . "?$wishes", chat(model => $model, max_tokens => 1, %{$o{body} // {}}));
}
# Returns the dollars that are left to the client.
sub left { return $t->left('spend') }
sub cost { return used(@_)->{log}{cost} }

subtest 'what a request costs' => sub {
    $t->new_client;
    is cost('large', 1000, 200, cached_tokens => 400), '0.00492', '600 * 3 + 400 * 0.3 + 200 * 15 millionths';
    is left(), '0.99508', 'is charged';
    is cost('small', 1001, 200), '0.000181', 'another model has the prices of the later file: 1001 * 0.1 + 200 * 0.4, rounded up';
    is left(), '0.994899', 'in the same budget';
    is cost('large', 200_000, 0), '0.6', 'up to 200,000 tokens of input';
    $t->new_client;
    is cost('large', 200_001, 1), '1.200021', 'above, the whole costs more';
    is left(), '0', 'nothing is left';
};

subtest 'which model' => sub {
    $t->new_client;
    is cost('small', 1000, 0, answers => 'large'), '0.003', 'the one that the answer names';
    is cost('small', 1000, 0, answers => 'unheard-of'), '0.0001', 'otherwise that of the request';
    is cost($_, 1000, 0), '0.003', $_ for qw(large-2026-05-01 large-20260501 large@20260501);
    is cost('other', 1000, 0), '0.001', 'with a provider in front';
    is cost('azure/other-2026-05-01', 1000, 0), '0.001', 'which may be there';
    is used($_, 1000, 0)->{status}, 403, "'$_' is another model" for qw(Large large-2 large-2026-05 xlarge large-2026-05-01-x), 'large ';
};

subtest 'a response that is fetched again' => sub {
    my $used = 'prompt_tokens=1000&completion_tokens=200&answers=unheard-of';
    my $ask = sub { my ($id, $path, $body) = @_; $t->ask("/v1/responses$path?$used&id=$id" . (defined $body ? '&background=1' : ''), $body) };
    $t->new_client;
    $ask->('resp_1', '', '{"model":"large","input":"Hi","background":true}');
    my $log = $ask->('resp_1', '/resp_1')->{log};
    is left(), '0.994', 'has the price of the request that made it: 1000 * 3 + 200 * 15 millionths';
    is "$log->{source} " . ($log->{cost} > 0.005 ? 1 : 0), 'response 1', 'which the log shows, without what was charged before';
    $ask->('resp_1', '/resp_1');
    is left(), '0.994', 'once';
    $ask->('resp_2', '/resp_2');
    is left(), '0.994', 'one that nobody has made here has no price';
    $t->new_client;
    $ask->('resp_1', '/resp_1');
    is left(), '0.994', 'another client pays that price, too';
    $ask->('resp_3', '', '{"model":"large","input":"Hi","background":true}');
    $t->nginx->reload;
    $ask->('resp_3', '/resp_3');
    is left(), '0.988', 'and a reload keeps it';
};

subtest 'the service tier' => sub {
    $t->new_client;
    is cost('large', 1000, 0, tier => 'priority'), '0.005', 'of the answer';
    is cost('large', 1000, 0, tier => 'default', body => {service_tier => 'priority'}), '0.003', 'goes before that of the request';
    is cost('large', 1000, 0, body => {service_tier => 'priority'}), '0.005', 'which counts if the answer names none';
    is cost('tiers', 1000, 0, body => {service_tier => 'flex'}), '0.002', 'a request gets no cheaper price by asking for it';
    is cost('tiers', 1000, 0, tier => 'flex'), '0.001', 'but by the answer';
    is cost('small', 1000, 0, tier => 'priority'), '0.0001', 'a model without a price for it has one price';
};

subtest 'what is reserved' => sub {
    $t->new_client;
    my $stream = $t->begin("$CHAT?gate=g", chat(model => 'large', stream => 1, include_usage => 1, max_tokens => 1000));
    $stream->head;
    is left(), sprintf('%g', 1 - estimate() * 3e-6 - 1000 * 15e-6), 'the price of the estimate and of the output';
    $stream->abort;
};

subtest 'a refusal' => sub {
    $t->new_client;
    used('large', 100_000, 50_000);
    my $refused = used('small', 1, 1);
    is $refused->{status}, 429, 'a dollar is used up, also for a cheap model';
    is $refused->{headers}{'x-ratelimit-limit'}, '1', 'the limit is in dollars';
    is $refused->{headers}{'x-ratelimit-remaining'}, '0', 'and so is the rest';
    my $message = decode_json($refused->{body})->{error}{message};
    like $message, qr/\b1 USD\b/, 'the message says so';
    unlike $message, qr/token/, 'and speaks of no tokens';
};

subtest 'a model without a price' => sub {
    $t->new_client;
    my $refused = used('unheard-of', 1, 1);
    is $refused->{status}, 403, 'is refused';
    like decode_json($refused->{body})->{error}{message}, qr/no price for this model/, 'and the client is told why';
    is $refused->{headers}{'x-should-retry'}, 'false', 'that no retry helps';
    is $refused->{headers}{'cache-control'}, 'no-store', 'and that no cache may keep it';
    is $refused->{headers}{'x-ratelimit-remaining'}, '1', 'and what remains for other models';
    is "$refused->{log}{result} $refused->{log}{policy}", 'REJECTED spend', 'the access log names the policy';
    like $t->nginx->error_log, qr/limiting requests, policy: "spend", key: "cl[^"]+", retry after: never, no price for model "unheard-of",/,
        'the error log also the key and the model';
    is $t->ask($CHAT, '{"messages":[{"role":"user","content":"Hi"}]}')->{status}, 403, 'so is a request without a model';
    like $t->nginx->error_log, qr/retry after: never, no price without a model,/, 'of which the log says so';
    is $t->ask('/v1/models')->{status}, 200, 'one without a body passes';
    is $t->ask('/raw', undef, method => 'POST', headers => ['Content-Length' => 0])->{status}, 200,
        'also by a method that may have one';
    for my $path ('/v1beta/models/unheard-of:generateContent', '/openai/deployments/unheard-of/chat/completions', '/model/unheard-of/converse') {
        is $t->ask($path, undef, method => 'POST', headers => ['Content-Length' => 0])->{status}, 403, "but not where its path names the model: $path";
    }
    my $evil = "a\"\n\x{7f}" x 20_000;
    is $t->ask($CHAT, chat(model => $evil))->{status}, 403, 'a long name of any characters is just another name';
    is $t->ask($CHAT, chat(model => "large\0"))->{status}, 403, 'also one that is a name and a zero';
    unlike $t->nginx->error_log, qr/a"\n/, 'and comes into no log as it is';
    is $t->ask("/estimated$CHAT", '{"model":"large","Model":"unheard-of","messages":[]}')->{status}, 403, 'and one whose names disagree';
    is left(), '1', 'nothing of it is charged';
    is used('unheard-of', 1, 1, path => "/layers$CHAT")->{status}, 403, 'in layers, too';
    my $api = AiLimit::Api->new($t->port);
    is_deeply [map { $api->policy($_)->{requests}{rejected} } qw(team tokens slots)], [1, 0, 0], 'where only policies in money count it';
};

subtest 'the status of a refusal without a price' => sub {
    $t->new_client;
    my $refused = used('unheard-of', 1, 1, path => "/status$CHAT");
    is $refused->{status}, 451, 'is that of what is blocked';
    is decode_json($refused->{body})->{error}{code}, 'access_denied', 'with the same name for the error';
    is $refused->{headers}{'x-should-retry'}, 'false', 'and the same headers';
};

subtest 'a dry run of a refusal without a price' => sub {
    my $api = AiLimit::Api->new($t->port);
    for (['dry_run', 'spend', '100000000'], ['tried', 'tried', '99999987']) {
        my ($where, $policy, $tokens) = @$_;
        $t->new_client;
        my $before = $api->policy($policy)->{requests};
        my $answer = used('unheard-of', 6, 7, path => "/$where$CHAT");
        is $answer->{status}, 200, "$where: lets it pass";
        is "$answer->{log}{result} $answer->{log}{policy}", "REJECTED_DRY_RUN $policy", 'and says that it would not';
        like $t->nginx->error_log, qr/policy: "$policy", key: "cl[^"]+", retry after: never, no price for model "unheard-of", dry run,/, 'in the log as well';
        my $after = $api->policy($policy)->{requests};
        is $after->{rejected_dry_run} - $before->{rejected_dry_run}, 1, 'and in the counts';
        is $answer->{headers}{'x-should-retry'}, undef, 'the client is told nothing';
        is left(), '1', 'and no dollars are charged';
        is $t->left('tokens'), $tokens, 'other policies are charged as if it had been refused';
        is used('small', 1000, 0, path => "/$where$CHAT")->{log}{result}, 'PASSED', 'a model with a price passes';
    }
};

subtest 'error_page of a refusal without a price' => sub {
    $t->new_client;
    for my $path ('/page', '/page/named') {
        my $refused = used('unheard-of', 100, 100, path => "$path$CHAT");
        is $refused->{status}, 403, "$path: does not lead to a model that costs nothing";
        like decode_json($refused->{body})->{error}{message}, qr/no price for this model/, 'the client is told why';
    }
    my $page = used('unheard-of', 1, 1, path => "/page/own$CHAT");
    is "$page->{status} $page->{body}", "403 a page of our own\n", 'but to a page';
    is $page->{headers}{'x-should-retry'}, 'false', 'with the headers of the refusal';
};

subtest 'with tokens and slots in one decision' => sub {
    $t->new_client;
    my $answer = used('large', 1000, 0, path => "/layers$CHAT");
    is $answer->{status}, 200, 'a request passes';
    is left(), '0.997', 'and is charged in dollars';
};

subtest 'without a policy' => sub {
    is cost('large', 1000, 0, path => "/free$CHAT"), '0.003', 'the log has the cost';
    is cost('unheard-of', 1000, 0, path => "/free$CHAT"), '0', 'and 0 where there is no price';
};

subtest 'overrun=cut' => sub {
    $t->new_client;
    my $cut = $t->ask("/cut$CHAT?size=400000", chat(model => 'large', stream => 1));
    like $cut->{body}, qr/"finish_reason":"length".*\[DONE\]/s, 'a stream ends where the dollars end';
    cmp_ok abs($cut->{log}{cost} - 0.001), '<', 0.0002, 'within an event or two';
};

subtest 'ai_limit_max_output remaining' => sub {
    $t->new_client;
    my $answer = used('large', 10, 10, path => "/remaining$CHAT", obeys => 1_000_000, body => {max_tokens => 1_000_000});
    is $answer->{status}, 200, 'a request that asks for more than a dollar passes';
    cmp_ok $answer->{log}{out}, '<=', 1 / 15e-6, 'since its output is lowered to what a dollar buys';
    cmp_ok $answer->{log}{out}, '>', 66_000, 'to no less than that';
};

subtest 'a rate in a variable' => sub {
    $t->new_client;
    my $ask = sub { $t->ask("/rates$CHAT?prompt_tokens=1000&completion_tokens=0", chat(model => 'large', max_tokens => 1), headers => ['X-Rate' => $_[0]]) };
    is $ask->('2usd/month')->{headers}{'x-ratelimit-limit'}, '2', 'may be in dollars';
    is $ask->('500kt/month')->{headers}{'x-ratelimit-limit'}, '500000', 'or in tokens';
};

$t->stop;
done_testing;
