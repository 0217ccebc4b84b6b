# Coding agents (AiLimit::Agents), each through nginx to a model server that has it run a command: they do their work and
# report the tokens that were counted. Where a request is refused, they wait and do it all the same, or they stop and
# tell their user why.
#
#   AGENTS=name,... KINDS=name,...   only those

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Agents;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

# Seconds. SOME_TIME shows that an agent waits on.
use constant {PATIENCE => 240, SOME_TIME => 60};

my $agents = AiLimit::Agents->install;
my @names = chosen('AGENTS', $agents->names);

# The limit of the requests of a run, and the first request that it refuses.
my %kinds = (
    counted  => {limit => 'rate=1Gt/month'},
    upgrade  => {limit => 'rate=1Gt/month', refuses => 'the upgrade to WebSocket'},
    in_3s    => {limit => 'rate=20r/m burst=1', refuses => 'the second'},
    in_30s   => {limit => 'rate=2r/m burst=1',  refuses => 'the second'},
    in_90s   => {limit => 'rate=40r/h burst=1', refuses => 'the second'},
    in_a_day => {limit => 'rate=1r/d burst=1',  refuses => 'the second'},
    busy     => {limit => 'concurrency=1',      refuses => 'the first'},
    never    => {limit => 'rate=5t/h',          refuses => 'the first'},
    blocked  => {limit => 'rate=$nothing',      refuses => 'the first'},
);

# Each agent's reaction: it does its work in the end (undef), stops with an error that says so, or waits on. The number
# is the most requests that it sends. Only Codex asks for WebSocket.
my %expected = (
    claude => {
        in_3s => [undef, 3], in_30s => [undef, 3], busy => [undef, 6],
        in_90s => [qr/try again in [6-8]\d seconds/, 2], in_a_day => [qr/try again in 86\d+ seconds/, 2],
        never => [qr/can never fit the limit/, 8], blocked => [qr/key is blocked/, 2],
    },
    codex => {
        in_3s => [undef, 3], in_30s => [undef, 3], in_90s => [undef, 3], busy => [undef, 6],
        upgrade => [undef, 3], in_a_day => [qr/quota exceeded/i, 2], never => [qr/Request too large/, 2], blocked => [qr/key is blocked/, 7],
    },
    gemini => {
        in_3s => [undef, 3], in_30s => [undef, 3], in_90s => [undef, 3], busy => [undef, 6],
        in_a_day => [qr/exhausted your daily quota/, 2], never => [qr/can never fit the limit/, 2],
        blocked => [qr/key is blocked/, 2],
    },
    opencode => {
        in_3s => [undef, 3], in_30s => [undef, 3], in_90s => [undef, 3], busy => [undef, 6],
        in_a_day => ['waits', 2], never => [qr/Request too large/, 2],
        blocked => [qr/key is blocked/, 2],
    },
);

sub chosen {
    my ($variable, @all) = @_;
    my %wanted = map { $_ => 1 } split /,/, $ENV{$variable} // join ',', @all;
    return grep { $wanted{$_} } @all;
}

sub location {
    my ($agent, $kind) = @_;
    my ($name, $arguments) = AiLimit::Agents->tool($agent, 'echo done >> result');
    return <<"CONF";
        location /$agent/$kind/ {
            ai_limit ${agent}_$kind;
            ai_limit_include_usage on;
            rewrite ^/\\w+/\\w+/\\d+(/.*) \$1 break;
            proxy_pass http://model;
            proxy_set_header X-Model-Tool $name;
            proxy_set_header X-Model-Arguments '$arguments';
            proxy_set_header X-Model-Prompt-Tokens 321;
            proxy_set_header X-Model-Completion-Tokens 123;
            proxy_set_header X-Model-Cached-Tokens 40;
        }
CONF
}

my $model = AiLimit::ModelServer->start;
# The wait for a slot is learned by each policy, so each agent has its own.
my $policies = join '', map {
    my $agent = $_;
    map { "ai_limit_policy ${agent}_$_ key=\$run $kinds{$_}{limit};\n" } sort keys %kinds
} @names;
my $locations = join '', map { my $agent = $_; map { location($agent, $_) } sort keys %kinds } @names;
my @log = qw($request_uri $status $msec $sent_http_retry_after $ai_limit_input_tokens $ai_limit_output_tokens
    $ai_limit_cached_tokens);
my $nginx = AiLimit::Nginx->start(access_log => "@log", http => sprintf <<'CONF', $model->port, $policies, $locations);
    upstream model { server 127.0.0.1:%d; }
    map $host $nothing { default 0r/m; }
    # AGENT, KIND and the number of the run.
    map $request_uri $run { "~^(?<name>/\w+/\w+/\d+)/" $name; }
    %s

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        ai_limit_headers auto;
        proxy_http_version 1.1;
        proxy_buffering off;
        # Longer than any agent takes to begin.
        proxy_read_timeout 10m;
        client_max_body_size 100m;
        %s
    }
CONF

my %last_run;

