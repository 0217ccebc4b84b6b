# Tests how Prometheus reads /metrics, with conf-examples/prometheus.yml, the alerts and the dashboard.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Prometheus;
use AiLimit::Redis;

my (undef, $promtool) = AiLimit::Prometheus::programs() or plan skip_all => 'there is no Prometheus';
my $examples = "$FindBin::Bin/../../conf-examples";

subtest 'the examples' => sub {
    ok promtool("check config $examples/prometheus.yml"), 'the configuration is one, and so are its rules';
    ok promtool("test rules $FindBin::Bin/alerts_test.yml"), 'each alert fires when it should, and only then';
};

my ($model, $redis) = (AiLimit::ModelServer->start, AiLimit::Redis->start);
my $nginx = AiLimit::Nginx->start(workers => 2, log_level => 'crit', files => {'prices.json' => '{"m":{"input_cost_per_token":1e-6}}'}, http => <<"CONF");
    ai_limit_prices prices.json unknown=1:1;
    ai_limit_zone zone=ai:1m state=%%DIR%%/ai.state;
    ai_limit_zone zone=other:1m;
    ai_limit_redis @{[$redis->url]} timeout=10s connect_timeout=10s sync=off;
    ai_limit_policy few    zone=ai    key=\$http_x_key rate=3r/h warn=50;
    ai_limit_policy tried  zone=ai    key=\$http_x_key rate=1r/h dry_run;
    ai_limit_policy shared zone=ai    key=\$http_x_key rate=3r/h sync=strict;
    ai_limit_policy tokens zone=other key=\$http_x_key rate=100t/h reserve=1;
    ai_limit_policy spend  zone=other key=\$http_x_key rate=0.0001usd/h reserve=0.000001;
    ai_limit_policy slots  zone=other key=\$http_x_key concurrency=2;
    ai_limit_policy turns  zone=other key=\$http_x_key rate=3r/h wait=1s;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /few { ai_limit few tried; empty_gif; }
        location /shared { ai_limit shared; empty_gif; }
        location /turns { ai_limit turns; empty_gif; }
        location /v1/ { ai_limit tokens spend slots; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /ai_limit/ { ai_limit_api; }
    }
CONF
my $api = AiLimit::Api->new($nginx->port);
my $prometheus = AiLimit::Prometheus->start(config(), $nginx->release_port(1));

# The first requests come only after a scrape that has seen none, because a rate needs a value to start from.
ok $prometheus->wait_for(sub { value('up') == 1 && value('sum(ai_limit_requests_total)') == 0 }), 'Prometheus scrapes';
for my $path (qw(/few /shared)) {
    get($nginx->port, $path, 'X-Key' => 'a') for 1 .. 5;
}
post($nginx->port, "/v1/chat/completions?prompt_tokens=90&completion_tokens=40$_", '{"max_tokens":5}', 'X-Key' => 'a',
    'Content-Type' => 'application/json') for '', '&usage=0';
post($nginx->port, '/v1/chat/completions', '{"stream":true,"max_tokens":5}', 'X-Key' => 'b', 'Content-Type' => 'application/json');
my $held = start_request($nginx->port, method => 'POST', path => '/v1/chat/completions?gate=g', body => '{"stream":true}',
    headers => ['Content-Type' => 'application/json', 'X-Key' => 'c']);
$held->head;

subtest 'metrics' => sub {
    my $metrics = $nginx->write_file('metrics', get($nginx->port, '/ai_limit/metrics')->{body});
    ok promtool("check metrics <$metrics"), 'are as Prometheus wants them';
};

subtest 'Prometheus has what /status says' => sub {
    # nginx frees a request a moment after its client has the whole answer.
    ok $prometheus->wait_for(sub { $api->policy('slots')->{in_flight} == 1 }), 'one request has not ended';
    my ($status, $now) = ($api->status, time);
    is_deeply $api->requests($_), [3, 2, 0], "some were refused by $_" for qw(few shared);
    ok $prometheus->wait_for(sub { value('min(timestamp(ai_limit_requests_total))') > $now }), 'it has seen all this';
    for my $policy (@{$status->{policies}}) {
        my ($name, $tokens, $money) = @$policy{qw(name tokens money)};
        my $charged = $money // $tokens;
        is_deeply by('result', "ai_limit_requests_total{policy='$name'}"), $policy->{requests}, "$name: requests";
        is value("ai_limit_in_flight{policy='$name'}"), $policy->{in_flight} // -1, "$name: in flight";
        is value("ai_limit_reserved_tokens{policy='$name'}"), $tokens && !$money ? $tokens->{reserved} : -1, "$name: reserved";
        is value("ai_limit_overshoot_tokens_total{policy='$name'}"), $tokens && !$money ? $tokens->{overshoot} : -1, "$name: overshoot";
        cmp_ok value("ai_limit_cost_usd_total{policy='$name'}"), '==', $money ? $money->{spent} : -1, "$name: spent";
        cmp_ok value("ai_limit_reserved_usd{policy='$name'}"), '==', $money ? $money->{reserved} : -1, "$name: reserved in dollars";
        cmp_ok value("ai_limit_overshoot_usd_total{policy='$name'}"), '==', $money ? $money->{overshoot} : -1, "$name: overshoot in dollars";
        is value("ai_limit_reserve_ratio{policy='$name'}"), $charged && $charged->{reserve_ratio} ? $charged->{reserve_ratio} : -1,
            "$name: what was reserved for each token or dollar";
        is value("ai_limit_usage_missing_total{policy='$name'}"), $charged ? $charged->{usage_missing} : -1, "$name: without usage";
        is_deeply by('type', "ai_limit_tokens_total{policy='$name'}"),
            $tokens ? {map { $_ => $tokens->{$_} } qw(input output cached_input
                cache_write cache_write_1h audio_input reasoning audio_output)} : {}, "$name: tokens";
    }
    for my $zone (@{$status->{zones}}) {
        my $name = $zone->{name};
        is value("ai_limit_zone_$_\{zone='$name'}"), $zone->{$_}, "$name: $_" for qw(entries capacity);
        is_deeply by('kind', "ai_limit_zone_evictions_total{zone='$name'}"), $zone->{evictions}, "$name: evictions";
    }
    is value('ai_limit_state_failed'), 0, 'the state file can be saved';
    ok $prometheus->wait_for(sub { value('ai_limit_state_saved_timestamp_seconds > 0') > 0 }), 'and it is';
    is value('ai_limit_redis_up'), 1, 'Redis is there';
    ok $prometheus->wait_for(sub {
        my ($theirs, $ours) = (by('result', 'ai_limit_redis_commands_total'), $api->status->{redis}{commands});
        return !grep { $theirs->{$_} != $ours->{$_} } keys %$ours;
    }), 'and as many commands were sent';
    cmp_ok value('ai_limit_redis_seconds_count'), '>=', 5, 'which took a time';
};

