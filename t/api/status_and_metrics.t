# Tests ai_limit_api as an operator uses it: /status and /metrics.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);

use constant SECRET => 'sk-secret-0123456789abcdef';

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(workers => 2, log_level => 'notice', http => conf());
my $api = AiLimit::Api->new($nginx->port);

subtest 'before anything has happened' => sub {
    my $status = $api->status;
    like $status->{version}, qr/^\d+\.\d+\.\d+$/, 'the version';
    is_deeply [map { $_->{name} } @{$status->{policies}}], [qw(few large tried slots tokens plan plan_tokens)],
        'the policies, in the order of the configuration';
    my ($few) = @{$status->{policies}};
    is_deeply [@$few{qw(zone key algorithm measure limit phase sync)}],
        ['ai', '$http_x_key', 'token_bucket', 'requests', '3r/h', 'access', 'off'], 'one of them';
    is $status->{redis}, undef, 'there is no Redis';
    is $api->zone('ai')->{entries}, 0, 'nothing is in the zone';
    cmp_ok $api->zone('ai')->{capacity}, '>', 10_000, 'which has free entries';
    ok !$status->{write}, 'nothing can be changed here';
};

subtest 'requests' => sub {
    status_of('/few', SECRET) for 1 .. 5;
    status_of('/few', '10.1.2.3');
    is_deeply $api->requests('few'), [4, 2, 0], 'are counted by their result';
    is_deeply $api->requests('large'), [4, 0, 0], 'a policy that would let pass what another refuses has no part in it';
    is_deeply $api->top('few', 'requests'), {"sk-s\x{2026}cdef" => 5, '10.1.2.3' => 1}, 'by key, shortened';
    is_deeply $api->top('few', 'refusals'), {"sk-s\x{2026}cdef" => 2}, 'and those that were refused';
    is $api->zone('ai')->{entries}, 4, 'two keys of two policies';
};

subtest 'a dry run' => sub {
    status_of('/tried', 'a') for 1 .. 3;
    is_deeply $api->requests('tried'), [1, 0, 2], 'of a policy';
    status_of('/dry', 'dry') for 1 .. 5;
    is_deeply $api->requests('few'), [7, 2, 2], 'of a location';
};

subtest 'requests in flight' => sub {
    my @streams = map { stream('gate') } 1 .. 3;
    $_->head for @streams;
    is $api->policy('slots')->{in_flight}, 2, 'are seen';
    is_deeply $api->requests('slots'), [2, 1, 0], 'and that one is refused';
    get($model->port, '/next?gate=gate') for 1 .. 10;
    $_->finish for @streams;
    ok wait_until(sub { $api->policy('slots')->{in_flight} == 0 }), 'until they end';
};

subtest 'tokens' => sub {
    my $held = stream('held', max_tokens => 500);
    $held->head;
    cmp_ok $api->policy('tokens')->{tokens}{reserved}, '>=', 500, 'the reserved tokens are shown';
    get($model->port, '/next?gate=held') for 1 .. 10;
    $held->finish;
    my $before = $api->policy('tokens')->{tokens};
    is $before->{reserved}, 0, 'until its request has ended';
    post($nginx->port, '/v1/chat/completions?prompt_tokens=100&completion_tokens=40', '{}',
        'Content-Type' => 'application/json', 'X-Key' => 'heavy');
    my $after = $api->policy('tokens')->{tokens};
    is $after->{input} - $before->{input}, 100, 'input';
    is $after->{output} - $before->{output}, 40, 'output';
    is $api->top('tokens', 'tokens')->{"h\x{2026}"}, 140, 'and by key';
};

subtest 'why requests are rejected' => sub {
    status_of('/plan', 'blocked', 'X-Plan' => '0r/h') for 1 .. 2;
    is_deeply $api->policy('plan')->{rejections}, {wait => 0, never => 0, blocked => 2}, 'the key is blocked';
    post($nginx->port, '/v1/chat/completions', '{"messages":[{"role":"user","content":"' . 'long' x 1_100 . '"}]}',
        'Content-Type' => 'application/json', 'X-Key' => 'long', 'X-Plan' => '1kt/h');
    is_deeply $api->policy('plan_tokens')->{rejections}, {wait => 0, never => 1, blocked => 0}, 'it can never fit';
    is_deeply $api->policy('few')->{rejections}, {wait => 2, never => 0, blocked => 0}, 'it fits after a wait';
};

