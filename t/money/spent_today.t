# Tests what the API says of today's charges by policy, by key and by model: exact over workers, reloads and restarts.

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

my $CHAT = '/v1/chat/completions';

# By this time zone it is about noon, so no day ends while the test runs.
my $tz = sprintf '%+03d:00', 12 - (gmtime)[2];

my $t = AiLimit::Tokens->start(
    workers => 2,
    left => ['spend'],
    files => {'prices.json' => '{"large":{"input_cost_per_token":2e-6,"output_cost_per_token":4e-6,"cache_read_input_token_cost":1e-6},'
        . '"small":{"input_cost_per_token":1e-6,"output_cost_per_token":1e-6}}'},
    policies => <<"CONF",
    ai_limit_zone zone=ai:1m state=%%DIR%%/ai.state;
    ai_limit_zone zone=tokens:1m;
    ai_limit_prices prices.json unknown=free;
    ai_limit_policy spend  zone=ai     key=\$http_x_key rate=100usd/d algorithm=fixed_window tz=$tz;
    ai_limit_policy team   zone=ai     key=team         rate=100usd/d algorithm=fixed_window tz=$tz;
    ai_limit_policy tokens zone=tokens key=\$http_x_key rate=1Gt/d algorithm=fixed_window tz=$tz count=output;
CONF
    locations => <<'CONF',
    location / { ai_limit spend team tokens; proxy_pass http://model; }
    location /tokens/ { ai_limit tokens; proxy_pass http://model/; }
    location /ai_limit/ { ai_limit_api; }
CONF
);
my $api = AiLimit::Api->new($t->port);

sub ask {
    my ($model, $wishes, $path) = @_;
    # Each on a connection of its own, so that both workers answer.
    return $t->ask(($path // '') . "$CHAT?$wishes", chat(model => $model), headers => [Connection => 'close']);
}

# {model => what /status says of it}.
sub models { return {map { $_->{model} => $_ } @{$api->status->{models}{list}}} }

my $used = 'prompt_tokens=100&completion_tokens=10&cached_tokens=40';
ask('large', $used) for 1 .. 20;
ask('small', $used) for 1 .. 10;
$t->new_client;
ask('large', $used) for 1 .. 5;
ask('large', "$used&answers=small");
ask('made-up', $used);
ask('small', $used, '/tokens');
ask("bad\n\"$_", "$used&status=500") for 1 .. 3;

# 60 tokens of input, 40 of a cache, 10 of output.
my ($large, $small) = (60 * 2 + 40 + 10 * 4, 110);
my ($first, $second) = (20 * $large + 10 * $small, 5 * $large + $small);
my $millionths = sub { sprintf '%.0f', 1e6 * $_[0] };

sub check {
    my ($when, %o) = @_;
    my ($status, $metrics) = ($api->status, $api->metrics);
    for my $name (qw(spend team)) {
        my ($policy) = grep { $_->{name} eq $name } @{$status->{policies}};
        is $millionths->($policy->{money}{spent_today}), $first + $second, "$when: $name has charged today";
        is $millionths->($metrics->{qq(ai_limit_cost_usd_today{policy="$name"})}), $first + $second, "$when: a metric says so";
    }
    my $models = models();
    is $status->{models}{tz}, $tz, "$when: the days of models are those of the policies";
    my %expected = (
        large => [25, 2500, 1000, 250, 25 * $large],
        small => [12, 1200, 480, 120, 12 * $small],
        'made-up' => [1, 100, 40, 10, 0],
    );
    is_deeply [sort keys %$models], [sort keys %expected], "$when: models that were charged, and no others";
    for my $model (sort keys %expected) {
        for my $part (qw(today total)) {
            my $use = $models->{$model}{$part};
            is_deeply [@$use{qw(answers input cached_input output)}, $millionths->($use->{spent})], $expected{$model}, "$when: $model $part";
        }
        is $metrics->{qq(ai_limit_model_answers_total{model="$model"})}, $expected{$model}[0], "$when: $model, as a metric";
    }
    return ($status, $metrics);
}

my ($status, $metrics) = check('at first');
is $api->policy('tokens')->{tokens}{charged_today}, 38 * 10, 'a policy in tokens counts what it charges';
cmp_ok $metrics->{'ai_limit_charged_tokens_total{policy="tokens"}'}, '==', 380, 'a metric says so';
is $metrics->{'ai_limit_model_tokens_total{model="large",type="cached_input"}'}, 1000, 'tokens of a model by type';
is $millionths->($metrics->{'ai_limit_model_cost_usd_total{model="large"}'}), 25 * $large, 'the cost of a model';
is $millionths->($metrics->{'ai_limit_model_cost_usd_today{model="large"}'}), 25 * $large, 'today';
is_deeply [map { $millionths->($_->{count}) } @{$api->policy('spend')->{top_keys}{money_today}}], [$first, $second],
    'keys by what they have spent today';
ok !exists $api->policy('tokens')->{top_keys}{money_today}, 'of policies in dollars alone';

$t->nginx->reload;
check('after a reload');
is scalar @{$api->policy('spend')->{top_keys}{money_today}}, 2, 'keys too';

$t->stop(graceful => 1);
$t->nginx->launch;
my $spent = $api->policy('spend')->{money};
is $millionths->($spent->{spent_today}), $first + $second, 'after a restart with a state file: today';
is $millionths->($spent->{spent}), $first + $second, 'and in total';
is models()->{large}{today}{answers}, 25, 'and of models';
is_deeply $api->policy('spend')->{top_keys}{money_today}, [], 'keys that stand out begin anew';
ask('large', $used);
is models()->{large}{today}{answers}, 26, 'and it goes on';

$t->stop;
done_testing;
