# Every provider's usage is read from its answers, streamed and not, however they are cut and whatever
# the model says in them; and that is what is charged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;");

my $contents = '{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}';
my $converse = '{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}';
my $inputs = '{"inputs":"Hi"}';
my $whole = chat(stream => 0);
my $stream = chat(stream => 1);
my $openai_stream = chat(stream => 1, include_usage => 1);

# Name, path, body, and which of cached and written input it tells.
my @apis = (
    ['OpenAI chat', '/v1/chat/completions', $whole, 'cached'],
    ['OpenAI chat, stream', '/v1/chat/completions', $openai_stream, 'cached'],
    ['OpenAI completions', '/v1/completions', '{"model":"m","prompt":"Hi"}', 'cached'],
    ['OpenAI completions, stream', '/v1/completions',
        '{"model":"m","prompt":"Hi","stream":true,"stream_options":{"include_usage":true}}', 'cached'],
    ['OpenAI responses', '/v1/responses', '{"model":"m","input":"Hi"}', 'cached'],
    ['OpenAI responses, stream', '/v1/responses', '{"model":"m","input":"Hi","stream":true}', 'cached'],
    ['Azure', '/openai/deployments/d/chat/completions', $whole, 'cached'],
    ['Azure, stream', '/openai/deployments/d/chat/completions', $openai_stream, 'cached'],
    ['Anthropic', '/v1/messages', $whole, 'cached written'],
    ['Anthropic, stream', '/v1/messages', $stream, 'cached written'],
    ['Gemini', '/v1beta/models/g:generateContent', $contents, 'cached'],
    ['Gemini, stream', '/v1beta/models/g:streamGenerateContent', $contents, 'cached'],
    ['Gemini, events', '/v1beta/models/g:streamGenerateContent?alt=sse', $contents, 'cached'],
    ['Cohere', '/v2/chat', $whole, ''],
    ['Cohere, stream', '/v2/chat', $stream, ''],
    ['Ollama chat', '/api/chat', '{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false}', ''],
    ['Ollama chat, stream', '/api/chat', '{"model":"m","messages":[{"role":"user","content":"Hi"}]}', ''],
    ['Ollama generate', '/api/generate', '{"model":"m","prompt":"Hi","stream":false}', ''],
    ['Ollama generate, stream', '/api/generate', '{"model":"m","prompt":"Hi"}', ''],
    ['Bedrock converse', '/model/m/converse', $converse, 'cached written'],
    ['Bedrock converse, stream', '/model/m/converse-stream', $converse, 'cached written'],
    ['Bedrock invoke', '/model/m/invoke', $whole, ''],
    ['Bedrock invoke, stream', '/model/m/invoke-with-response-stream', $whole, 'cached written'],
    ['text generation', '/generate', $inputs, ''],
);

my $used = 'prompt_tokens=321&completion_tokens=123&reasoning_tokens=23';

for my $api (@apis) {
    my ($name, $path, $body, $tells) = @$api;
    my $cached = $tells =~ /cached/ ? 40 : 0;
    my $wishes = $used . ($cached ? '&cached_tokens=40' : '') . ($tells =~ /written/ ? '&written_tokens=50' : '');
    my $expected = "in=321 out=123 cached=$cached total=444 source=response";
    my $with = sub { $path . ($path =~ /\?/ ? '&' : '?') . join '&', $wishes, @_ };
    subtest $name => sub {
        $t->new_client;
        my $answer = $t->ask($with->(), $body);
        is $answer->{status}, 200, 'is answered';
        is usage_of($answer), $expected, 'says what it used';
        is $t->left, $LIMIT - 444, 'is charged that';
        is usage_of($t->ask($with->('trap=1'), $body)), $expected, 'whatever the model says';
        is usage_of($t->ask($with->("split=$_"), $body)), $expected, "in pieces of $_ bytes" for 1, 7, 64;
        is usage_of($t->ask($with->('trap=1', 'split=5'), $body)), $expected, 'all of it at once';
        is $t->left, $LIMIT - 6 * 444, 'each is charged once';
    };
}

subtest 'events in other forms' => sub {
    my @forms = ("crlf", "cr", "nospace", "comments", "lines", "open", "crlf,nospace,comments,lines");
    my %streams = map { $_->[0] => $_ } grep { $_->[0] =~ /stream|events/ } @apis;
    for my $name ('OpenAI chat, stream', 'OpenAI responses, stream', 'Anthropic, stream', 'Gemini, events') {
        my (undef, $path, $body) = @{$streams{$name}};
        for my $form ((@forms)) {
            my $answer = $t->ask($path . ($path =~ /\?/ ? '&' : '?') . "$used&sse=$form&split=11", $body);
            is usage_of($answer), 'in=321 out=123 cached=0 total=444 source=response', "$name: $form";
        }
    }
};

subtest 'shapes that only some servers use' => sub {
    my $expected = 'in=321 out=123 cached=0 total=444 source=response';
    my @variants = (
        ['OpenAI: padding', '/v1/chat/completions?obfuscation=1', $openai_stream],
        ['vLLM: no nulls', '/v1/chat/completions?nulls=0', $openai_stream],
        ['vLLM: usage so far in every piece', '/v1/chat/completions?running=1', $openai_stream],
        ['OpenAI responses: incomplete', '/v1/responses?end=incomplete', '{"input":"Hi","stream":true}'],
        ['OpenAI responses: failed', '/v1/responses?end=failed', '{"input":"Hi","stream":true}'],
        ['Anthropic: counts that grow', '/v1/messages?updates=4', $stream],
        ['a long stream', '/v1/chat/completions?size=1000000', $openai_stream],
    );
    for my $variant (@variants) {
        my ($name, $path, $body) = @$variant;
        is usage_of($t->ask("$path&$used", $body)), $expected, $name;
    }
    is usage_of($t->ask('/v1/embeddings?prompt_tokens=321', '{"model":"m","input":"Hi"}')),
        'in=321 out=0 cached=0 total=321 source=response', 'OpenAI embeddings: input only';
};

subtest 'the model and whether it streams' => sub {
    my %said = (
        '/v1/chat/completions' => [$whole, 'test-model', 0],
        '/v1/completions' => [$openai_stream, 'test-model', 1],
        '/v1beta/models/gemini-2:generateContent' => [$contents, 'gemini-2', 0],
        '/v1beta/models/gemini-2:streamGenerateContent' => [$contents, 'gemini-2', 1],
        '/openai/deployments/mine/chat/completions' => [$whole, 'mine', 0],
        '/model/vendor.model-1%3A0/converse' => [$converse, 'vendor.model-1:0', 0],
        '/model/vendor.model-1%3A0/converse-stream' => [$converse, 'vendor.model-1:0', 1],
        '/api/chat' => ['{"model":"llama","messages":[]}', 'llama', 1],
        '/api/generate' => ['{"model":"llama","prompt":"","stream":false}', 'llama', 0],
    );
    for my $path (sort keys %said) {
        my ($body, $model, $streams) = @{$said{$path}};
        my $log = $t->ask($path, $body)->{log};
        is "$log->{model} $log->{stream}", "$model $streams", $path;
    }
};

$t->stop;
done_testing;