subtest 'mistakes in variables' => sub {
    status_of('/plan', 'a', 'X-Plan' => 'nonsense');
    is $api->policy('plan')->{errors}, 1, 'are counted';
    is $api->metrics->{'ai_limit_errors_total{reason="malformed_variable",policy="plan"}'}, 1, 'in the metrics, too, by policy';
    is $api->metrics->{'ai_limit_errors_total{reason="malformed_variable",policy="few"}'}, 0, 'not of another one';
};

subtest 'the versions' => sub {
    my $status = $api->status;
    is $api->metrics->{qq(ai_limit_build_info{version="$status->{version}",nginx="$status->{nginx}"})}, 1, 'are labels of a metric';
};

subtest 'metrics say the same' => sub {
    my ($status, $metrics) = ($api->status, $api->metrics);
    my $answer = get($nginx->port, '/ai_limit/metrics');
    like $answer->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, 'as Prometheus wants it';
    for my $policy (@{$status->{policies}}) {
        my $name = $policy->{name};
        is $metrics->{qq(ai_limit_requests_total{policy="$name",result="$_"})}, $policy->{requests}{$_}, "$name, $_"
            for qw(passed rejected rejected_dry_run);
        my $reasons = $policy->{rejections};
        is $metrics->{qq(ai_limit_rejections_total{policy="$name",reason="$_"})}, $reasons->{$_}, "$name, rejected: $_"
            for qw(wait never blocked);
        is $reasons->{wait} + $reasons->{never} + $reasons->{blocked}, $policy->{requests}{rejected}, "$name, rejected";
        is $metrics->{qq(ai_limit_in_flight{policy="$name"})}, $policy->{in_flight}, "$name, in flight";
        my $tokens = $policy->{tokens};
        is $metrics->{qq(ai_limit_tokens_total{policy="$name",type="$_"})}, $tokens->{$_}, "$name, tokens of $_"
            for qw(input output cached_input cache_write cache_write_1h audio_input reasoning audio_output);
        is $metrics->{qq(ai_limit_units_total{policy="$name",type="$_"})}, $tokens->{$_}, "$name, $_"
            for qw(images searches seconds);
        is $metrics->{qq(ai_limit_reserved_tokens{policy="$name"})}, $tokens->{reserved}, "$name, reserved";
    }
    my $zone = $status->{zones}[0];
    is $metrics->{'ai_limit_zone_entries{zone="ai"}'}, $zone->{entries}, 'entries';
    is $metrics->{'ai_limit_zone_capacity{zone="ai"}'}, $zone->{capacity}, 'capacity';
    is $metrics->{qq(ai_limit_zone_evictions_total{zone="ai",kind="$_"})}, $zone->{evictions}{$_}, "evictions, $_"
        for qw(idle live);
};

subtest 'all requests of two workers are counted' => sub {
    my $before = $api->requests('large');
    my $result = many($nginx->port, path => '/large', requests => 4000, connections => 16,
        headers => sub { ['X-Key' => 'k' . $_[0] % 50] });
    is $result->{status}{200}, 4000, 'all pass';
    is_deeply $api->requests('large'), [$before->[0] + 4000, @$before[1, 2]], 'and are counted';
};

subtest 'counts stay' => sub {
    my ($before, $entries) = ($api->requests('large'), $api->zone('ai')->{entries});
    $nginx->kill_worker(($nginx->workers)[0]);
    is_deeply $api->requests('large'), $before, 'when a worker is killed';
    is $api->zone('ai')->{entries}, $entries, 'as do entries';
    $nginx->reload;
    is_deeply $api->requests('large'), $before, 'over a reload';
    $nginx->reload(http => conf(large => 'algorithm=sliding_window'));
    is_deeply $api->requests('large'), $before, 'with another algorithm';
    status_of('/large', 'a');
    is $api->requests('large')->[0], $before->[0] + 1, 'which go on';
    $nginx->reload(http => conf(size => '2m'));
    is $api->requests('large')->[0], $before->[0] + 1, 'in a zone of another size';
};

