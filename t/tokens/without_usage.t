# Tests that a 2xx answer without usage, or one cut short by either side before its usage, costs the prompt's estimate
# and a quarter of the characters of the text that was seen. Input that it has reported is charged as it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 10_000;
my $t = AiLimit::Tokens->start(
    files => {'page.json' => '{"choices":[{"message":{"content":"' . 'x' x 400 . '"}}]}'},
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /buffered/ { proxy_buffering on; proxy_pass http://model/; }
        location = /page.json { root %%DIR%%; }
        location = /accel { proxy_pass http://127.0.0.1:%%PORT_1%%; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        access_log off;
        location = /accel { add_header X-Accel-Redirect /page.json; return 200; }
CONF
);

# "Hello from the model server."
my $TEXT = 28 / 4;
my $prompt = 'x' x 40;

subtest 'answers without usage' => sub {
    my $contents = qq({"contents":[{"role":"user","parts":[{"text":"$prompt"}]}]});
    my $converse = qq({"messages":[{"role":"user","content":[{"text":"$prompt"}]}]});
    my @answers = (
        ['OpenAI chat', '/v1/chat/completions', chat()],
        ['OpenAI chat, stream', '/v1/chat/completions', chat(stream => 1, include_usage => 1)],
        ['a stream that was not asked for usage', '/v1/chat/completions', chat(stream => 1)],
        ['OpenAI completions', '/v1/completions', qq({"prompt":"$prompt"})],
        ['OpenAI completions, stream', '/v1/completions', qq({"prompt":"$prompt","stream":true})],
        ['OpenAI responses', '/v1/responses', qq({"input":"$prompt"})],
        ['Anthropic', '/v1/messages', chat()],
        ['Anthropic, stream', '/v1/messages', chat(stream => 1)],
        ['Gemini', '/v1beta/models/g:generateContent', $contents],
        ['Gemini, stream', '/v1beta/models/g:streamGenerateContent', $contents],
        ['Gemini, events', '/v1beta/models/g:streamGenerateContent?alt=sse', $contents],
        ['Cohere', '/v2/chat', chat()],
        ['Cohere, stream', '/v2/chat', chat(stream => 1)],
        ['Ollama chat', '/api/chat', chat()],
        ['Ollama generate', '/api/generate', qq({"prompt":"$prompt"})],
        ['Bedrock converse', '/model/m/converse', $converse],
        ['Bedrock converse, stream', '/model/m/converse-stream', $converse],
        ['Bedrock invoke, stream', '/model/m/invoke-with-response-stream', chat()],
        ['text generation', '/generate', qq({"inputs":"$prompt"})],
    );
    for my $answer (@answers) {
        my ($name, $path, $body) = @$answer;
        $t->new_client;
        my $log = $t->ask($path . ($path =~ /\?/ ? '&' : '?') . 'usage=0', $body)->{log};
        is "$log->{out} $log->{source}", "$TEXT estimate", "$name: the text";
        # With messages that are reckoned like OpenAI's or as their text alone.
        ok $log->{in} >= 10 && $log->{in} <= estimate(), 'and the prompt';
        is $log->{in}, estimate(), 'as OpenAI reckons' if $name =~ /^OpenAI chat/;
        is $t->left, $LIMIT - $log->{in} - $TEXT, 'are charged';
    }
};

subtest 'cut short by the server' => sub {
    for my $way ('cut=3', 'cut=5', 'cut=0') {
        # Each piece is a word: 5, 5, 4, 6 and 8 bytes.
        my %text = ('cut=0' => 0, 'cut=3' => 14, 'cut=5' => 28);
        for my $path ('', '/buffered') {
            $t->new_client;
            my $answer = $t->ask("$path/v1/chat/completions?$way", chat(stream => 1, include_usage => 1, max_tokens => 500));
            ok !$answer->{complete}, "$path $way";
            is $answer->{log}{source}, 'estimate', 'is estimated';
            is $answer->{log}{in}, estimate(), 'the prompt';
            my $quarter = $text{$way} / 4;
            cmp_ok abs($answer->{log}{out} - $quarter), '<', 1, "and the text: $answer->{log}{out}";
            my $left = $LIMIT - $answer->{log}{total};
            is $t->left_at_last($left), $left, 'is charged, and nothing stays reserved';
        }
    }
    $t->new_client;
    my $answer = $t->ask('/v1/chat/completions?cut=1&prompt_tokens=900', chat());
    ok !$answer->{complete}, 'in the middle of a body';
    is $answer->{log}{source}, 'estimate', 'too';
};

subtest 'cut short by the client' => sub {
    $t->new_client;
    my $stream = $t->begin('/v1/chat/completions?gate=left', chat(stream => 1, include_usage => 1, max_tokens => 500));
    ok $stream->wait_for_body(qr/Hello/), 'it has seen a word';
    get($t->model->port, '/next?gate=left') for 1 .. 3;
    ok $stream->wait_for_body(qr/ model/), 'and more';
    is $t->left, $LIMIT - 500 - estimate(), 'then tokens are reserved';
    $stream->abort;
    is $t->left_at_last($LIMIT - estimate() - 5), $LIMIT - estimate() - 5, 'and 20 bytes are charged in place of that';
    my $log = $t->logged($stream);
    is "$log->{in} $log->{out} $log->{source}", estimate() . ' 5 estimate', 'as the log says';
};

subtest 'usage that was seen before the cut' => sub {
    $t->new_client;
    my $final = $t->ask('/v1/chat/completions?cut=7&prompt_tokens=50&completion_tokens=60',
        chat(stream => 1, include_usage => 1));
    ok !$final->{complete}, 'an answer that is cut behind its usage';
    is usage_of($final), 'in=50 out=60 cached=0 total=110 source=response', 'costs what that says';
    $t->new_client;
    # Anthropic's first event has one token of output.
    my $partial = $t->ask('/v1/messages?cut=5&prompt_tokens=50&completion_tokens=60', chat(stream => 1));
    ok !$partial->{complete}, 'one that is cut behind a part of it';
    is $partial->{log}{source}, 'estimate', 'is estimated';
    is $partial->{log}{in}, 50, 'but for the input, which it reported';
    my $gemini = $t->ask('/v1beta/models/g:streamGenerateContent?alt=sse&cut=3&prompt_tokens=50&completion_tokens=60',
        '{"contents":[{"parts":[{"text":"Hi"}]}]}');
    is $gemini->{log}{source}, 'estimate', 'also where each piece has some';
    is $gemini->{log}{in}, 50, 'but the input is the reported one';
};

subtest 'answers that cannot be read' => sub {
    for my $type ('text/plain', 'application/octet-stream', 'text/html', 'application/json') {
        $t->new_client;
        my $answer = $t->ask("/bytes?size=400&type=$type", '{}');
        is usage_of($answer), 'in=0 out=100 cached=0 total=100 source=estimate', "$type: a token for each four bytes";
        is $t->left, $LIMIT - 100, 'is charged';
    }
    $t->new_client;
    is $t->ask('/bytes?size=400&type=text/plain&claims=zstd', '{}')->{log}{out}, 100, 'in an unknown coding';
    is $t->ask('/bytes?size=400&type=application/json&claims=gzip', '{}')->{log}{out}, 100, 'not in the coding that it names';
    is $t->ask('/bytes?size=400&type=audio/mpeg', '{}')->{log}{out}, 0, 'sound is no text';
};

subtest 'answers that are not from a model' => sub {
    $t->new_client;
    is $t->ask($_)->{status}, 200, "no request for a model: $_" for '/v1/models', '/bytes?size=1000', '/echo';
    is $t->left, $LIMIT, 'costs nothing';
};

subtest 'answers of nginx itself' => sub {
    $t->new_client;
    for my $path ('/page.json', '/accel') {
        is $t->ask($path, undef)->{status}, 200, "a file: $path";
        is $t->left, $LIMIT, 'costs nothing';
    }
};

$t->stop;
done_testing;
