# The body of a refusal, in each format; and that the connection goes on after it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my @formats = qw(json openai anthropic gemini problem off);

# Each format for a wait, for a request that never fits, for slots and for another status.
my $locations = join '', map { <<"CONF" } @formats;
    location /$_/wait   { ai_limit_error_format $_; ai_limit user; empty_gif; }
    location /$_/never  { ai_limit_error_format $_; ai_limit large; empty_gif; }
    location /$_/slots  { ai_limit_error_format $_; ai_limit none; empty_gif; }
    location /$_/status { ai_limit_error_format $_; ai_limit user; ai_limit_status 503; empty_gif; }
CONF

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    ai_limit_policy user  key=\$http_x_key rate=2r/m burst=1;
    ai_limit_policy large key=\$http_x_key rate=10r/d cost=12;
    ai_limit_policy none  key=\$http_x_key concurrency=\${http_x_slots}0;
    ai_limit_policy weird-name.1 key=\$http_x_key rate=1r/h;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 1m;
        $locations
        location /default { ai_limit user; empty_gif; }
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

    ($body) = refused('/json/never', 429, 'application/json');
    is $body->{retry_after}, undef, 'no wait for what never fits';
    like $body->{message}, qr/can never fit.* 12 requests.* 10\b/, 'but the reason';
    is_deeply [sort keys %$body], [qw(error message policy retry_after)], 'in the same fields';
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
    ($body) = refused('/openai/never', 429, 'application/json');
    like $body->{error}{message}, qr/^Request too large for .* Limit 10, Requested 12\.$/, 'what never fits';
    ($body) = refused('/openai/slots', 429, 'application/json');
    like $body->{error}{message}, qr/concurrent requests/, 'slots';
    is $body->{error}{type}, 'requests', 'are requests';
};

subtest 'anthropic' => sub {
    my ($body, $wait) = refused('/anthropic/wait', 429, 'application/json');
    like delete $body->{request_id}, qr/^req_[0-9a-f]{32}$/, 'the id of the request';
    is_deeply $body, {type => 'error', error => {
        type    => 'rate_limit_error',
        message => "This request would exceed the limit of 1 request. Please try again in $wait seconds.",
    }}, 'a wait';
    ($body) = refused('/anthropic/never', 429, 'application/json');
    like $body->{error}{message}, qr/can never fit/, 'what never fits';
};

subtest 'gemini' => sub {
    my ($body, $wait) = refused('/gemini/wait', 429, 'application/json');
    like $body->{error}{message}, qr/Please retry in ${wait}s\.$/, 'a message that clients read';
    is_deeply $body->{error}{details},
        [{'@type' => 'type.googleapis.com/google.rpc.RetryInfo', retryDelay => "${wait}s"}], 'and a wait';
    is_deeply [@{$body->{error}}{qw(code status)}], [429, 'RESOURCE_EXHAUSTED'], 'and a code';
    ($body) = refused('/gemini/never', 429, 'application/json');
    ok !exists $body->{error}{details}, 'no wait for what never fits';
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
    ($body) = refused('/problem/never', 429, 'application/problem+json');
    like $body->{detail}, qr/can never fit/, 'what never fits';
};

subtest 'off' => sub {
    for my $what (qw(wait never slots)) {
        my $answer = refuse("/off/$what");
        is $answer->{status}, 429, "$what: refused";
        like $answer->{body}, qr{<h1>429 Too Many Requests</h1>}, 'with the page of nginx';
        is $answer->{headers}{'content-type'}, 'text/html', 'in HTML';
    }
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

subtest 'names and inheritance' => sub {
    my ($body) = refused('/named', 429, 'application/json');
    is $body->{policy}, 'weird-name.1', 'a name is told as it is written';
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
