# The body of a refusal, in each format; and that the connection goes on after it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my @formats = qw(json openai anthropic gemini ollama bedrock cohere problem off);

my $model = AiLimit::ModelServer->start;

# Each format for a wait, for a long one, for a request that never fits, for a blocked key, for slots and for other
# statuses.
my $locations = join '', map { <<"CONF" } @formats;
    location /$_/wait   { ai_limit_error_format $_; ai_limit user; empty_gif; }
    location /$_/never  { ai_limit_error_format $_; ai_limit large; empty_gif; }
    location /$_/day    { ai_limit_error_format $_; ai_limit day; empty_gif; }
    location /$_/blocked { ai_limit_error_format $_; ai_limit none; empty_gif; }
    location /$_/both   { ai_limit_error_format $_; ai_limit large none; empty_gif; }
    location /$_/slots  { ai_limit_error_format $_; ai_limit slots; proxy_buffering off;
        proxy_pass http://127.0.0.1:@{[$model->port]}/v1/chat/completions?gate=slots; }
    location /$_/status { ai_limit_error_format $_; ai_limit user; ai_limit_status 503; empty_gif; }
CONF

my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    ai_limit_policy user  key=\$http_x_key rate=2r/m burst=1;
    ai_limit_policy large key=\$http_x_key rate=10r/d cost=12;
    ai_limit_policy day   key=\$http_x_key rate=2r/d burst=1;
    ai_limit_policy none  key=\$http_x_key concurrency=\${http_x_slots}0;
    ai_limit_policy slots key=\$http_x_key concurrency=1;
    ai_limit_policy weird-name.1 key=\$http_x_key rate=1r/h;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 1m;
        $locations
        location /default { ai_limit user; empty_gif; }
        location /statuses {
            ai_limit_status 503 never=413 blocked=401;
            location /statuses/wait    { ai_limit user; empty_gif; }
            location /statuses/never   { ai_limit large; empty_gif; }
            location /statuses/blocked { ai_limit none; empty_gif; }
            location /statuses/inherited {
                location /statuses/inherited/wait    { ai_limit user; empty_gif; }
                location /statuses/inherited/never   { ai_limit large; empty_gif; }
                location /statuses/inherited/blocked { ai_limit none; empty_gif; }
            }
            location /statuses/inner {
                ai_limit_status 429;
                location /statuses/inner/wait    { ai_limit user; empty_gif; }
                location /statuses/inner/never   { ai_limit large; empty_gif; }
                location /statuses/inner/blocked { ai_limit none; empty_gif; }
            }
            location /statuses/page { ai_limit none; error_page 401 /page.txt; empty_gif; }
        }
        location = /page.txt { return 200 "a page\n"; }
        location /auto {
            ai_limit user;
            ai_limit_headers auto;
            empty_gif;
        }
        location /claude { ai_limit user; rewrite ^ /v1/messages break; empty_gif; }
        location /named   { ai_limit weird-name.1; empty_gif; }
        location /v1/     { ai_limit user; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /free    { empty_gif; }
        location /outer   { ai_limit user; ai_limit_error_format openai; location /outer/inner { empty_gif; } }
        location /hidden  { ai_limit user; ai_limit_status 444; empty_gif; }
    }
CONF
my $keys = 0;

subtest 'json' => sub {
    my $body;
    # It is what one gets without asking.
    for my $path ('/json/wait', '/default') {
        ($body, my $wait) = refused($path, 429, 'application/json');
        is_deeply $body, {
            error       => 'rate_limit_exceeded',
            message     => "Too many requests. Try again in $wait seconds.",
            retry_after => $wait,
            policy      => 'user',
        }, 'a wait';
    }

    ($body) = refused('/json/never', 400, 'application/json');
    is $body->{error}, 'request_too_large', 'what never fits';
    is $body->{retry_after}, undef, 'has no wait';
    like $body->{message}, qr/can never fit.* 12 requests.* 10\b/, 'but the reason';
    is_deeply [sort keys %$body], [qw(error message policy retry_after)], 'in the same fields';
    ($body) = refused('/json/blocked', 403, 'application/json');
    is_deeply $body, {
        error       => 'access_denied',
        message     => 'This key is blocked: its limit is 0 concurrent requests.',
        retry_after => undef,
        policy      => 'none',
    }, 'a blocked key';
};

subtest 'openai' => sub {
    my ($body, undef, $ms) = refused('/openai/wait', 429, 'application/json');
    my $seconds = $ms / 1000;
    is_deeply $body, {error => {
        message => 'Rate limit reached for requests per min (RPM): Limit 1, Used 1, Requested 1.'
            . " Please try again in ${seconds}s.",
        type    => 'requests',
        param   => undef,
        code    => 'rate_limit_exceeded',
    }}, 'a wait';
    ($body, my $wait) = refused('/openai/day', 429, 'application/json');
    is_deeply [@{$body->{error}}{qw(type code)}], [('insufficient_quota') x 2], 'a wait of hours';
    like $body->{error}{message}, qr/^You exceeded your current quota of requests per day .* try again in ${wait}s\.$/, 'with its end';
    ($body) = refused('/openai/never', 400, 'application/json');
    like $body->{error}{message}, qr/^Request too large for .* Limit 10, Requested 12\.$/, 'what never fits';
    is_deeply [@{$body->{error}}{qw(type code)}], [qw(invalid_request_error request_too_large)], 'is an error of the request';
    ($body) = refused('/openai/blocked', 403, 'application/json');
    is_deeply [@{$body->{error}}{qw(type code)}], [qw(permission_error access_denied)], 'a blocked key is denied access';
    my @stream = (method => 'POST', path => '/openai/slots', body => '{"model":"m","stream":true,"messages":[]}',
        headers => {'X-Key' => 'busy'});
    my $running = start_request($nginx->port, @stream);
    is $running->head, 200, 'a slot is taken';
    my $answer = request($nginx->port, @stream);
    is $answer->{status}, 429, 'so that the next has to wait';
    $body = decode_json($answer->{body});
    like $body->{error}{message}, qr/concurrent requests/, 'for slots';
    is $body->{error}{type}, 'requests', 'are requests';
    $running->abort;
};

subtest 'anthropic' => sub {
    my ($body, $wait) = refused('/anthropic/wait', 429, 'application/json');
    like delete $body->{request_id}, qr/^req_[0-9a-f]{32}$/, 'the id of the request';
    is_deeply $body, {type => 'error', error => {
        type    => 'rate_limit_error',
        message => "This request would exceed the limit of 1 request. Please try again in $wait seconds.",
    }}, 'a wait';
    ($body) = refused('/anthropic/never', 400, 'application/json');
    like $body->{error}{message}, qr/can never fit/, 'what never fits';
    is $body->{error}{type}, 'invalid_request_error', 'is an error of the request';
    ($body) = refused('/anthropic/blocked', 403, 'application/json');
    is $body->{error}{type}, 'permission_error', 'a blocked key has no permission';
};

subtest 'gemini' => sub {
    my ($body, $wait) = refused('/gemini/wait', 429, 'application/json');
    like $body->{error}{message}, qr/Please retry in ${wait}s\.$/, 'a message that clients read';
    is_deeply $body->{error}{details},
        [{'@type' => 'type.googleapis.com/google.rpc.RetryInfo', retryDelay => "${wait}s"}], 'and a wait';
    is_deeply [@{$body->{error}}{qw(code status)}], [429, 'RESOURCE_EXHAUSTED'], 'and a code';
    ($body, $wait) = refused('/gemini/day', 429, 'application/json');
    is_deeply $body->{error}{details}, [
        {'@type' => 'type.googleapis.com/google.rpc.QuotaFailure',
            violations => [{quotaMetric => 'day', quotaId => 'RequestsPerDay', quotaValue => '1'}]},
        {'@type' => 'type.googleapis.com/google.rpc.RetryInfo', retryDelay => "${wait}s"}], 'a quota per day';
    ($body) = refused('/gemini/never', 400, 'application/json');
    is_deeply [@{$body->{error}}{qw(code status)}], [400, 'INVALID_ARGUMENT'], 'what never fits';
    ok !exists $body->{error}{details}, 'has no wait';
    ($body) = refused('/gemini/blocked', 403, 'application/json');
    is_deeply [@{$body->{error}}{qw(code status)}], [403, 'PERMISSION_DENIED'], 'a blocked key';
};

subtest 'ollama and cohere' => sub {
    my ($body, $wait) = refused('/ollama/wait', 429, 'application/json');
    is_deeply $body, {error => "Too many requests. Try again in $wait seconds."}, 'one sentence';
    ($body) = refused('/ollama/blocked', 403, 'application/json');
    is_deeply $body, {error => 'This key is blocked: its limit is 0 concurrent requests.'}, 'for a blocked key as well';
    ($body, $wait) = refused('/cohere/wait', 429, 'application/json');
    is_deeply $body, {message => "Too many requests. Try again in $wait seconds."}, "Cohere's has another name";
};

subtest 'bedrock' => sub {
    my %type = (wait => [429, 'ThrottlingException'], day => [429, 'ThrottlingException'], never => [400, 'ValidationException'],
        blocked => [403, 'AccessDeniedException']);
    for my $what (sort keys %type) {
        my ($status, $type) = @{$type{$what}};
        my ($body) = refused("/bedrock/$what", $status, 'application/json');
        is_deeply [keys %$body], ['message'], 'one sentence';
        is refuse("/bedrock/$what")->{headers}{'x-amzn-errortype'}, $type, 'and a header with the kind';
    }
    ok !exists refuse('/openai/wait')->{headers}{'x-amzn-errortype'}, 'which no other format has';
};

subtest 'problem' => sub {
    my ($body, $wait) = refused('/problem/wait', 429, 'application/problem+json');
    ok length delete $body->{title}, 'a title';
    is_deeply $body, {
        type                => 'https://iana.org/assignments/http-problem-types#quota-exceeded',
        status              => 429,
        detail              => "Too many requests. Try again in $wait seconds.",
        'violated-policies' => ['user'],
    }, 'a wait';
    ($body) = refused('/problem/never', 400, 'application/problem+json');
    like $body->{detail}, qr/can never fit/, 'what never fits';
};

subtest 'off' => sub {
    my %page = (wait => '429 Too Many Requests', never => '400 Bad Request', blocked => '403 Forbidden');
    for my $what (sort keys %page) {
        my $answer = refuse("/off/$what");
        like $answer->{body}, qr{<h1>$page{$what}</h1>}, "$what: the page of nginx";
        is $answer->{headers}{'content-type'}, 'text/html', 'in HTML';
    }
};

subtest 'requests that can never pass' => sub {
    for my $format (@formats) {
        for my $what (qw(never blocked)) {
            my $answer = refuse("/$format/$what");
            is $answer->{headers}{'x-should-retry'}, 'false', "$format/$what: not to be tried again";
            ok !exists $answer->{headers}{'retry-after'}, 'without a wait';
            unlike $answer->{body}, qr/too large/i, 'a blocked key has not asked for too much' if $what eq 'blocked';
        }
        is refuse("/$format/both")->{status}, 403, "$format: a blocked key is blocked, however much it asks for";
    }
};

subtest 'statuses' => sub {
    my %expected = (wait => 503, never => 413, blocked => 401);
    is refuse("/statuses/$_")->{status}, $expected{$_}, "$_: $expected{$_}" for sort keys %expected;
    %expected = (wait => 429, never => 400, blocked => 403);
    is refuse("/statuses/inner/$_")->{status}, $expected{$_}, "a directive replaces the whole of the outer one: $_"
        for sort keys %expected;
    is refuse("/statuses/inherited/$_")->{status}, {wait => 503, never => 413, blocked => 401}->{$_}, "inherited: $_"
        for sort keys %expected;
    is refuse('/statuses/page/blocked')->{body}, "a page\n", 'error_page goes by the status of the kind';
};

subtest 'another status' => sub {
    for my $format (@formats) {
        my $answer = refuse("/$format/status");
        is $answer->{status}, 503, "$format: 503";
        my $body = $format eq 'off' ? {} : decode_json($answer->{body});
        my $said = $format eq 'gemini' ? $body->{error}{code} : $format eq 'problem' ? $body->{status} : 503;
        is $said, 503, 'and the body says nothing else';
    }
    my $closed = refuse('/hidden');
    ok !$closed->{status} && $closed->{body} eq '', '444 closes the connection without a word';
};

subtest 'auto' => sub {
    my %shows = (
        '/auto/v1/chat/completions'            => ['code', 'x-ratelimit-limit-requests'],
        '/auto/v1/responses?a=/v1/messages'    => ['code', 'x-ratelimit-limit-requests'],
        '/auto/v1/messages'                    => ['request_id', 'anthropic-ratelimit-requests-limit'],
        '/auto/v1/messages/count_tokens?beta=true' => ['request_id', 'anthropic-ratelimit-requests-limit'],
        '/auto/v1beta/models/gemini-3:streamGenerateContent?alt=sse' => ['RetryInfo', 'x-ratelimit-limit'],
        '/auto/v1beta/models/gemini-3%3AgenerateContent' => ['RetryInfo', 'x-ratelimit-limit'],
        '/auto/api/chat'                       => ['{"error":"Too many', 'x-ratelimit-limit'],
        '/auto/model/a.b%3A1/converse'         => ['{"message":"Too many', 'x-ratelimit-limit'],
        '/auto/v2/chat'                        => ['{"message":"Too many', 'x-ratelimit-limit'],
        '/auto/anything'                       => ['"policy":"user"', 'x-ratelimit-limit'],
        '/claude'                              => ['request_id', 'x-ratelimit-limit'],
    );
    for my $path (sort keys %shows) {
        my ($text, $header) = @{$shows{$path}};
        my $answer = refuse($path);
        is $answer->{status}, 429, "$path: is refused";
        like $answer->{body}, qr/\Q$text\E/, 'in the dialect of its API';
        is_deeply [sort grep { /ratelimit-.*limit|ratelimit-limit/ } keys %{$answer->{headers}}], [$header], 'so are the headers';
    }
    is get($nginx->port, '/auto/v1/messages', 'X-Key' => 'passes')->{headers}{'anthropic-ratelimit-requests-limit'}, 1,
        'of answers as well';
};

subtest 'names and inheritance' => sub {
    my ($body) = refused('/named', 429, 'application/json');
    is $body->{policy}, 'weird-name.1', 'a name is shown as it is written';
    ($body) = refused('/outer/inner', 429, 'application/json');
    is $body->{error}{code}, 'rate_limit_exceeded', 'the format of the outer location';
};

subtest 'the connection' => sub {
    my $key = ++$keys;
    my $all = many($nginx->port, requests => 20, connections => 1, keep => 1, headers => {'X-Key' => $key},
        path => sub { $_[0] % 2 ? '/free' : '/json/wait' });
    is_deeply $all->{status}, {200 => 11, 429 => 9}, 'goes on after a refusal';
    my $body = '{"model":"m"}' . ' ' x 200_000;
    $all = many($nginx->port, requests => 20, connections => 1, keep => 1, headers => {'X-Key' => $key},
        method => 'POST', body => $body, path => '/v1/chat/completions');
    is_deeply $all->{status}, {429 => 20}, 'also where the refused requests had bodies';
    $all = many($nginx->port, requests => 20, pipeline => 10, connections => 1, headers => {'X-Key' => $key},
        method => 'POST', body => '{"model":"m"}', path => sub { $_[0] % 2 ? '/openai/wait' : '/v1/models' });
    is_deeply $all->{status}, {429 => 20}, 'and for requests sent at once';
    my $head = request($nginx->port, method => 'HEAD', path => '/json/wait', headers => {'X-Key' => $key});
    is_deeply [@$head{qw(status body)}], [429, ''], 'HEAD has no body';
};

subtest 'Expect: 100-continue' => sub {
    my $key = ++$keys;
    my $large = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nX-Key: $key\r\nContent-Length: 500000\r\n"
        . "Expect: 100-continue\r\n\r\n";
    my $passed = first_line($large);
    is $passed, 'HTTP/1.1 100 Continue', 'a request that passes may send its body';
    is first_line($large), 'HTTP/1.1 429 Too Many Requests', 'one that is refused need not';
};

$nginx->stop;
done_testing;

# The answer to a request that is refused, as an earlier one of its key was not.
sub refuse {
    my ($path) = @_;
    my $key = ++$keys;
    my $answer;
    $answer = get($nginx->port, $path, 'X-Key' => $key) for 1 .. 2;
    return $answer;
}

# (its body, the seconds and the milliseconds to wait).
sub refused {
    my ($path, $status, $type) = @_;
    my $answer = refuse($path);
    is $answer->{status}, $status, "$path: refused";
    is $answer->{headers}{'content-type'}, $type, "as $type";
    my $body = eval { decode_json($answer->{body}) } or fail "not JSON: $answer->{body}";
    return ($body, @{$answer->{headers}}{qw(retry-after retry-after-ms)});
}

sub first_line {
    my ($request) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port) or die "connect: $!";
    syswrite $socket, $request;
    my $line = readline $socket;
    return ($line // '') =~ s/\r\n//r;
}
