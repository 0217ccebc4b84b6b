# One key: what is counted for it, forgetting it, and another rate for a while (ai_limit_api write=on).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

use constant SECRET => 'sk-secret-0123456789abcdef';

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(workers => 2, log_level => 'notice', http => <<"CONF");
    ai_limit_zone zone=ai:1m;
    ai_limit_policy bucket  key=\$http_x_key rate=3r/h;
    ai_limit_policy sliding key=\$http_x_key rate=3r/h algorithm=sliding_window;
    ai_limit_policy fixed   key=\$http_x_key rate=3r/12month algorithm=fixed_window;
    ai_limit_policy slots   key=\$http_x_key concurrency=2;
    ai_limit_policy tokens  key=\$http_x_key rate=1000t/h reserve=max;
    ai_limit_policy learns  key=\$http_x_key rate=1Mt/h;
    ai_limit_policy plan    key=\$http_x_key rate=\$http_x_plan;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /bucket  { ai_limit bucket; empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed; empty_gif; }
        location /both    { ai_limit bucket sliding; empty_gif; }
        location /plan    { ai_limit plan; empty_gif; }
        location /v1/     { ai_limit tokens slots; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /ai_limit/ { ai_limit_api write=on; }
        location /learns/ { ai_limit learns; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /look/   { ai_limit_api; }
    }
CONF
my $api = AiLimit::Api->new($nginx->port);
my $look = AiLimit::Api->new($nginx->port, '/look/');

for my $policy (qw(bucket sliding fixed)) {
    subtest $policy => sub {
        my $query = "policy=$policy&key=" . SECRET;
        is_answer([$api->key(GET => $query)], 404, {}, 'a key that was never seen');
        statuses($policy, SECRET, 4, '200 200 200 429');
        my ($code, $said) = $look->key(GET => $query);
        is $code, 200, 'one that was';
        is_deeply [@$said{qw(policy key measure limit remaining used)}],
            [$policy, "sk-s\x{2026}cdef", 'requests', 3, 0, 3], 'what is counted for it';
        cmp_ok $said->{reset}, '>', 0, 'and when it will be back';
        is_answer([$api->key(DELETE => $query)], 200, {forgotten => JSON::PP::true}, 'it is forgotten');
        is_answer([$api->key(GET => $query)], 404, {}, 'and not there any more');
        is_answer([$api->key(DELETE => $query)], 404, {}, 'nothing is left to forget');
        statuses($policy, SECRET, 4, '200 200 200 429');
    };
    subtest "another rate of $policy" => sub {
        my $query = "policy=$policy&key=raised";
        my $rate = $policy eq 'fixed' ? '6r/12month' : '6r/h';
        statuses($policy, 'raised', 4, '200 200 200 429');
        my ($code, $said) = $api->key(PUT => "$query&rate=$rate&ttl=1h");
        is $code, 200, 'is set';
        is_deeply [@$said{qw(limit remaining used)}], [6, 3, 3], 'what was used stays used';
        is_deeply $said->{override}{rate}, $rate, 'and it is said';
        statuses($policy, 'raised', 4, '200 200 200 429');
        statuses($policy, 'other', 4, '200 200 200 429');
        $nginx->reload;
        is_deeply [($api->key(GET => $query))[1]{override}{rate}], [$rate], 'a reload keeps it';
        is_deeply [map { "$_->{policy} $_->{key} $_->{rate}" } @{$api->status->{overrides}}], ["$policy r\x{2026} $rate"],
            'and all can be seen';
        is_answer([$api->key(PUT => "$query&rate=$rate&ttl=1s")], 200, {}, 'for a shorter time');
        sleep 1.1;
        is_deeply [@{($api->key(GET => $query))[1]}{qw(limit override)}], [3, undef], 'which ends';
        is_deeply $api->status->{overrides}, [], 'and is not shown any more';
    };
}

subtest 'a rate of zero' => sub {
    is_answer([$api->key(PUT => 'policy=bucket&key=blocked&rate=0r/m&ttl=1h')], 200, {limit => 0, remaining => 0}, 'is set');
    statuses('bucket', 'blocked', 2, '403 403');
    is_answer([$api->key(DELETE => 'policy=bucket&key=blocked')], 200, {}, 'and is forgotten with its key');
    statuses('bucket', 'blocked', 1, '200');
};

subtest 'beside another policy' => sub {
    $api->key(PUT => 'policy=bucket&key=two&rate=100r/h&ttl=1h');
    statuses('both', 'two', 4, '200 200 200 429');
    is_answer([$api->key(GET => 'policy=bucket&key=two')], 200, {limit => 100, used => 3}, 'each by its own');
};

subtest 'what was learned' => sub {
    for (1 .. 12) {
        post($nginx->port, '/learns/v1/chat/completions?prompt_tokens=2000&completion_tokens=300', '{"model":"m","messages":[{"role":"user","content":"'
            . 'x' x 4000 . '"}]}', 'Content-Type' => 'application/json', 'X-Key' => 'learner');
    }
    my ($code, $said) = $api->key(GET => 'policy=learns&key=learner');
    my ($output, $ratio) = @{$said->{learned}}{qw(output input_ratio)};
    ok $output >= 300 && $output <= 450, "the usual output is shown: $output";
    ok $ratio > 1.5 && $ratio <= 2, "and how far the estimate of the prompt is off: $ratio";
    my ($metric) = get($nginx->port, '/ai_limit/metrics')->{body} =~ /^ai_limit_reserve_ratio\{policy="learns"\} (\S+)$/m;
    ok $metric > 0.4 && $metric < 3, "what was reserved for each token is a metric: $metric";
};

subtest 'tokens' => sub {
    my $chat = '{"messages":[]}';
    my $query = 'policy=tokens&key=talks';
    post($nginx->port, '/v1/chat/completions?prompt_tokens=300&completion_tokens=100', $chat,
        'Content-Type' => 'application/json', 'X-Key' => 'talks');
    is_answer([$api->key(GET => $query)], 200,
        {measure => 'tokens', limit => 1000, remaining => 600, used => 400, reserved => 0}, 'what is used');
    my $stream = start_request($nginx->port, method => 'POST', path => '/v1/chat/completions?gate=held',
        body => '{"model":"m","stream":true,"max_tokens":200}',
        headers => ['Content-Type' => 'application/json', 'X-Key' => 'talks']);
    $stream->head;
    my ($code, $said) = $api->key(GET => $query);
    cmp_ok $said->{reserved}, '>=', 200, 'the reserved tokens are shown';
    is $said->{remaining}, 1000 - 400 - $said->{reserved}, 'both are taken off';
    is_answer([$api->key(GET => 'policy=slots&key=talks')], 200, {measure => 'in_flight', used => 1, remaining => 1},
        'requests in flight');
    is_answer([$api->key(DELETE => 'policy=slots&key=talks')], 400, {}, 'which cannot be forgotten');
    is_answer([$api->key(PUT => 'policy=slots&key=talks&rate=5&ttl=1h')], 200, {limit => 5, remaining => 4}, 'more of them');
    is_answer([$api->key(DELETE => 'policy=slots&key=talks')], 200, {}, 'until that is forgotten');
    is_answer([$api->key(GET => 'policy=slots&key=talks')], 200, {limit => 2, used => 1}, 'and they are not');
    is_answer([$api->key(DELETE => $query)], 200, {}, 'what is used is forgotten');
    is_answer([$api->key(GET => $query)], 200, {used => 0, reserved => $said->{reserved}}, 'the reservation stays');
    get($model->port, '/next?gate=held') for 1 .. 10;
    ok $stream->finish->{complete}, 'its request ends';
    ($code, $said) = $api->key(GET => $query);
    is $said->{reserved}, 0, 'and has no reservation any more';
    cmp_ok $said->{used}, '>', 0, 'what it used is charged';
    ok !exists $said->{learned}, 'a policy with reserve=max learns nothing';
    is_answer([$api->key(PUT => "$query&rate=5000t/h&ttl=1h")], 200, {limit => 5000}, 'another rate');
};

subtest 'a limit from a variable' => sub {
    get($nginx->port, '/plan', 'X-Key' => 'planned', 'X-Plan' => $_) for '10r/m', '50r/h', '50r/h';
    is_answer([$api->key(GET => 'policy=plan&key=planned')], 200, {limit => 50}, 'is the one that was counted by');
    is_answer([$api->key(PUT => 'policy=plan&key=planned&rate=70r/h&ttl=1h')], 200, {limit => 70}, 'and can be another');
};

subtest 'a limit for a key whose variable is empty' => sub {
    my $plan = sub { get($nginx->port, '/plan', 'X-Key' => 'staff', 'X-Plan' => $_[0])->{status} };
    is $plan->($_), 200, "\"$_\" does not limit" for '', 'lots';
    is_answer([$api->key(PUT => 'policy=plan&key=staff&rate=0r/m&ttl=1h')], 200, {limit => 0}, 'is set');
    is $plan->($_), 403, "\"$_\" is blocked" for '', 'lots', '5r/h';
    is_answer([$api->key(DELETE => 'policy=plan&key=staff')], 200, {}, 'until that is forgotten');
    is $plan->(''), 200, 'and does not limit again';
};

for my $policy (qw(sliding fixed)) {
    subtest "another period of $policy" => sub {
        my $query = "policy=$policy&key=other-period";
        statuses($policy, 'other-period', 4, '200 200 200 429');
        is_answer([$api->key(PUT => "$query&rate=600r/s&ttl=2s")], 200, {limit => 600, used => 3}, 'what was used stays used');
        statuses($policy, 'other-period', 2, '200 200');
        sleep 2.2;
        is_answer([$api->key(GET => $query)], 200, {limit => 3, used => 5, remaining => 0}, 'when it ends, too');
        statuses($policy, 'other-period', 1, '429');
        is_answer([$api->key(PUT => "$query&rate=0r/s&ttl=1h")], 200, {limit => 0, used => 5}, 'and while it is blocked');
        is_answer([$api->key(DELETE => $query)], 200, {}, 'all of it can be forgotten');
        statuses($policy, 'other-period', 4, '200 200 200 429');
    };
}

subtest 'mistakes are named' => sub {
    my $key = 'key=' . SECRET;
    my @wrong = (
        [GET => 'policy=bucket', 400, qr/policy= and key= are needed/],
        [GET => "$key", 400, qr/policy= and key= are needed/],
        [GET => "policy=none&$key", 404, qr/unknown policy "none"/],
        [GET => "policy=bucket&$key&more=1", 400, qr/unknown argument "more"/],
        [GET => "policy=bucket&key=%zz", 400, qr/percent escape/],
        [GET => "policy=bucket&key=" . 'x' x 5000, 414, qr/too long/],
        [PUT => "policy=bucket&$key", 400, qr/rate= and ttl= are needed/],
        [PUT => "policy=bucket&$key&rate=5r/h", 400, qr/rate= and ttl= are needed/],
        [PUT => "policy=bucket&$key&rate=5x/h&ttl=1h", 400, qr/unit/],
        [PUT => "policy=bucket&$key&rate=5t/h&ttl=1h", 400, qr/tokens/],
        [PUT => "policy=tokens&$key&rate=5r/h&ttl=1h", 400, qr/another unit/],
        [PUT => "policy=slots&$key&rate=5r/h&ttl=1h", 400, qr/whole number/],
        map({ [PUT => "policy=bucket&$key&rate=5r/h&ttl=$_", 400, qr/ttl= is no time/] } '', 0, -1, '5x', '9999d'),
    );
    for (@wrong) {
        my ($method, $query, $status, $why) = @$_;
        my ($code, $said) = $api->key($method => $query);
        is $code, $status, "$method " . substr $query, 0, 60;
        like $said->{error}, $why, 'and why';
    }
    is_answer([$look->key($_ => "policy=bucket&$key&rate=5r/h&ttl=1h")], 405, {}, "$_ without write=on") for qw(PUT DELETE);
};

subtest 'pages of other origins' => sub {
    my $query = 'policy=bucket&key=raised';
    my $host = '127.0.0.1:' . $nginx->port;
    statuses('bucket', 'raised', 1, '429');
    for (['Origin' => 'http://evil.example'], ['Origin' => 'null'], ['Sec-Fetch-Site' => 'cross-site'],
        ['Sec-Fetch-Site' => 'same-site'], ['Origin' => "http://$host.evil.example"]) {
        is_answer([$api->key(DELETE => $query, @$_)], 403, {}, "cannot write: $_->[1]");
    }
    my $asked = request($nginx->port, method => 'OPTIONS', path => "/ai_limit/keys?$query",
        headers => ['Origin' => 'http://evil.example', 'Access-Control-Request-Method' => 'DELETE']);
    is $asked->{status}, 405, 'a browser that asks whether it may';
    is $asked->{headers}{'access-control-allow-methods'}, undef, 'gets no leave';
    statuses('bucket', 'raised', 1, '429');
    is_answer([$api->key(DELETE => $query, Host => $host, Origin => "http://$host", 'Sec-Fetch-Site' => 'same-origin')], 200, {},
        'its own page can');
};

unlike $nginx->error_log, qr/secret/, 'no key is in the log';
$nginx->stop;
done_testing;

sub statuses {
    my ($path, $key, $count, $expected) = @_;
    my @got = map { get($nginx->port, "/$path", Connection => 'close', 'X-Key' => $key)->{status} } 1 .. $count;
    return is "@got", $expected, "$key: $expected";
}

# $answer is [status, what was said]; of that only what is in $parts is looked at.
sub is_answer {
    my ($answer, $status, $parts, $name) = @_;
    my ($code, $said) = @$answer;
    return is_deeply [$code, {map { $_ => $said->{$_} } keys %$parts}], [$status, $parts], $name;
}
