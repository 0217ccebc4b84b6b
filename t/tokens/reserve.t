# Tests that nginx reserves what a request may use from its admission until its answer ends: the prompt's estimate and
# the most output that it asks for, as each API says it; or what reserve= says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 10_000;
my %policies = (
    tokens  => 'reserve=max',
    fixed   => 'reserve=500',
    none    => 'reserve=off',
    by_name => 'reserve=$http_x_reserve',
    outputs => 'count=output reserve=max',
    weighed => 'count=input:1,output:4 reserve=max',
    learned => 'count=input:1,output:4',
    at_most => 'reserve=auto:250',
);
my @names = sort keys %policies;
my $t = AiLimit::Tokens->start(
    left => \@names,
    policies => join('', map { "ai_limit_policy $_ key=\$http_x_key rate=1t/month burst=$LIMIT $policies{$_};\n" } @names),
    server => 'ai_limit_unreadable_body estimate; add_header X-Remaining $ai_limit_remaining always;',
    locations => join('', map { "location /$_/ { ai_limit $_; proxy_pass http://model/; }\n" } @names) . <<'CONF',
        location / { ai_limit tokens; proxy_pass http://model; }
        location /several/ { ai_limit none fixed tokens outputs; proxy_pass http://model/; }
CONF
);

subtest 'while the answer is under way' => sub {
    $t->new_client;
    my $stream = $t->begin('/v1/chat/completions?gate=one&prompt_tokens=5&completion_tokens=6',
        chat(stream => 1, include_usage => 1, max_tokens => 100));
    is $stream->head, 200, 'a request passes';
    my $held = 100 + estimate();
    is $stream->headers->{'x-remaining'}, $LIMIT - $held, 'its own headers leave out its reservation';
    is $stream->headers->{'x-ratelimit-remaining'}, $LIMIT - $held, 'all of them';
    is $t->left, $LIMIT - $held, 'others cannot have it';
    get($t->model->port, '/next?gate=one') for 1 .. 10;
    ok $stream->finish->{complete}, 'when it ends';
    is $t->left, $LIMIT - 11, 'what it used is charged in place of that';
    is $t->logged($stream)->{reserved}, $held, 'the log has the reservation';
};

my $messages = '"messages":[{"role":"user","content":"' . 'x' x 40 . '"}]';
my $contents = '"contents":[{"role":"user","parts":[{"text":"' . 'x' x 40 . '"}]}]';
my $converse = '"messages":[{"role":"user","content":[{"text":"' . 'x' x 40 . '"}]}]';
my $prompt = '"prompt":"' . 'x' x 40 . '"';
my $input = '"input":"' . 'x' x 40 . '"';

subtest 'the most output, as each API says it' => sub {
    my $chat = estimate();
    my @cases = (
        ['OpenAI', '/v1/chat/completions', "{$messages,\"max_completion_tokens\":700}", $chat + 700],
        ['OpenAI, older', '/v1/chat/completions', "{$messages,\"max_tokens\":700}", $chat + 700],
        ['both: the larger', '/v1/chat/completions', "{$messages,\"max_tokens\":1,\"max_completion_tokens\":700}", $chat + 700],
        ['both, the other way round', '/v1/chat/completions', "{\"max_completion_tokens\":1,\"max_tokens\":700,$messages}", $chat + 700],
        ['several answers', '/v1/chat/completions', "{$messages,\"max_tokens\":700,\"n\":3}", $chat + 2100],
        ['none', '/v1/chat/completions', "{$messages}", $chat],
        ['completions', '/v1/completions', "{$prompt,\"max_tokens\":700}", undef, 700],
        ['responses', '/v1/responses', "{$input,\"max_output_tokens\":700}", undef, 700],
        ['Azure', '/openai/deployments/d/chat/completions', "{$messages,\"max_tokens\":700}", $chat + 700],
        ['Anthropic', '/v1/messages', "{$messages,\"max_tokens\":700}", $chat + 700],
        ['Gemini', '/v1beta/models/g:generateContent', "{$contents,\"generationConfig\":{\"maxOutputTokens\":700}}", undef, 700],
        ['Bedrock', '/model/m/converse', "{$converse,\"inferenceConfig\":{\"maxTokens\":700}}", undef, 700],
        ['Ollama', '/api/chat', "{$messages,\"options\":{\"num_predict\":700}}", undef, 700],
        ['text generation', '/generate', "{\"inputs\":\"" . 'x' x 40 . "\",\"parameters\":{\"max_new_tokens\":700}}", undef, 700],
        ['llama.cpp', '/v1/completions', "{$prompt,\"n_predict\":700}", undef, 700],
        ['llama.cpp: no end', '/v1/completions', "{$prompt,\"n_predict\":-1}", undef, 0],
        ['DashScope', '/api/v1/services/aigc/text-generation/generation', "{\"input\":{$messages},\"parameters\":{\"max_tokens\":700}}", $chat + 700],
        ['Vertex', '/v1/projects/p/models/m:predict', "{\"instances\":[{$prompt}],\"parameters\":{\"maxOutputTokens\":700}}", 710],
        ['Gemini Interactions', '/v1beta/interactions', "{$input,\"generation_config\":{\"max_output_tokens\":700}}", 710],
        ['SGLang', '/generate', '{"text":"' . 'x' x 40 . '","sampling_params":{"max_new_tokens":700}}', 710],
        ['Replicate', '/v1/models/o/m/predictions', "{\"input\":{$prompt,\"max_tokens\":700}}", 710],
        ['a reranker', '/v2/rerank', '{"query":"' . 'x' x 20 . '","documents":["' . 'x' x 20 . '"]}', 10],
        ['embeddings', '/v1/embeddings', "{$input}", 10],
        ['nothing', '/v1/chat/completions', '', 0],
        ['no JSON: its bytes', '/v1/chat/completions', 'max_tokens=700', 3],
    );
    for my $case (@cases) {
        my ($name, $path, $body, $held, $output) = @$case;
        $t->new_client;
        my $log = $t->ask($path, $body)->{log};
        # 40 characters have about 10 tokens, and messages some more.
        defined $held ? is $log->{reserved}, $held, $name
            : ok $log->{reserved} >= $output + 10 && $log->{reserved} <= $output + 13, "$name: $log->{reserved}";
    }
};

subtest 'the prompt' => sub {
    my $hiragana = "\xe3\x81\x82";
    my %cases = (
        'several messages' => [chat(messages => [map { {role => 'user', content => 'x' x 10} } 1 .. 4]), 10 + 4 + 2],
        'parts of a message' => [chat(messages => [{role => 'user', content =>
            [{type => 'text', text => 'x' x 20}, {type => 'text', text => 'x' x 20}]}]), 10 + 1 + 2],
        'an image' => [chat(messages => [{role => 'user', content => [{type => 'text', text => 'x' x 40},
            {type => 'image_url', image_url => {url => 'data:' . 'A' x 4000}}]}]), 10 + 1 + 2],
        'characters, not bytes' => ['{"messages":[{"role":"user","content":"' . '\u3042' x 20 . $hiragana x 20 . '"}]}', 10 + 1 + 2],
        'the quarter is rounded down' => [chat(text => 'x' x 43), 10 + 1 + 2],
        'as reckoned over all messages' => [chat(messages => [map { {role => 'user', content => 'x' x 3} } 1 .. 4]), 3 + 4 + 2],
    );
    for my $name (sort keys %cases) {
        is $t->ask('/v1/chat/completions', $cases{$name}[0])->{log}{reserved}, $cases{$name}[1], $name;
    }
};

subtest 'no more than the limit of the policy' => sub {
    $t->new_client;
    my $log = $t->ask('/v1/chat/completions?prompt_tokens=1&completion_tokens=1', chat(max_tokens => 1_000_000))->{log};
    is "$log->{status} $log->{reserved}", "200 $LIMIT", 'a request for more output reserves all';
    is $t->left, $LIMIT - 2, 'and gives it back';
    $log = $t->ask('/v1/chat/completions', chat(max_tokens => 1_000_000))->{log};
    is "$log->{status} $log->{result}", '429 REJECTED', 'but there must be all';
};

subtest 'a prompt that can never fit' => sub {
    $t->new_client;
    my $answer = $t->ask('/v1/chat/completions', chat(text => 'x' x (4 * $LIMIT)));
    is $answer->{status}, 400, 'is refused';
    is $answer->{headers}{'x-should-retry'}, 'false', 'not to be tried again';
    ok !exists $answer->{headers}{$_}, "without $_" for qw(retry-after retry-after-ms);
    is $t->left, $LIMIT, 'and takes nothing';
    my $fits = chat(text => 'x' x (4 * ($LIMIT - 3)));
    is $t->ask('/v1/chat/completions?prompt_tokens=1&completion_tokens=1', $fits)->{status}, 200, 'one that just fits passes';
};

subtest 'reserve=' => sub {
    my $wishes = 'prompt_tokens=30&completion_tokens=12';
    my $body = chat(max_tokens => 700);
    my %held = (fixed => 500, none => 0, tokens => 700 + estimate(), outputs => 700, weighed => 4 * 700 + estimate());
    my %used = (outputs => 12, weighed => 30 + 4 * 12);
    for my $name (sort keys %held) {
        $t->new_client;
        is $t->ask("/$name/v1/chat/completions?$wishes", $body)->{log}{reserved}, $held{$name}, $policies{$name};
        # The request that looks reserves as well.
        my $looks = $name eq 'fixed' ? 500 : 0;
        is $t->left($name), $LIMIT - $looks - ($used{$name} // 42), 'then what was used';
    }
    $t->new_client;
    my $by_name = sub { $t->ask("/by_name/v1/chat/completions?$wishes", $body, headers => ['X-Reserve' => $_[0]])->{log} };
    is $by_name->('250')->{reserved}, 250, 'a variable with a number';
    is $by_name->('0')->{reserved}, 0, 'or nothing';
    is $by_name->('max')->{reserved}, 700 + estimate(), 'or max';
    is $by_name->('off')->{reserved}, 0, 'or off';
    my $is_learned = sub { ok $_[0] > 12 + 13 && $_[0] < 4 * 12 + 26, "$_[1]: $_[0]" };
    $is_learned->($by_name->('auto')->{reserved}, 'or auto, which has learned');
    $is_learned->($by_name->('')->{reserved}, 'an empty one is as without');
    $is_learned->($by_name->('lots')->{reserved}, 'a malformed one too');
    $is_learned->($by_name->('auto:lots')->{reserved}, 'a malformed number too');
    my $little = $by_name->('auto:1')->{reserved};
    ok $little > 13 && $little < 26, "or auto with a number: $little";
    like $t->nginx->error_log, qr/invalid reserve "lots" of policy "by_name"/, 'and is logged';
    is $t->left('by_name'), $LIMIT - 9 * 42, 'what was used does not depend on it';
};

subtest 'reserve=auto' => sub {
    my $asks = sub {
        my ($policy, $model, $output, @more) = @_;
        my $path = "/$policy/v1/chat/completions?prompt_tokens=13&completion_tokens=$output";
        return $t->ask($path, chat(model => "learned-$model", max_tokens => 2000, @more))->{log}{reserved};
    };
    $t->new_client;
    is $asks->('learned', 1, 100), 4 * 2000 + estimate(), 'the first request of a model reserves what it asks for';
    is $asks->('learned', 1, 100), 4 * 400 + estimate(), 'the next four times what was used, by the weights of the policy';
    my $last;
    $last = $asks->('learned', 1, 100, text => 'x' x 40) for 1 .. 20;
    ok $last > 4 * 100 && $last < 4 * 165 + estimate(), "then little more: $last";
    is $asks->('learned', 1, 100, max_tokens => 50), 4 * 50 + estimate(), 'never more than the request asks for';
    $t->new_client;
    is $asks->('learned', 2, 7), 4 * 2000 + estimate(), 'another model has a habit of its own';
    $t->new_client;
    my $other = $asks->('learned', 1, 3000);
    ok $other > 4 * 100 && $other < 4 * 165 + estimate(), "another key begins with the habit of the model: $other";
    is $asks->('at_most', 1, 100), 250 + estimate(), 'auto:N reserves no more than N for the output';
    is $asks->('at_most', 3, 100), 250 + estimate(), 'nor if nothing is known';
    $t->new_client;
    my %silent = (model => 'silent', messages => [{role => 'user', content => 'x' x 40}]);
    my $path = '/learned/v1/chat/completions?prompt_tokens=13&completion_tokens=';
    is $t->ask("${path}20", chat(%silent))->{log}{reserved}, 4 * 1000 + estimate(), '1,000 if the request names no limit';
    is $t->ask("${path}20", chat(%silent))->{log}{reserved}, 4 * 80 + estimate(), 'until it is known';
};

subtest 'failures teach nothing' => sub {
    $t->new_client;
    my $body = chat(model => 'failing', max_tokens => 2000);
    for my $how ('status=500', 'status=429', 'status=400') {
        $t->ask("/learned/v1/chat/completions?completion_tokens=1&$how", $body);
    }
    is $t->ask('/learned/v1/chat/completions?completion_tokens=1', $body)->{log}{reserved}, 4 * 2000 + estimate(),
        'an answer with another status is none';
};

subtest 'several policies' => sub {
    $t->new_client;
    is $t->ask('/several/v1/chat/completions', chat(max_tokens => 700))->{log}{reserved}, 700 + estimate(),
        'the log has the largest that was held';
};

subtest 'reserve=off admits while anything remains' => sub {
    $t->new_client;
    my $used = sub { "/none/v1/chat/completions?prompt_tokens=1&completion_tokens=$_[0]" };
    is $t->ask($used->($LIMIT - 2), chat())->{status}, 200, 'a request that leaves one';
    is $t->left('none'), 1, 'token';
    is $t->ask($used->(99), chat(max_tokens => 5000))->{status}, 200, 'another one that uses more';
    is $t->ask($used->(1), chat())->{status}, 429, 'the next is refused';
};

$t->stop;
done_testing;
