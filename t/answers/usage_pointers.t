# ai_limit_usage says where in an answer its counts stand, for servers that have ways of their own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    server => 'ai_limit_unreadable_body estimate; ai_limit_usage input=/meta/in output=/meta/out;',
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /auto/  { ai_limit_usage auto; proxy_pass http://model/; }
        location /total/ { ai_limit_usage input=/meta/in output=/meta/out total=/meta/all; proxy_pass http://model/; }
        location /many/  { ai_limit_usage input=/in,/result/in output=/results/*/tokens; proxy_pass http://model/; }
        location /odd/   { ai_limit_usage input=/a~1b/1 output=/c~0d; proxy_pass http://model/; }
        location /deep/  { ai_limit_usage input=/a/b/c/d/e/f/g output=/h; proxy_pass http://model/; }
CONF
);

sub usage_in {
    my ($path, $text, $type, $more) = @_;
    $t->new_client;
    my $answer = $t->ask("$path/raw?type=" . ($type // 'application/json') . ($more // ''), $text);
    my $left = $t->left;
    return usage_of($answer) . ($left == $LIMIT - ($answer->{log}{total} =~ s/^-$/0/r) ? '' : ", but $left remain");
}

sub counted {
    my ($in, $out) = @_;
    return "in=$in out=$out cached=0 total=@{[$in + $out]} source=response";
}

is usage_in('', '{"meta":{"in":5,"out":7}}'), counted(5, 7), 'where it is said to be';
is usage_in('', '{"meta":{"out":7,"in":5,"x":{"in":1}},"in":2}'), counted(5, 7), 'and nowhere else';
is usage_in('', '{"usage":{"prompt_tokens":5,"completion_tokens":7}}'), counted(5, 7), 'or in the common places, if it is not there';
is usage_in('', '{"meta":{"in":3,"out":4},"usage":{"prompt_tokens":5,"completion_tokens":7}}'), counted(3, 4), 'and only then';
is usage_in('/auto', '{"usage":{"prompt_tokens":5,"completion_tokens":7}}'), counted(5, 7), 'unless auto';
is usage_in('/odd', '{"a/b":[1,5],"c~d":7}'), counted(5, 7), 'escapes and elements of arrays';
is usage_in('/deep', '{"h":7,"a":{"b":{"c":{"d":{"e":{"f":{"g":5}}}}}}}'), counted(5, 7), 'far down';
is usage_in('/total', '{"meta":{"in":5,"all":12}}'), counted(5, 7), 'a total: the output is the rest';
is usage_in('', "{\"meta\":{\"in\":5}}\n{\"meta\":{\"out\":6}}\n{\"meta\":{\"out\":7}}\n", 'application/x-ndjson'), counted(5, 7),
    'lines of JSON: the largest of each';
is usage_in('', "data: {\"meta\":{\"in\":5,\"out\":0}}\n\ndata: {\"meta\":{\"in\":null,\"out\":7}}\n\ndata: [DONE]\n\n", 'text/event-stream',
    '&split=4'), counted(5, 7), 'events, in pieces';
is usage_in('', '{"meta":{"in":5,"out":7}}', 'application/json', '&encoding=gzip'), counted(5, 7), 'compressed';
is usage_in('', '{"meta":{"in":"5","out":6.5}}'), counted(5, 7), 'strings of digits and fractions';
like usage_in('', '{"meta":{"in":"five","out":-7}}'), qr/source=estimate$/, 'what are no counts';
is usage_in('/many', '{"result":{"in":5},"results":[{"tokens":3},{},{"tokens":4}]}'), counted(5, 7), 'several places, and sums';
is usage_in('/many', "data: {\"in\":5,\"results\":[{\"tokens\":1}]}\n\ndata: {\"results\":[{\"tokens\":3},{\"tokens\":4}]}\n\n", 'text/event-stream'),
    counted(5, 7), 'in events: the largest sum';
like usage_in('', '{"meta":[5,7]}'), qr/source=estimate$/, 'or no object';

$t->stop;
done_testing;
