# Google's masks of fields can leave the usage out of an answer: such a request is refused where tokens count. Other
# parameters make an answer that cannot be read, which costs a quarter of its bytes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 100_000;
my $t = AiLimit::Tokens->start(
    policies => <<"CONF",
    ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;
    ai_limit_policy count  key=\$http_x_key rate=1r/month burst=100;
    ai_limit_policy trial  key=\$http_x_key rate=1t/month burst=$LIMIT dry_run reserve=max;
CONF
    locations => <<'CONF',
        location / { ai_limit tokens; proxy_pass http://model; }
        location /count/ { ai_limit count; proxy_pass http://model/; }
        location /trial/ { ai_limit trial; proxy_pass http://model/; }
CONF
);
my $path = '/v1beta/models/gemini:generateContent';
my $body = '{"contents":[{"parts":[{"text":"Hi"}]}]}';

for my $case (['fields=candidates'], ['$fields=candidates'], ['%66ields=candidates/content'], ['', 'X-Goog-FieldMask' => 'candidates'],
    ['fields=usageMetadata/totalTokenCount'], ['fields=usageMetadata', 'x-goog-fieldmask' => "candidates\t"]) {
    my ($query, @headers) = @$case;
    my $answer = $t->ask("$path?$query", $body, headers => \@headers);
    is $answer->{status}, 400, "$query @headers is refused";
    my $error = decode_json($answer->{body})->{error};
    is $error->{status}, 'INVALID_ARGUMENT', "in Gemini's way";
    like $error->{message}, qr/usageMetadata/, 'which says what to do';
    is $answer->{log}{result}, 'REJECTED', 'and is logged so';
}
is $t->left, $LIMIT, 'nothing is charged';
like $t->nginx->error_log, qr/refusing a request that leaves the usage out of its answer/, 'the error log says why';

for my $case (['alt=sse'], ['fields=candidates,usageMetadata'], ['fields=*'], ['', 'X-Goog-FieldMask' => 'usageMetadata, candidates']) {
    my ($query, @headers) = @$case;
    isnt $t->ask("$path?$query", $body, headers => \@headers)->{status}, 400, "$query @headers passes";
}
isnt $t->ask('/v1/chat/completions?fields=a', chat())->{status}, 400, 'other APIs have no such masks';
isnt $t->ask("/count$path?fields=candidates", $body)->{status}, 400, 'nor does it matter where requests count';
isnt $t->ask("/trial$path?fields=candidates", $body)->{status}, 400, 'or on a dry run';

my $prompt = estimate(length 'Hi');
for my $query ('callback=f', 'callback=f&fields=usageMetadata,candidates', 'alt=proto', '$alt=proto', 'alt=proto&fields=*') {
    $t->new_client;
    my $answer = $t->ask("$path?$query&text=" . 'Q' x 200, $body);
    is $answer->{status}, 200, "$query passes";
    unlike $answer->{headers}{'content-type'}, qr/json/, 'with an answer that is no JSON';
    my $bytes = int(length($answer->{body}) / 4);
    cmp_ok $bytes, '>=', 50, 'and has a text';
    is usage_of($answer), "in=$prompt out=$bytes cached=0 total=" . ($prompt + $bytes) . ' source=estimate', 'which costs a quarter of its bytes';
    is $t->left, $LIMIT - $prompt - $bytes, 'is charged';
}

# A server that leaves the usage out unasked, or because of a mask that nginx does not know.
my $hidden = $t->ask("/trial$path?fields=candidates&usage=0&text=" . 'Q' x 200, $body);
is usage_of($hidden), "in=$prompt out=50 cached=0 total=" . ($prompt + 50) . ' source=estimate', 'an answer without usage costs a quarter of its text';

$t->stop;
done_testing;
