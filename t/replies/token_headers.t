# Limits of tokens have headers of their own where a style has them, and bodies that speak of tokens.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Tokens;

my $t = AiLimit::Tokens->start(
    left => [qw(tokens wide)],
    policies => <<'CONF',
    ai_limit_policy requests key=$http_x_key rate=1r/h burst=60;
    ai_limit_policy tokens   key=$http_x_key rate=1kt/d reserve=max;
    ai_limit_policy wide     key=$http_x_key rate=1Mt/d algorithm=sliding_window reserve=max;
    ai_limit_policy minute   key=$http_x_key rate=100t/m reserve=max;
CONF
    locations => join('', map { "location /$_/ { ai_limit_headers $_; ai_limit requests tokens wide; proxy_pass http://model/; }\n" }
        qw(openai anthropic ietf x-ratelimit off)) . join('', map { <<"CONF" } qw(json openai anthropic gemini problem)),
        location /body/$_/ { ai_limit_error_format $_; ai_limit tokens; proxy_pass http://model/; }
        location /minute/$_/ { ai_limit_error_format $_; ai_limit minute; proxy_pass http://model/; }
CONF
);
my $chat = 'v1/chat/completions?prompt_tokens=20&completion_tokens=30';
my $held = 100 + estimate();

sub headers_of {
    my ($path, $body) = @_;
    my $answer = $t->ask($path, $body // chat(max_tokens => 100));
    my %headers = %{$answer->{headers}};
    return map { $_ => $headers{$_} } grep { /ratelimit/ } keys %headers;
}

subtest 'openai' => sub {
    $t->new_client;
    my %got = headers_of("/openai/$chat");
    is $got{'x-ratelimit-limit-requests'}, 60, 'requests';
    is $got{'x-ratelimit-remaining-requests'}, 59, 'and what remains of them';
    is $got{'x-ratelimit-limit-tokens'}, 1000, 'the tightest limit of tokens';
    is $got{'x-ratelimit-remaining-tokens'}, 1000 - $held, "and what remains beside this request's reservation";
    like $got{'x-ratelimit-reset-tokens'}, qr/^2h42m\d+(?:\.\d+)?s$/, 'and when it is full again';    # 113 of 1000 a day
    %got = headers_of("/openai/$chat");
    is $got{'x-ratelimit-remaining-tokens'}, 950 - $held, 'then what was used is gone';
    is scalar(keys %got), 6, 'and nothing else is said';
};

subtest 'anthropic' => sub {
    $t->new_client;
    my %got = headers_of("/anthropic/$chat");
    is $got{'anthropic-ratelimit-requests-limit'}, 60, 'requests';
    is $got{'anthropic-ratelimit-tokens-limit'}, 1000, 'tokens';
    is $got{'anthropic-ratelimit-tokens-remaining'}, 1000 - $held, 'and what remains';
    like $got{'anthropic-ratelimit-tokens-reset'}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'and when it is full again';
};

subtest 'ietf' => sub {
    $t->new_client;
    my %got = headers_of("/ietf/$chat");
    is_deeply [sort split /, /, $got{'ratelimit-policy'}],
        ['"requests";q=60;w=216000', '"tokens";q=1000;w=86400', '"wide";q=1000000;w=86400'], 'all policies, tokens as well';
    like $got{ratelimit}, qr/"tokens";r=@{[1000 - $held]};t=\d+/, 'and what remains';
};

subtest 'x-ratelimit' => sub {
    $t->new_client;
    my %got = headers_of("/x-ratelimit/$chat");
    is "$got{'x-ratelimit-limit'} $got{'x-ratelimit-remaining'}", '1000 ' . (1000 - $held), 'the smallest part left';
    $t->new_client;
    is_deeply {headers_of("/off/$chat")}, {}, 'off: nothing';
};

# An answer's body as data, and its headers.
sub refused {
    my ($path, $body, $status) = @_;
    my $answer = $t->ask($path, $body);
    is $answer->{status}, $status // 429, "$path is refused";
    return (decode_json($answer->{body}), $answer->{headers});
}

subtest 'a wait' => sub {
    # More than there is at a time, so that a wait follows.
    my $used = 'v1/chat/completions?prompt_tokens=20&completion_tokens=90';
    for my $format (qw(json openai anthropic gemini problem)) {
        $t->new_client;
        $t->ask("/minute/$format/$used", chat());
        my ($body, $headers) = refused("/minute/$format/$chat", chat(max_tokens => 10));
        my $wait = $headers->{'retry-after'};
        ok $wait >= 1 && $wait <= 20, "the wait: $wait";
        if ($format eq 'openai') {
            like $body->{error}{message},
                qr/^Rate limit reached for tokens per min \(TPM\): Limit 100, Used \d+, Requested 23\. Please try again in [\d.]+s\.$/,
                'OpenAI speaks of tokens';
            is $body->{error}{type}, 'tokens', 'by its type';
            is $body->{error}{code}, 'rate_limit_exceeded', 'and code';
        }
        is $body->{policy}, 'minute', 'json names the policy' if $format eq 'json';
        like $body->{error}{message}, qr/tokens/, 'Anthropic speaks of tokens' if $format eq 'anthropic';
        is $body->{error}{details}[0]{retryDelay}, "${wait}s", 'Gemini has the wait' if $format eq 'gemini';
        is_deeply $body->{'violated-policies'}, ['minute'], 'a problem names the policy' if $format eq 'problem';
    }
};

subtest 'a request that can never fit' => sub {
    $t->new_client;
    my $large = chat(text => 'x' x 8000);
    my $requested = estimate(8000);
    my ($body, $headers) = refused("/body/openai/$chat", $large, 400);
    like $body->{error}{message}, qr/^Request too large for .*tokens.*: Limit 1000, Requested $requested\.$/, 'OpenAI: too large';
    is $body->{error}{type}, 'invalid_request_error', 'which is an error of the request';
    is $headers->{'x-should-retry'}, 'false', 'not to be tried again';
    ok !exists $headers->{'retry-after'}, 'whatever the wait';
    ($body) = refused("/body/json/$chat", $large, 400);
    like $body->{message}, qr/can never fit.*$requested tokens.*1000/, 'json says so';
    is $body->{retry_after}, undef, 'without a wait';
    ($body) = refused("/body/anthropic/$chat", $large, 400);
    like $body->{error}{message}, qr/can never fit/, 'Anthropic too';
    refused("/body/$_/$chat", $large, 400) for qw(gemini problem);
};

$t->stop;
done_testing;