subtest 'the dashboard' => sub {
    ok $prometheus->wait_for(sub { value('min(count_over_time(ai_limit_model_answers_total[1h]))') >= 2 }),
        'the models, which were not there before, were seen twice: a rate needs that';
    my $dashboard = JSON::PP->new->utf8->decode(slurp("$examples/grafana-dashboard.json"));
    my %there = map { /^# TYPE (\S+)/ ? ($1 => 1) : () } split /\n/, get($nginx->port, '/ai_limit/metrics')->{body};
    my %shown;
    for my $panel (grep { $_->{targets} } @{$dashboard->{panels}}) {
        is $panel->{datasource}{uid}, '${datasource}', "$panel->{title}: of the data source that is chosen";
        for my $target (@{$panel->{targets}}) {
            my @names = map { s/_bucket$//r } $target->{expr} =~ /\b(ai_limit_\w+)/g;
            $shown{$_} = 1 for @names;
            is_deeply [grep { !$there{$_} } @names], [], "$panel->{title}: of metrics that there are";
            my $samples = eval { $prometheus->query(expression($target->{expr})) };
            ok $samples, "$panel->{title}: an expression" or diag $@;
            ok @{$samples // []}, "$panel->{title}: that gives something" or diag $target->{expr};
        }
    }
    delete $there{ai_limit_redis_seconds};    # a name of the last version
    is_deeply [grep { !$shown{$_} } sort keys %there], [], 'no metric is left out';
    my @positions = map { $_->{gridPos} } @{$dashboard->{panels}};
    is_deeply [grep { $_->{x} + $_->{w} > 24 } @positions], [], 'each panel has its place';
    is_deeply [grep { overlaps($_, \@positions) } @positions], [], 'of its own';
};

$held->abort;
$prometheus->stop;
$nginx->stop;
done_testing;

# The example, with this nginx, and scraping as often as a test wants it.
sub config {
    my $text = slurp("$examples/prometheus.yml");
    $text =~ s/127\.0\.0\.1:8080\b/127.0.0.1:@{[$nginx->port]}/ or die 'the example has no target';
    $text =~ s/_interval: 15s/_interval: 1s/g == 2 or die 'the example has no intervals';
    $text =~ s{^  - prometheus-alerts\.yml$}{  - $examples/prometheus-alerts.yml}m or die 'the example has no rules';
    return $nginx->write_file('prometheus.yml', $text);
}

# Returns the expression that Grafana would send.
sub expression {
    my ($text) = @_;
    my %variables = (__rate_interval => '1m', job => 'ai_limit', instance => '.*', policy => '.*');
    return $text =~ s/\$(\w+)/$variables{$1} \/\/ die "$text: \$$1"/ger;
}

# Returns the value of the only sample; -1 if there is not exactly one.
sub value {
    my ($promql) = @_;
    my $samples = $prometheus->query($promql);
    return @$samples == 1 ? $samples->[0][1] : -1;
}

# {label's value => value}
sub by {
    my ($label, $promql) = @_;
    return {map { $_->[0]{$label} => $_->[1] } @{$prometheus->query($promql)}};
}

sub overlaps {
    my ($one, $all) = @_;
    return grep {
        $_ != $one && $_->{x} < $one->{x} + $one->{w} && $one->{x} < $_->{x} + $_->{w}
            && $_->{y} < $one->{y} + $one->{h} && $one->{y} < $_->{y} + $_->{h}
    } @$all;
}

sub promtool {
    my ($command) = @_;
    my $output = qx($promtool $command 2>&1);
    diag $output if $?;
    return $? == 0;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar readline $file;
}