subtest 'under load and reloads' => sub {
    my $before = $api->requests('large')->[0];
    my $pid = open(my $load, '-|') // die "fork: $!";
    if ($pid == 0) {
        my ($passed, $failed) = (0, 0);
        status_of('/large', 'load') == 200 ? $passed++ : $failed++ while !-e $nginx->dir . '/stop';
        syswrite STDOUT, "$passed $failed\n";
        POSIX::_exit(0);
    }
    my $wrong = 0;
    for (1 .. 5) {
        $nginx->reload;
        $wrong++ if (eval { $api->requests('large')->[0] } // 0) < $before;
    }
    $nginx->write_file('stop', '');
    my ($passed, $failed) = split ' ', readline $load;
    is $failed, 0, 'no request fails';
    cmp_ok $passed, '>', 10, 'many pass';
    is $wrong, 0, 'the API answers meanwhile';
    is $api->requests('large')->[0], $before + $passed, 'and in the end each is counted once';
};

subtest 'secrets' => sub {
    for my $path (qw(status metrics)) {
        unlike get($nginx->port, "/ai_limit/$path")->{body}, qr/secret/, "are not in /$path";
    }
    unlike $nginx->error_log, qr/secret/, 'nor in the log';
};

subtest 'the path of the API' => sub {
    is get($nginx->port, '/ai_limit')->{status}, 301, 'without its slash, it leads there';
    like get($nginx->port, '/ai_limit/')->{headers}{'content-type'}, qr{^text/html}, 'a page';
    like get($nginx->port, '/ai_limit/')->{headers}{'content-security-policy'}, qr/default-src 'none'/,
        'that loads nothing from elsewhere';
    is get($nginx->port, '/ai_limit/nothing')->{status}, 404, 'something else';
    is get($nginx->port, '/ai_limit/status/')->{status}, 404, 'nothing below it';
    like get($nginx->port, '/only/metrics')->{body}, qr/^# HELP/, 'a location for one of them';
    my $head = request($nginx->port, method => 'HEAD', path => '/ai_limit/status');
    is $head->{status}, 200, 'HEAD';
    is $head->{body}, '', 'has no body';
    is $head->{headers}{'cache-control'}, 'no-store', 'and it is not to be kept';
    for my $method (qw(POST PUT DELETE OPTIONS)) {
        my $answer = request($nginx->port, method => $method, path => '/ai_limit/status');
        is "$answer->{status} " . ($answer->{headers}{allow} // ''), '405 GET, HEAD', $method;
    }
};

subtest 'mistakes in the configuration' => sub {
    my ($code, $said) = AiLimit::Nginx->check(http => 'server { location / { ai_limit_api write=yes; } }');
    isnt $code, 0, 'a parameter';
    like $said, qr/ai_limit_api: invalid parameter "write=yes", expected write=on or write=off/, 'is said';
    ($code, $said) = AiLimit::Nginx->check(http => 'server { location / { ai_limit_api; ai_limit_api; } }');
    like $said, qr/"ai_limit_api" directive is duplicate/, 'twice';
    ($code) = AiLimit::Nginx->check(http => 'server { location / { ai_limit_api; } }');
    is $code, 0, 'without a policy it can be looked at all the same';
};

$nginx->stop;
done_testing;

sub conf {
    my (%with) = @_;
    my $large = $with{large} // '';
    my $size = $with{size} // '1m';
    return <<"CONF";
    ai_limit_zone zone=ai:$size;
    ai_limit_policy few    key=\$http_x_key rate=3r/h;
    ai_limit_policy large  key=\$http_x_key rate=1000000r/h $large;
    ai_limit_policy tried  key=\$http_x_key rate=1r/h dry_run;
    ai_limit_policy slots  key=\$http_x_key concurrency=2;
    ai_limit_policy tokens key=\$http_x_key rate=1Mt/h reserve=max;
    ai_limit_policy plan   key=\$http_x_key rate=\$http_x_plan;
    ai_limit_policy plan_tokens key=\$http_x_key rate=\$http_x_plan;
    upstream model { server 127.0.0.1:@{[$model->port]}; }
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /few { ai_limit few large; empty_gif; }
        location /large { ai_limit large; empty_gif; }
        location /tried { ai_limit tried; empty_gif; }
        location /dry { ai_limit few; ai_limit_dry_run on; empty_gif; }
        location /plan { ai_limit plan; empty_gif; }
        location /stream/ { ai_limit slots tokens; proxy_pass http://model/; }
        location /v1/ { ai_limit tokens plan_tokens; proxy_pass http://model; }
        location /ai_limit/ { ai_limit_api; }
        location = /only/metrics { ai_limit_api; }
    }
CONF
}

sub status_of {
    my ($path, $key, @headers) = @_;
    return get($nginx->port, $path, Connection => 'close', 'X-Key' => $key, @headers)->{status};
}

# A streamed answer that waits for /next.
sub stream {
    my ($gate, %asks) = @_;
    my $body = JSON::PP->new->encode({model => 'm', stream => JSON::PP::true, %asks});
    return start_request($nginx->port, method => 'POST', path => "/stream/v1/chat/completions?gate=$gate",
        body => $body, headers => ['Content-Type' => 'application/json', 'X-Key' => 'streams']);
}
