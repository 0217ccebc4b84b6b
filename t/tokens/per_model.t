# A policy for each model, by its key or its rate: the model stands in the body or in the path.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $t = AiLimit::Tokens->start(
    left => ['model'],
    policies => <<'CONF',
    map $ai_limit_model $rate {
        default         "";
        gpt-large       100t/month;
        ~^gpt-          1000t/month;
        gemini-2        1000t/month;
    }
    ai_limit_policy model  key=$ai_limit_client:$ai_limit_model rate=1t/month burst=1000 reserve=max;
    ai_limit_policy rates  key=$ai_limit_client:$ai_limit_model rate=$rate;
    ai_limit_policy counts key=$ai_limit_client:$ai_limit_model rate=1r/month burst=2;
    ai_limit_policy streams key=$ai_limit_client:$ai_limit_stream rate=1r/month burst=1;
    ai_limit_policy slots  key=$ai_limit_model concurrency=1;
CONF
    server => 'add_header X-Remaining "$ai_limit_remaining_model" always; add_header X-Model "$ai_limit_model" always;',
    locations => <<'CONF',
        location / { ai_limit model; proxy_pass http://model; }
        location /rates/ { ai_limit rates; proxy_pass http://model/; }
        location /counts/ { ai_limit counts; proxy_pass http://model/; }
        location /streams/ { ai_limit streams; proxy_pass http://model/; }
        location /slots/ { ai_limit slots; proxy_pass http://model/; }
CONF
);
my $used = 'prompt_tokens=100&completion_tokens=50';
my @key = (headers => ['x-api-key' => 'a']);

sub remaining {
    my ($path, $body, @headers) = @_;
    return $t->ask($path, $body, headers => ['x-api-key' => 'a', @headers])->{headers}{'x-remaining'};
}

subtest 'a key with the model' => sub {
    my $held = 1000 - estimate();
    my $chat = "/v1/chat/completions?$used";
    is remaining($chat, chat(model => 'one')), $held, 'one model';
    is remaining($chat, chat(model => 'one')), $held - 150, 'is charged';
    is remaining($chat, chat(model => 'two')), $held, 'another has its own';
    is remaining($chat, chat(model => 'one', stream => 1, include_usage => 1)), $held - 300, 'streams, too';
    my $gemini = '/v1beta/models/%s:generateContent?' . $used;
    is remaining(sprintf($gemini, 'three'), '{"contents":[]}'), 1000, 'in the path';
    is remaining(sprintf($gemini, 'three'), '{"contents":[]}'), 850, 'the same';
    is remaining(sprintf($gemini, 'four'), '{"contents":[],"model":"three"}'), 1000, 'goes before the body';
    is $t->ask($chat, chat(model => 'one'), headers => ['x-api-key' => 'b'])->{headers}{'x-remaining'}, $held,
        'another client has its own';
};

subtest 'a rate by model' => sub {
    my $chat = "/rates/v1/chat/completions?$used";
    my $ask = sub { $t->ask($chat, chat(model => $_[0]), @key) };
    is $ask->('gpt-large')->{headers}{'x-ratelimit-limit'}, 100, 'an expensive one';
    is $ask->('gpt-large')->{status}, 429, 'is soon used up';
    is $ask->('gpt-small')->{headers}{'x-ratelimit-limit'}, 1000, 'a pattern of names';
    is $ask->('gpt-small')->{status}, 200, 'has more';
    my $other = $ask->('other');
    is $other->{status}, 200, 'a model without a rate passes';
    ok !exists $other->{headers}{'x-ratelimit-limit'}, 'without limit';
    is $t->ask("/rates/v1beta/models/gemini-2:generateContent", '{"contents":[]}', @key)->{headers}{'x-ratelimit-limit'},
        1000, 'in the path';
};

subtest 'requests by model' => sub {
    my @statuses = map { $t->ask('/counts/v1/chat/completions', chat(model => $_), @key)->{status} } qw(a b a b a b);
    is_deeply \@statuses, [200, 200, 200, 200, 429, 429], 'each has its own number';
    my $chunked = sub {
        my $body = chat(model => $_[0]);
        return $t->ask('/counts/v1/chat/completions', sprintf("%x\r\n%s\r\n0\r\n\r\n", length $body, $body),
            headers => ['x-api-key' => 'a', 'Transfer-Encoding' => 'chunked'])->{status};
    };
    is_deeply [map { $chunked->($_) } qw(a c c c)], [429, 200, 200, 429], 'in chunks as well';
};

subtest 'streams by a key of their own' => sub {
    my @statuses = map { $t->ask('/streams/v1/chat/completions', chat(stream => $_), @key)->{status} } 0, 1, 0, 1;
    is_deeply \@statuses, [200, 200, 429, 429], 'one of each';
};

subtest 'requests in flight by model' => sub {
    my $first = $t->begin('/slots/v1/chat/completions?gate=slot', chat(model => 'busy', stream => 1), @key);
    is $first->head, 200, 'one runs';
    is $t->ask('/slots/v1/chat/completions', chat(model => 'busy'), @key)->{status}, 429, 'a second has to wait';
    is $t->ask('/slots/v1/chat/completions', chat(model => 'idle'), @key)->{status}, 200, 'another model not';
    $first->abort;
};

subtest 'names of models' => sub {
    my %names = (
        'with escapes' => ['{"model":"a\u002db\/c","messages":[]}', 'a-b/c'],
        'at the end' => ['{"messages":[{"role":"user","content":"{\"model\":\"x\"}","model":"y"}],"n":1,"model":"z"}', 'z'],
        'none' => ['{"messages":[]}', ''],
        'no text' => ['{"model":7,"messages":[]}', ''],
        'no JSON' => ['model=x', ''],
        'nothing' => ['', ''],
    );
    for my $name (sort keys %names) {
        my ($body, $model) = @{$names{$name}};
        my $answer = $t->ask('/v1/chat/completions', $body, @key);
        is $answer->{headers}{'x-model'} // '', $model, $name;
        is $answer->{log}{model} =~ s/^-$//r, $model, 'in the log, too';
    }
    my $evil = $t->ask('/v1/chat/completions', '{"model":"a\r\nX-Evil: 1","messages":[]}', @key);
    is $evil->{headers}{'x-evil'}, undef, 'one with line ends is no second header';
};

$t->stop;
done_testing;
