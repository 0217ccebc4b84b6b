# A request body that should be read and cannot be is refused, or counts with its bytes. Nothing else is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;
use ModelServer::Encoding qw(encoder);

my $LIMIT = 1_000_000;
# Memory that is read before it was written has an absurd value.
local $ENV{MALLOC_PERTURB_} = 90;
my $t = AiLimit::Tokens->start(
    policies => <<"CONF",
    ai_limit_policy tokens   key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;
    ai_limit_policy fixed    key=\$http_x_key rate=1t/month burst=$LIMIT reserve=10;
    ai_limit_policy by_model key=\$ai_limit_model rate=1r/month burst=100;
    ai_limit_policy count    key=\$http_x_key rate=1r/month burst=100;
    ai_limit_policy early    key=\$http_x_key rate=1t/month burst=$LIMIT phase=preaccess reserve=max;
    ai_limit_policy trial    key=\$http_x_key rate=1t/month burst=$LIMIT dry_run reserve=max;
CONF
    files => {'page.txt' => "a page of our own\n"},
    server => 'client_max_body_size 4m; client_body_buffer_size 16k;',
    locations => <<'CONF',
        location / { ai_limit tokens; proxy_pass http://model; }
        location /fixed/ { ai_limit fixed; proxy_pass http://model/; }
        location /by_model/ { ai_limit by_model; add_header X-Model $ai_limit_model; proxy_pass http://model/; }
        location /estimate/ { ai_limit tokens; ai_limit_unreadable_body estimate; proxy_pass http://model/; }
        location /count/ { ai_limit count; add_header X-Model $ai_limit_model; proxy_pass http://model/; }
        # The model server sends back what it is sent.
        location /silent/ { ai_limit tokens; proxy_pass http://model/raw?$args; }
        location /asked/ { ai_limit tokens; ai_limit_include_usage on; proxy_pass http://model/raw?$args; }
        location /asked/estimate/ { ai_limit tokens; ai_limit_include_usage on; ai_limit_unreadable_body estimate; proxy_pass http://model/raw?$args; }
        location /asked/count/ { ai_limit count; ai_limit_include_usage on; proxy_pass http://model/raw?$args; }
        location /trial/ { ai_limit trial; proxy_pass http://model/; }
        location /dry_run/ { ai_limit tokens; ai_limit_dry_run on; proxy_pass http://model/; }
        location /page/ { ai_limit tokens count; error_page 400 = /other; proxy_pass http://model/; }
        location /inherited/ {
            ai_limit early;
            error_page 400 = /inherited/page;
            location /inherited/recursive/ { recursive_error_pages on; proxy_pass http://model/; }
            location = /inherited/page { recursive_error_pages on; proxy_pass http://model/raw; }
            location /inherited/own/ { error_page 400 /inherited/page.txt; proxy_pass http://model/; }
            location = /inherited/page.txt { alias %%DIR%%/page.txt; }
            proxy_pass http://model/;
        }
        location = /other { ai_limit count; return 400 "another page\n"; }
        location /api/limits/ { ai_limit_api; }
CONF
);

my $chat = chat();
my $packed = encoder({encoding => 'gzip'})->($chat, 1);
my $bomb = encoder({encoding => 'gzip'})->(chat(text => 'x' x 3_000_000), 1);
# name => [body, what the client is told, Content-Encoding]
my $json = qr/is neither valid JSON nor a form/;
my $coding = qr/coding or the character encoding/;
my %bodies = (
    'plain text' => ['What is the capital of France?', $json],
    'any bytes' => [join('', map { chr } 0 .. 255), $json],
    'JSON that is cut' => [substr($chat, 0, -1), $json],
    'JSON and more behind it' => ["$chat x", $json],
    'Spellings that disagree' => ['{"model":"a","Model":"b"}', qr/Keys .* say different things/],
    'an unknown coding' => [$packed, $coding, 'zstd'],
    'two codings' => [$packed, $coding, 'gzip, gzip'],
    'gzip that is cut' => [substr($packed, 0, -12), $coding, 'gzip'],
    'gzip and more behind it' => ["${packed}x", $coding, 'gzip'],
    'gzip without its coding' => [$packed, $json],
    'a coding that it does not have' => [$chat, $coding, 'gzip'],
    'a bomb' => [$bomb, $coding, 'gzip'],
    'half a character' => ["{\0}\0 ", $coding],
);

subtest 'unreadable bodies are refused' => sub {
    for my $path ('', '/fixed', '/by_model') {
        $t->new_client;
        for my $name (sort keys %bodies) {
            my $answer = send_body("$path/v1/chat/completions", $name);
            is $answer->{status}, 400, "$path: $name";
            my $error = decode_json($answer->{body})->{error};
            is $error->{type}, 'invalid_request_error', 'in the format of the path';
            like $error->{message}, $bodies{$name}[1], 'which says why';
            is $answer->{log}{result}, 'REJECTED', 'and is logged so';
        }
        is $t->left, $LIMIT, 'and cost nothing';
    }
    like $t->nginx->error_log, qr/refusing a request whose body cannot be read: The request body is neither valid JSON nor a form,/, 'and the error log';
    my %rejected = get($t->port, '/api/limits/metrics')->{body} =~ /^ai_limit_requests_total\{[^}]*policy="(\w+)"[^}]*result="rejected"[^}]*\} (\d+)/mg;
    is $rejected{$_}, scalar(keys %bodies), "and counted: $_" for qw(tokens fixed);
    my ($status) = grep { $_->{name} eq 'tokens' } @{decode_json(get($t->port, '/api/limits/status')->{body})->{policies}};
    is $status->{top_keys}{refusals}[0]{count}, scalar(keys %bodies), 'by key, too';
};

subtest 'unreadable bodies are estimated if the configuration says so' => sub {
    for my $name (grep { $_ ne 'a bomb' } sort keys %bodies) {
        $t->new_client;
        my $answer = send_body('/estimate/raw', $name);
        my $tokens = int(length($bodies{$name}[0]) / 4);
        is $answer->{status}, 200, $name;
        if ($name =~ /^gzip (?:that|and)/) {
            # If the part that can be read is larger than the body, that part counts.
            ok $answer->{log}{reserved} > $tokens, "more than a quarter of its bytes is reserved: $answer->{log}{reserved}";
        }
        else {
            is $answer->{log}{reserved}, $tokens, 'a quarter of its bytes is reserved';
        }
        is $answer->{log}{in}, $answer->{log}{reserved}, 'and charged';
    }
    my $held = send_body('/estimate/raw', 'a bomb')->{log}{reserved};
    ok $held > 250_000, "a bomb, as far as it is read: $held";
};

subtest 'unreadable bodies change nothing if no policy needs them' => sub {
    for my $path ('/count', '/trial', '/dry_run') {
        $t->new_client;
        for my $name (sort keys %bodies) {
            my $answer = send_body("$path/raw", $name);
            is $answer->{status}, 200, "$path: $name";
            isnt $answer->{log}{result}, 'REJECTED', 'is not refused';
        }
    }
};

subtest 'a stream whose usage nginx cannot ask for' => sub {
    my $stream = chat(stream => 1);
    my $with = sub { my ($options) = @_; return $stream =~ s/^\{/{$options,/r };
    my %streams = (
        'options in capitals' => [$with->('"Stream_Options":{"include_usage":true}')],
        'an option in capitals' => [$with->('"stream_options":{"Include_usage":true}')],
        'options of another kind' => [$with->('"stream_options":false')],
        'a long number' => [$with->('"stream_options":{"include_usage":0.' . '0' x 100 . '}')],
        'a compressed body' => [encoder({encoding => 'gzip'})->($stream, 1), 'gzip'],
        'UTF-16' => [join('', map { "$_\0" } split //, $stream)],
    );
    my $path = 'v1/chat/completions';
    for my $name (sort keys %streams) {
        my ($body, $encoding) = @{$streams{$name}};
        my @headers = (headers => [defined $encoding ? ('Content-Encoding' => $encoding) : ()]);
        $t->new_client;
        my $answer = $t->ask("/asked/$path", $body, @headers);
        is $answer->{status}, 400, $name;
        like decode_json($answer->{body})->{error}{message}, qr/set include_usage in stream_options to true/, 'says what helps';
        is $t->left, $LIMIT, 'and cost nothing';
        for my $other (qw(/silent /asked/count /asked/estimate)) {
            my $passed = $t->ask("$other/$path", $body, @headers);
            ok $passed->{status} == 200 && $passed->{body} eq $body, "but passes unchanged under $other" or diag $passed->{status};
        }
    }
    $t->new_client;
    is $t->ask("/asked/$path", $_)->{status}, 200, 'others pass' for $stream, chat(stream => 1, include_usage => 1), chat();
    my $packed = encoder({encoding => 'gzip'})->(chat(stream => 1, include_usage => 1), 1);
    is $t->ask("/asked/$path", $packed, headers => ['Content-Encoding' => 'gzip'])->{status}, 200, 'also a compressed one that asks itself';
};

subtest 'readable bodies pass' => sub {
    $t->new_client;
    my %readable = (
        'a form with files' => ["--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\x01\r\n--b--\r\n", 'multipart/form-data; boundary=b'],
        'a form' => ['a=b&c=d', 'application/x-www-form-urlencoded'],
        'JSON that curl takes for a form' => [$chat, 'application/x-www-form-urlencoded'],
        'JSON of any type' => [$chat, 'text/plain'],
        'white space' => [" \r\n", 'application/json'],
        'nothing' => ['', 'application/json'],
    );
    for my $name (sort keys %readable) {
        my ($body, $type) = @{$readable{$name}};
        my $answer = $t->ask('/raw', undef, method => 'POST', body => $body, headers => ['Content-Type' => $type]);
        is $answer->{status}, 200, $name;
    }
    is $t->ask('/v1/models')->{status}, 200, 'no body';
    my $answer = $t->ask('/raw', undef, method => 'POST', body => '{"a":1', headers => ['Content-Type' => 'multipart/form-data; boundary=b']);
    is $answer->{status}, 400, 'not what begins like JSON and claims to be a form';
};

subtest 'a body that no policy counts is read only as far as needed' => sub {
    $t->new_client;
    srand 1;
    my $text = join '', map { chr(97 + rand 26) x 10 } 1 .. 200_000;
    my %long = (front => qq({"model":"a","text":"$text"}), back => qq({"text":"$text","model":"a"}));
    for my $coding (undef, 'gzip') {
        my $name = $coding // 'plain';
        is model_of('/count/raw', $long{front}, $coding), 'a', "$name: a model in front is known";
        is model_of('/count/raw', $long{back}, $coding), undef, 'one behind 1 MB is not';
        is model_of('/by_model/raw', $long{back}, $coding), 'a', 'but it is where a policy counts by it';
    }
};

subtest 'with an error_page' => sub {
    $t->new_client;
    my $answer = send_body('/page/raw', 'plain text');
    is "$answer->{status} $answer->{body}", "400 another page\n", 'that page answers';
    is $t->ask('/count/v1/models')->{headers}{'x-ratelimit-remaining'}, 99, 'and policies in requests charge nothing';
    for my $path ('/inherited/raw', '/inherited/recursive/raw') {
        $answer = send_body($path, 'plain text');
        is $answer->{status}, 400, "$path: no page leads to a model past the policy that refused";
        like $answer->{body}, $json, 'and the client is told why';
    }
    $answer = send_body('/inherited/own/raw', 'plain text');
    is "$answer->{status} $answer->{body}", "400 a page of our own\n", 'but the policy does not refuse its page';
};

$t->stop;
done_testing;

sub model_of {
    my ($path, $body, $coding) = @_;
    my $sent = defined $coding ? encoder({encoding => $coding})->($body, 1) : $body;
    return $t->ask($path, $sent, headers => [defined $coding ? ('Content-Encoding' => $coding) : ()])->{headers}{'x-model'};
}

sub send_body {
    my ($path, $name) = @_;
    my ($body, undef, $encoding) = @{$bodies{$name}};
    return $t->ask($path, $body, headers => [defined $encoding ? ('Content-Encoding' => $encoding) : ()]);
}