sub is_endless { my ($agent, $kind) = @_; return (($expected{$agent}{$kind} // [])->[0] // '') eq 'waits' }

sub start {
    my ($agent, $kind) = @_;
    my $path = "/$agent/$kind/" . ++$last_run{$agent, $kind};
    my $run = {agent => $agent, kind => $kind, path => $path};
    # The first request takes 4 seconds, so a refusal tells 4 or 5.
    get($nginx->port, "$path/v1/models?delay=4000") if $kind eq 'busy';
    $run->{held} = start_request($nginx->port, path => "$path/v1/models?hold_at=1") if $kind eq 'busy';
    $run->{held}->head if $run->{held};
    $run->{process} = $agents->start($agent, url => 'http://127.0.0.1:' . $nginx->port . $path, key => 'sk-test',
        task => 'Run the command', patience => is_endless($agent, $kind) ? SOME_TIME : PATIENCE,
        options => {websocket => $kind eq 'upgrade'});
    return $run;
}

# The requests of a run that have ended: [{status, time, told, input, output, cached}, ...].
sub requests {
    my ($run) = @_;
    my @lines = grep { m{^\Q$run->{path}\E/} && !m{/v1/models\?} } split /\n/, $nginx->access_log;
    return [map { my %r; @r{qw(uri status time told input output cached)} = split / /; \%r } @lines];
}

# Each slot is free 5 seconds after the first refusal.
sub free_slots {
    my (@runs) = @_;
    my $deadline = time + PATIENCE;
    my (@held, %refused) = grep { $_->{held} } @runs;
    while (@held && time < $deadline) {
        for my $run (@held) {
            $refused{$run->{path}} //= time if @{requests($run)};
            delete($run->{held})->abort if time > ($refused{$run->{path}} // time) + 5;
        }
        @held = grep { $_->{held} } @held;
        sleep 0.1;
    }
    return;
}

sub finish {
    my ($run) = @_;
    $run->{end} = $run->{process}->finish;
    # A wait of 3 seconds may be over before an agent asks, on a busy machine.
    my $refused = grep { $_->{status} != 200 } @{requests($run)};
    return $run if $run->{kind} eq 'counted' || $refused || $last_run{$run->{agent}, $run->{kind}} > 2;
    return finish(start($run->{agent}, $run->{kind}));
}

sub works {
    my ($run) = @_;
    is($run->{end}{text}, 'Hello from the model server.', 'it gets the answer')
        or diag("$run->{end}{stdout}\n$run->{end}{stderr}");
    is($run->{process}->file('result'), "done\n", 'and has run the command once');
    return;
}

sub counts {
    my ($run) = @_;
    my %sum;
    for my $request (@{requests($run)}) {
        $sum{$_} += $request->{$_} for qw(input output cached);
    }
    is_deeply($run->{end}{usage}, \%sum, 'it reports the tokens that were counted');
    return;
}

sub waits_as_told {
    my ($requests) = @_;
    my ($refused) = grep { $_->{status} == 429 } @$requests;
    my ($next) = grep { $_->{time} > $refused->{time} } @$requests;
    my $waited = $next->{time} - $refused->{time};
    cmp_ok($waited, '>=', $refused->{told} - 1.1, "it waits $waited s, told $refused->{told}");
    return;
}

sub check {
    my ($run) = @_;
    my $requests = requests($run);
    plan skip_all => 'this machine is too slow for a short wait'
        if $run->{kind} eq 'in_3s' && !grep { $_->{status} == 429 } @$requests;
    my ($words, $most) = @{$expected{$run->{agent}}{$run->{kind}} // [undef, 2]};
    note sprintf '%s: %d requests in %.0f s: %s; %s', $run->{path}, scalar @$requests, $run->{end}{seconds},
        join(' ', map { $_->{status} } @$requests), $run->{end}{text} // $run->{end}{error} // 'nothing';
    cmp_ok(@$requests, '<=', $most, "it sends at most $most requests");
    return ok($run->{end}{timed_out}, 'and waits on') if is_endless(@$run{qw(agent kind)});
    ok(!$run->{end}{timed_out}, 'it ends');
    if ($words) {
        like($run->{end}{error}, $words, 'and tells its user why')
            or diag("$run->{end}{stdout}\n$run->{end}{stderr}");
        return;
    }
    works($run);
    counts($run);
    waits_as_told($requests) if ($kinds{$run->{kind}}{refuses} // '') eq 'the second';
    return;
}

# The long wait goes on beside the others.
my @kinds = chosen('KINDS', sort keys %kinds);
my @long = map { my $kind = $_; map { start($_, $kind) } @names } grep { $_ eq 'in_90s' } @kinds;
for my $kind (grep { $_ ne 'in_90s' } @kinds) {
    my @runs = map { start($_, $kind) } grep { $kind eq 'counted' || $expected{$_}{$kind} } @names;
    free_slots(@runs);
    for my $run (map { finish($_) } @runs) {
        subtest "$run->{agent} $kind" => sub { check($run) };
    }
}
for my $run (map { finish($_) } @long) {
    subtest "$run->{agent} in_90s" => sub { check($run) };
}
$nginx->stop;
done_testing;
