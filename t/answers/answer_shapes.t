# Tests that answers in shapes that few servers send are charged what they report: in any coding, in pieces, under a
# Content-Type that is wrong. Answers cut by the server cost what they had reported, and text is never free.
# t/unit/usage/answer_property_test.cpp cuts more shapes, at each byte.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Tokens;

my $LIMIT = 1_000_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    # The model server answers with the body of the request.
    locations => 'ai_limit_unreadable_body estimate; location / { ai_limit tokens; proxy_pass http://model; }',
);

my $JSON = 'application/json';
my $SSE = 'text/event-stream';
my $LINES = 'application/x-ndjson';
my $text = 'A' x 40;

sub events { return join '', map { "data: $_\n\n" } @_ }

my $start = '{"type":"message_start","message":{"usage":{"input_tokens":100,"cache_read_input_tokens":4000,"output_tokens":1}}}';
my $delta = qq({"type":"content_block_delta","delta":{"text":"$text"}});
my $chunk = qq({"choices":[{"delta":{"content":"$text"}}]});

# Name, type, answer, what it tells.
my @answers = (
    ['a later 0', $SSE, events($start, $delta, '{"type":"message_delta","usage":{"input_tokens":0,"output_tokens":37}}',
        '{"type":"message_stop"}'), 'in=4100 out=37 cached=4000'],
    ['compaction', $JSON, '{"content":[{"text":"ok"}],"usage":{"input_tokens":23,"output_tokens":1,"iterations":['
        . '{"input_tokens":180,"output_tokens":35},{"input_tokens":23,"output_tokens":10}]}}', 'in=203 out=45 cached=0'],
    ['Moonshot', $SSE, events($chunk, '{"choices":[{"delta":{},"usage":{"prompt_tokens":321,"completion_tokens":123,"cached_tokens":40}}]}',
        '[DONE]'), 'in=321 out=123 cached=40'],
    ['SGLang', $SSE, events(qq({"text":"$text","meta_info":{"prompt_tokens":321,"completion_tokens":10}}),
        qq({"text":"$text$text","meta_info":{"prompt_tokens":321,"completion_tokens":40,"cached_tokens":40}}), '[DONE]'),
        'in=321 out=40 cached=40'],
    ['Gemini with tools', $JSON, '{"candidates":[{"content":{"parts":[{"text":"Four."}]}}],"usageMetadata":{"promptTokenCount":80,'
        . '"toolUsePromptTokenCount":237,"candidatesTokenCount":173,"thoughtsTokenCount":60,"totalTokenCount":550}}',
        'in=317 out=233 cached=0'],
    ['Interactions', $JSON, '{"outputs":[{"text":"hello"}],"usage":{"total_input_tokens":20,"total_cached_tokens":5,'
        . '"total_output_tokens":30,"total_thought_tokens":40,"total_tokens":90}}', 'in=20 out=70 cached=5'],
    ['Vertex', $JSON, '{"predictions":[{"content":"hello"}],"metadata":{"tokenMetadata":{"inputTokenCount":{"totalTokens":11},'
        . '"outputTokenCount":{"totalTokens":7}}}}', 'in=11 out=7 cached=0'],
    ['Ollama', $LINES, qq({"message":{"content":"$text"},"done":false}\n)
        . qq({"done":true,"prompt_eval_count":9900,"prompt_eval_cached_count":9800,"eval_count":190}\n), 'in=9900 out=190 cached=9800'],
    ['Workers AI', $JSON, '{"result":{"response":"hi","usage":{"prompt_tokens":321,"completion_tokens":123}}}', 'in=321 out=123 cached=0'],
    ['fractions and strings', $JSON, '{"choices":[],"usage":{"prompt_tokens":"12","completion_tokens":37.25}}', 'in=12 out=38 cached=0'],
    ['a byte order mark', $JSON, "\xEF\xBB\xBF" . '{"usage":{"prompt_tokens":321,"completion_tokens":123}}', 'in=321 out=123 cached=0'],
    ['Cohere, version 1', 'application/stream+json', qq({"event_type":"text-generation","text":"$text"}\n)
        . qq({"event_type":"stream-end","is_finished":true,"response":{"meta":{"tokens":{"input_tokens":71,"output_tokens":40}}}}\n),
        'in=71 out=40 cached=0'],
);

for my $answer (@answers) {
    my ($name, $type, $body, $tells) = @$answer;
    subtest $name => sub {
        $t->new_client;
        my ($in, $out) = $tells =~ /in=(\d+) out=(\d+)/;
        my $expected = sprintf '%s total=%d source=response', $tells, $in + $out;
        my $ask = sub { my ($as, @wishes) = @_; return $t->ask(join('&', "/raw?type=$as", @wishes), $body) };
        is usage_of($ask->($type)), $expected, 'as it is';
        is usage_of($ask->($type, "encoding=$_")), $expected, $_ for qw(gzip deflate br);
        is usage_of($ask->($type, 'split=3')), $expected, 'in pieces';
        is usage_of($ask->($_)), $expected, "as $_" for grep { $type eq $JSON || $type eq $SSE } 'text/plain', $JSON, $SSE;
        is $t->left, $LIMIT - ($in + $out) * (5 + ($type eq $JSON || $type eq $SSE ? 3 : 0)), 'is charged each time';
    };
}

subtest 'cut by the server' => sub {
    my ($told, $seen) = (events($start), events($start, $delta, $delta));
    my $whole = $seen . events('{"type":"message_delta","usage":{"output_tokens":500}}');
    for my $coding ('', '&encoding=gzip', '&encoding=deflate') {
        # A client can read each piece of 100 bytes of a coded answer when it has come.
        for my $cut (length $told, length $seen) {
            $t->new_client;
            my $size = $coding ? "&split=100&cut=" . int($cut / 100 + 1) : "&cut_at=$cut";
            my $answer = $t->ask("/raw?type=$SSE$coding$size", $whole);
            ok !$answer->{complete}, "$coding at $cut";
            is $answer->{log}{in}, 4100, 'costs the input that was reported';
            my $least = $cut == length $told ? 1 : 2 * 40 / 4;
            cmp_ok $answer->{log}{out}, '>=', $least, 'and the text' if !$coding;
        }
    }
};

subtest 'an error at the end' => sub {
    $t->new_client;
    my $log = $t->ask("/raw?type=$SSE", events($start, $delta, '{"type":"error","error":{"type":"overloaded_error"}}'))->{log};
    is "$log->{in} $log->{out} $log->{source}", '4100 10 estimate', 'costs the text';
};

subtest 'an input that is missing' => sub {
    for my $usage ('"input_tokens":0,"output_tokens":37', '"output_tokens":37') {
        $t->new_client;
        my $log = $t->ask("/raw?type=$JSON", qq({"messages":[{"role":"user","content":"@{['word ' x 80]}"}],"usage":{$usage}}))->{log};
        is "$log->{in} $log->{out} $log->{source}", '103 37 estimate', 'costs the estimate of the prompt';
    }
};

subtest 'an answer that reports nothing' => sub {
    $t->new_client;
    my $seen = length $t->nginx->error_log;
    my $log = $t->ask("/raw?type=$JSON", '{"unheard_of":[1,2]}')->{log};
    is "$log->{in} $log->{out} $log->{source}", '0 0 estimate', 'costs nothing where nothing is known';
    like substr($t->nginx->error_log, $seen), qr/no usage in the answer/, 'but the log says so';
};

$t->stop;
done_testing;
