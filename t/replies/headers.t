# The rate-limit headers of responses that passed and of refusals, in every style.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::Piece;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my @styles = qw(x-ratelimit ietf openai anthropic);
my $by_style = join '', map { "location /$_ { ai_limit_headers $_; empty_gif; }\n" } @styles;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(files => {'429.txt' => 'slow down', '503.txt' => 'slow down'}, http => <<"CONF");
    ai_limit_policy user  key=\$http_x_key rate=1r/h burst=3;
    ai_limit_policy wide  key=\$http_x_key rate=100r/d algorithm=sliding_window;
    ai_limit_policy early key=\$http_x_key rate=1r/h burst=50 phase=preaccess;
    ai_limit_policy soon  key=\$http_x_key rate=2r/m burst=1;
    ai_limit_policy slide key=\$http_x_key rate=3r/m algorithm=sliding_window;
    ai_limit_policy large key=\$http_x_key rate=10r/d cost=11;
    ai_limit_policy slot  key=\$http_x_key concurrency=1;
    ai_limit_policy try   key=\$http_x_key rate=1r/h dry_run;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        root %%DIR%%;
        ai_limit user;
        $by_style
        location /all        { ai_limit_headers x-ratelimit ietf openai anthropic; empty_gif; }
        location /off        { ai_limit_headers off; empty_gif; }
        location /default    { empty_gif; }
        location /several    { ai_limit wide user early; ai_limit_headers x-ratelimit ietf openai; empty_gif; }
        location /soon       { ai_limit soon; empty_gif; }
        location /slide      { ai_limit slide; empty_gif; }
        location /large      { ai_limit large; empty_gif; }
        location /slot       { ai_limit slot; ai_limit_headers x-ratelimit ietf openai; proxy_pass http://127.0.0.1:@{[$model->port]}/v1/models; }
        location /try        { ai_limit try; ai_limit_headers x-ratelimit ietf openai anthropic; empty_gif; }
        location /try/user   { ai_limit try user; ai_limit_headers x-ratelimit ietf; empty_gif; }
        location /missing    { }
        location /upstream   { ai_limit_headers x-ratelimit ietf openai anthropic; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location /upstream/one { proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location /upstream/off { ai_limit off; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location /page       { error_page 429 /429.txt; empty_gif; }
        location /page/own   { error_page 429 \@own; empty_gif; }
        location /page/added { error_page 429 \@added; empty_gif; }
        location /page/bare  { error_page 429 \@bare; empty_gif; }
        location /recursive/ {
            recursive_error_pages on;
            location /recursive/own   { error_page 429 \@own; empty_gif; }
            location /recursive/added { error_page 429 \@added; empty_gif; }
            location /recursive/bare  { error_page 429 \@bare; empty_gif; }
        }
        location \@added     { add_header Retry-After 7 always; return 429 "busy"; }
        location \@bare      { add_header X-RateLimit-Remaining 997 always; return 429 "busy"; }
        location \@own       { proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location = /429.txt  { }
        location /503        { ai_limit_status 503; empty_gif; }
        location /400        { ai_limit_status 400; empty_gif; }
        location /599        { ai_limit_status 599; empty_gif; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        ai_limit user;
        ai_limit_headers ietf;
        location /              { empty_gif; }
        location /openai        { ai_limit_headers openai; empty_gif; }
        location /openai/nested { ai_limit_headers openai; location /openai/nested/deep { empty_gif; } }
        location /off           { ai_limit_headers off; empty_gif; }
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        location / {
            add_header X-RateLimit-Limit 999 always;
            add_header X-RateLimit-Limit 998 always;
            add_header x-ratelimit-remaining 997 always;
            add_header RateLimit '"theirs";r=1;t=1' always;
            add_header x-ratelimit-reset-requests 77s always;
            add_header anthropic-ratelimit-requests-limit 996 always;
            add_header Retry-After 5 always;
            add_header X-Other theirs always;
            return 503 busy;
        }
    }
CONF
my $keys = 0;

my %passed = (
    'x-ratelimit' => {
        'x-ratelimit-limit'     => 3,
        'x-ratelimit-remaining' => 2,
        'x-ratelimit-reset'     => 3600,
    },
    'ietf' => {
        'ratelimit-policy' => '"user";q=3;w=10800',
        'ratelimit'        => '"user";r=2;t=3600',
    },
    'openai' => {
        'x-ratelimit-limit-requests'     => 3,
        'x-ratelimit-remaining-requests' => 2,
        'x-ratelimit-reset-requests'     => '1h0m0s',
    },
    'anthropic' => {
        'anthropic-ratelimit-requests-limit'     => 3,
        'anthropic-ratelimit-requests-remaining' => 2,
        'anthropic-ratelimit-requests-reset'     => 'DATE',
    },
);
$passed{all} = {map { %{$passed{$_}} } @styles};
$passed{default} = $passed{'x-ratelimit'};
$passed{off} = {};

# The headers that change when all is used up and another request is refused.
my %refused = (
    'x-ratelimit-remaining'                  => qr/^0$/,
    'x-ratelimit-reset'                      => qr/^10(?:800|7\d\d)$/,
    'ratelimit'                              => qr/^"user";r=0;t=3(?:600|5\d\d)$/,
    'x-ratelimit-remaining-requests'         => qr/^0$/,
    'x-ratelimit-reset-requests'             => qr/^(?:3h0m0s|2h59m\d+(?:\.\d{1,3})?s)$/,
    'anthropic-ratelimit-requests-remaining' => qr/^0$/,
);

for my $style (sort keys %passed) {
    subtest "ai_limit_headers $style" => sub {
        my $key = ++$keys;
        my $answer = ask("/$style", $key);
        my %got = limit_headers($answer);
        my $date = delete $got{'anthropic-ratelimit-requests-reset'};
        my %wanted = %{$passed{$style}};
        my $dated = delete $wanted{'anthropic-ratelimit-requests-reset'};
        is_deeply \%got, \%wanted, 'a request that passes';
        is_in(3600, $date, $answer) if $dated;

        ask("/$style", $key) for 1 .. 2;
        $answer = ask("/$style", $key);
        %got = limit_headers($answer);
        is_in(10_800, delete $got{'anthropic-ratelimit-requests-reset'}, $answer) if $dated;
        if ($style ne 'off') {
            like delete $got{'retry-after'}, qr/^3(?:600|5\d\d)$/, 'a refusal says when to come back';
            is delete $got{'x-should-retry'}, 'false', 'not to try again, as it is long';
            is delete $got{'cache-control'}, 'no-store', 'and that it is not to be kept';
        }
        is_deeply [sort keys %got], [sort keys %wanted], 'beside the same headers';
        for my $name (sort keys %got) {
            like $got{$name}, $refused{$name} // qr/^\Q$wanted{$name}\E$/, "with $name";
        }
    };
}

subtest 'how long to wait' => sub {
    my $key = ++$keys;
    ask('/soon', $key);
    my $soon = ask('/soon', $key)->{headers};
    cmp_ok abs($soon->{'retry-after'} - 20), '<=', 10, 'less than a minute: Retry-After';
    cmp_ok $soon->{'retry-after-ms'}, '>', 1000 * $soon->{'retry-after'} - 1000, 'and milliseconds';
    cmp_ok $soon->{'retry-after-ms'}, '<=', 1000 * $soon->{'retry-after'}, 'that agree';
    ok !exists $soon->{'x-should-retry'}, 'and no word on trying again';

    ask('/slide', $key) for 1 .. 3;
    my $slides = ask('/slide', $key)->{headers};
    cmp_ok $slides->{'retry-after'}, '<=', 60, 'a sliding minute is at most a minute';
    ok !exists $slides->{'x-should-retry'}, 'for which clients wait';

    my $never = ask('/large', $key);
    is $never->{status}, 400, 'what never fits is refused';
    is $never->{headers}{'x-should-retry'}, 'false', 'not to be tried again';
    ok !exists $never->{headers}{$_}, "without $_" for qw(retry-after retry-after-ms);
    is $never->{headers}{'x-ratelimit-remaining'}, 10, 'and takes nothing';
};

subtest 'concurrency' => sub {
    my $key = ++$keys;
    my $before = get($model->port, '/count')->{body};
    my $held = start_request($nginx->port, path => '/slot?delay=600000', headers => {'X-Key' => $key});
    select undef, undef, undef, 0.01 while get($model->port, '/count')->{body} eq $before;
    my %got = limit_headers(ask('/slot', $key));
    is_deeply \%got, {
        'x-ratelimit-limit'     => 1,
        'x-ratelimit-remaining' => 0,
        'x-ratelimit-reset'     => 1,
        'ratelimit-policy'      => '"slot";q=1;qu="concurrent-requests"',
        'ratelimit'             => '"slot";r=0;t=1',
        'retry-after'           => 1,
        'retry-after-ms'        => 1000,
        'cache-control'         => 'no-store',
    }, 'a second to wait, and nothing about requests per time';
    $held->abort;
};

subtest 'several policies' => sub {
    my $key = ++$keys;
    my $headers = ask('/several', $key)->{headers};
    is_items($headers->{'ratelimit-policy'}, '"user";q=3;w=10800', '"wide";q=100;w=86400', '"early";q=50;w=180000');
    is_items($headers->{ratelimit} =~ s/(?<="wide";r=99;t=)\d+/soon/r,
        '"user";r=2;t=3600', '"wide";r=99;t=soon', '"early";r=49;t=3600');
    is $headers->{'x-ratelimit-limit'}, 3, 'the smallest part left speaks for all';
    is $headers->{'x-ratelimit-remaining-requests'}, 2, 'also for OpenAI';
};

subtest 'policies on a dry run are in no header' => sub {
    is_deeply {limit_headers(ask('/try', $_))}, {}, 'passed or not' for 1, 1;
    my %got = limit_headers(ask('/try/user', 1));
    is $got{'x-ratelimit-limit'}, 3, 'the others are';
    is $got{'ratelimit-policy'}, '"user";q=3;w=10800', 'alone';
};

subtest 'the same headers from upstream' => sub {
    my $key = ++$keys;
    my $answer = ask('/upstream', $key);
    is $answer->{status}, 503, 'an answer of the upstream server';
    my %got = limit_headers($answer);
    delete $got{'anthropic-ratelimit-requests-reset'};
    my %wanted = (%{$passed{all}}, 'retry-after' => 5);
    delete $wanted{'anthropic-ratelimit-requests-reset'};
    is_deeply \%got, \%wanted, 'are replaced, but for what is its own to say';
    is_deeply $answer->{all}{'x-ratelimit-limit'}, [3], 'each once';
    is $answer->{headers}{'x-other'}, 'theirs', 'others stay';

    my $one = ask('/upstream/one', $key);
    is $one->{headers}{'x-ratelimit-remaining'}, 1, 'a style replaces its own';
    is $one->{headers}{ratelimit}, '"theirs";r=1;t=1', 'and no other';
    is ask('/upstream/off', $key)->{headers}{'x-ratelimit-limit'}, '999, 998', 'nothing is touched without a policy';
};

subtest 'every answer has them' => sub {
    my $key = ++$keys;
    is ask('/missing', $key)->{headers}{'x-ratelimit-remaining'}, 2, 'an error';
    my $head = request($nginx->port, method => 'HEAD', path => '/default', headers => {'X-Key' => $key});
    is $head->{headers}{'x-ratelimit-remaining'}, 1, 'HEAD';
    my $refused;
    for (1 .. 2) {
        $refused = request($nginx->port, method => 'HEAD', path => '/default', headers => {'X-Key' => $key});
    }
    is $refused->{status}, 429, 'HEAD is refused';
    like $refused->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'with a time to come back';
};

subtest 'error_page' => sub {
    my $key = ++$keys;
    ask('/page', $key) for 1 .. 3;
    my $page = ask('/page', $key);
    is_deeply [@$page{qw(status body)}], [429, 'slow down'], 'makes the answer';
    like $page->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'which says when to come back';
    is $page->{headers}{'x-ratelimit-remaining'}, 0, 'and what remains';

    for my $place ('/page', '/recursive') {
        my $own = ask("$place/own", $key);
        is_deeply [@$own{qw(status body)}], [429, 'busy'], "$place: an upstream server makes the answer";
        is_deeply $own->{all}{'retry-after'}, [5], 'with its own headers';
        is_deeply $own->{all}{'x-ratelimit-remaining'}, [997], 'as it wants them';
        ok !exists $own->{headers}{$_}, "and no $_ of ours beside them" for qw(x-should-retry x-ratelimit-reset cache-control);

        my $added = ask("$place/added", $key);
        is_deeply [$added->{status}, $added->{all}{'retry-after'}], [429, [7]], 'add_header can give the wait alone';
        ok !exists $added->{headers}{$_}, "without $_ beside it" for qw(x-should-retry x-ratelimit-limit x-ratelimit-remaining);

        my $bare = ask("$place/bare", $key);
        like $bare->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'a page without a wait gets ours';
        is_deeply $bare->{all}{'x-ratelimit-remaining'}, [0], 'with all that belongs to it';
    }
};

subtest 'ai_limit_status' => sub {
    my $key = ++$keys;
    ask('/default', $key) for 1 .. 3;
    for my $status (400, 503, 599) {
        my $refused = ask("/$status", $key);
        is $refused->{status}, $status, "refuses with $status";
        like $refused->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'and the same headers';
        like $refused->{body}, qr/^\{"error":/, 'and body';
    }
};

subtest 'inheritance' => sub {
    my %styles = ('/' => 'ietf', '/openai' => 'openai', '/openai/nested/deep' => 'openai', '/off' => 'off');
    for my $path (sort keys %styles) {
        my %got = limit_headers(get($nginx->port(1), $path, 'X-Key' => ++$keys));
        is_deeply \%got, $passed{$styles{$path}}, "$path: $styles{$path}";
    }
};

$nginx->stop;
done_testing;

sub ask {
    my ($path, $key) = @_;
    return get($nginx->port, $path, 'X-Key' => $key);
}

sub limit_headers {
    my ($answer) = @_;
    my %headers = %{$answer->{headers}};
    my @names = grep { /ratelimit|retry|^cache-control$/ } keys %headers;
    return map { $_ => $headers{$_} } @names;
}

# Up to a minute earlier, for a slow machine.
sub is_in {
    my ($seconds, $date, $answer) = @_;
    my $reset = eval { Time::Piece->strptime($date, '%Y-%m-%dT%H:%M:%SZ') } or return fail "a date: $date";
    my $now = Time::Piece->strptime($answer->{headers}{date}, '%a, %d %b %Y %H:%M:%S GMT');
    my $early = $seconds - ($reset->epoch - $now->epoch);
    return ok $early >= -1 && $early <= 60, "the reset is in $seconds s: $date";
}

sub is_items {
    my ($got, @wanted) = @_;
    return is_deeply [sort split /, /, $got], [sort @wanted], 'all policies are shown';
}
