# Tests rate=upstream: an account's limits are learned from the provider's answers, and requests that it would refuse
# are not sent to it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $provider = 'http://127.0.0.1:' . $model->port;
my $conf = <<"CONF";
    ai_limit_policy account key=\$http_x_account rate=upstream reserve=auto:10;
    ai_limit_policy patient key=\$http_x_account rate=upstream reserve=auto:10 wait=8s;
    ai_limit_policy kept    key=\$http_x_account rate=upstream reserve=auto:10 headroom=50;
    ai_limit_policy first   key=first\$http_x_name rate=upstream;
    ai_limit_policy early   key=early\$http_x_name rate=upstream phase=preaccess;
    ai_limit_policy nobody  key=nobody rate=1r/h cost=2;
    ai_limit_policy second  key=second\$http_x_name rate=upstream;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /v1/      { ai_limit account; proxy_pass $provider; }
        location /patient/ { ai_limit patient; proxy_pass $provider/; }
        location /kept/    { ai_limit kept; proxy_pass $provider/; }
        location /two/ {
            ai_limit first;
            proxy_pass $provider/;
            proxy_set_header X-Model-Account first\$http_x_name;
            proxy_set_header X-Model-Rpm 3;
            proxy_intercept_errors on;
            error_page 429 503 = \@second;
        }
        location /refused/ {
            ai_limit early nobody;
            proxy_pass $provider/;
            error_page 400 429 = \@second;
        }
        location /denied/ {
            ai_limit early;
            deny all;
            error_page 403 = \@elsewhere;
        }
        location /files/ {
            ai_limit early;
            try_files /no-such-file \@elsewhere;
        }
        location \@elsewhere {
            rewrite ^/(?:denied|files)(/.*) \$1 break;
            proxy_pass $provider;
            proxy_set_header X-Model-Account elsewhere\$http_x_name;
            add_header X-Answered-By elsewhere always;
        }
        location \@second {
            ai_limit second;
            rewrite ^/(?:two|refused)(/.*) \$1 break;
            proxy_pass $provider;
            proxy_set_header X-Model-Account second\$http_x_name;
            proxy_set_header X-Model-Down "";
            add_header X-Answered-By second always;
        }
        location /api/ { ai_limit_api write=on; }
        location /self { ai_limit account; ai_limit_self; }
    }
CONF
my $nginx = AiLimit::Nginx->start(workers => 2, http => $conf);

my $chat = '{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":20}';

# Asks as an account, with wishes to the model server.
sub ask {
    my ($account, %wishes) = @_;
    my $path = delete $wishes{path} // '/v1';
    $path .= '/v1' if $path ne '/v1';
    return post($nginx->port, "$path/chat/completions", $chat, 'x-account' => $account,
        'x-model-account' => $account, 'x-model-prompt-tokens' => 5, 'x-model-completion-tokens' => 5,
        map { ('x-model-' . (tr/_/-/r) => $wishes{$_}) } sort keys %wishes);
}

sub counts_of { return decode_json(get($model->port, "/account?account=$_[0]")->{body}) }

# The statuses of n requests, one after the other.
sub statuses {
    my ($n, @request) = @_;
    my %count;
    $count{ask(@request)->{status}}++ for 1 .. $n;
    return \%count;
}

sub is_taken {
    my ($account, $passed, $name) = @_;
    is_deeply counts_of($account), {passed => $passed, refused => 0}, $name;
    return;
}

# Nothing is known at first. A request comes back every six seconds here.
is_deeply statuses(14, 'openai', rpm => 10), {200 => 9, 429 => 5}, 'what the provider tells is the limit';
is_taken('openai', 9, 'and it need not refuse anything');
my $refused = ask('openai', rpm => 10);
like $refused->{headers}{'retry-after'}, qr/^[1-9]$/, 'a refusal says when to come back';
is $refused->{headers}{'x-ratelimit-remaining'}, 0, 'and has the usual headers';

is_deeply statuses(14, 'anthropic', rpm => 10, form => 'anthropic'), {200 => 9, 429 => 5}, 'so it is with the headers of Anthropic';
is_taken('anthropic', 9, 'which need not refuse either');

is_deeply statuses(12, 'tokens', tpm => 100), {200 => 9, 429 => 3}, 'tokens are limited as well';
is_taken('tokens', 9, 'before the provider does it');

for (['input', itpm => 100, otpm => 1000], ['output', itpm => 1000, otpm => 100]) {
    my ($name, %limits) = @$_;
    my $count = statuses(24, "$name-tokens", %limits, form => 'anthropic');
    cmp_ok $count->{200}, '>=', 17, "tokens of $name are limited: $count->{200} of 20 pass";
    is_taken("$name-tokens", $count->{200}, 'all that are sent');
}

is_deeply statuses(10, 'headroom', rpm => 20, path => '/kept'), {200 => 9, 429 => 1}, 'headroom= leaves a part to others';

is_deeply statuses(30, 'unlimited', form => 'none'), {200 => 30}, 'a provider that tells nothing limits nothing';

# Others use the account too: the provider refuses although its last answer told otherwise.
is ask('shared', rpm => 1000)->{status}, 200, 'an account is used';
is ask('shared', down => 529, retry_after => 3, tells => 'x:y')->{status}, 529, 'the provider refuses once';
my $began = time;
$refused = ask('shared', rpm => 1000);
is $refused->{status}, 429, 'then no request is sent';
like $refused->{headers}{'retry-after'}, qr/^[1-3]$/, 'for as long as it said';
is counts_of('shared')->{refused}, 1, 'so that it refuses only once';
sleep $began + 3.1 - time;
my $try = start_request($nginx->port, method => 'POST', path => '/v1/chat/completions', body => $chat,
    headers => ['x-account' => 'shared', 'x-model-account' => 'shared', 'x-model-rpm' => 1000, 'x-model-delay' => 2000]);
sleep 0.02 until get($model->port, '/account?account=shared')->{body} =~ /"passed":2/ || time > $began + 20;
is ask('shared', rpm => 1000)->{status}, 429, 'then one request tries alone';
is $try->finish->{status}, 200, 'and if it passes';
is_deeply statuses(5, 'shared', rpm => 1000), {200 => 5}, 'all others do';

# Nonsense
my $nonsense = join ',', 'x-ratelimit-limit-requests:-1', 'x-ratelimit-remaining-requests:0', 'x-ratelimit-limit-tokens:many',
    'anthropic-ratelimit-tokens-limit:0', 'x-ratelimit-reset-requests:99999h';
is_deeply statuses(10, 'nonsense', tells => $nonsense), {200 => 10}, 'nonsense is left out';
is ask('closed', down => 503, retry_after => 999_999, tells => 'x:y')->{status}, 503, 'a provider asks for days';
cmp_ok ask('closed')->{headers}{'retry-after'}, '<=', 60, 'and gets a minute';

is ask('gemini', down => 429, retry_after => 'none', retry_info => '26s', form => 'none')->{status}, 429, 'Gemini refuses';
like ask('gemini')->{headers}{'retry-after'}, qr/^2[56]$/, 'and says in the body for how long';

# Waiting: ten come back in a second.
ask('waits', rpm => 600, path => '/patient', tells => 'x-ratelimit-limit-requests:600,x-ratelimit-remaining-requests:20');
$began = time;
is_deeply statuses(6, 'waits', rpm => 600, path => '/patient', tells => 'x-ratelimit-limit-requests:600,x-ratelimit-remaining-requests:18'),
    {200 => 6}, 'with wait= requests wait for their turn';
cmp_ok time - $began, '>', 0.4, 'instead of being refused';
ask('waits-long', down => 429, retry_after => 1, tells => 'x:y', path => '/patient');
$began = time;
is ask('waits-long', path => '/patient')->{status}, 200, 'and for the end of a cooldown';
cmp_ok time - $began, '>', 0.8, 'as the provider wants it';

ask('herd', down => 429, retry_after => 1, tells => 'x:y', path => '/patient');
$began = time;
my @herd = map {
    start_request($nginx->port, method => 'POST', path => '/patient/v1/chat/completions', body => $chat,
        headers => ['x-account' => 'herd', 'x-model-account' => 'herd', 'x-model-form' => 'none'])
} 1 .. 6;
is_deeply [map { $_->finish->{status} } @herd], [(200) x 6], 'several wait for the end of a cooldown';
cmp_ok time - $began, '<', 8, 'and pass together once one has tried';
is counts_of('herd')->{refused}, 1, 'without another refusal';

# What one provider tells is not taken for the limits of another account.
is post($nginx->port, '/refused/v1/chat/completions', $chat, 'x-name' => '-mixed', 'x-model-rpm' => 50)->{headers}{'x-answered-by'}, 'second',
    'a request that one account could take is refused by another policy, and goes elsewhere';
is post($nginx->port, '/denied/v1/chat/completions', $chat, 'x-name' => '-denied', 'x-model-rpm' => 60)->{headers}{'x-answered-by'}, 'elsewhere',
    'so does one that nginx itself refuses';
is post($nginx->port, '/files/v1/chat/completions', $chat, 'x-name' => '-files', 'x-model-rpm' => 70)->{headers}{'x-answered-by'}, 'elsewhere',
    'one that try_files leads on is sent to its account';
my @known = map { my $account = $_; map { "$account->{policy} $_->{limit}" } @{$account->{quotas}} }
    grep { $_->{policy} =~ /^(?:early|second)$/ } @{decode_json(get($nginx->port, '/api/status')->{body})->{accounts}};
is_deeply [sort @known], ['early 70', 'second 50'], 'only accounts that a request was sent to learn from the answer';

# Three times the demand, from two workers: 1,200 a minute are 20 a second.
my $load = many($nginx->port, requests => 3000, connections => 20, method => 'POST', path => '/v1/chat/completions', body => $chat,
    headers => ['x-account' => 'busy', 'x-model-account' => 'busy', 'x-model-rpm' => 1200, 'x-model-prompt-tokens' => 5]);
my $counts = counts_of('busy');
cmp_ok $counts->{refused}, '<=', 1, "under load the provider refuses at most once: $counts->{refused}";
cmp_ok $counts->{passed}, '>=', 0.95 * 1200, "and nearly all of its quota is used: $counts->{passed} of 1200";
is $load->{status}{200}, $counts->{passed}, 'by clients, who get each answer';

# What operators see
my %accounts = map { $_->{key} => $_ } grep { $_->{policy} eq 'account' } @{decode_json(get($nginx->port, '/api/status')->{body})->{accounts}};
my ($shown) = grep { $_->{refusals} == 1 && $_->{cooling} && $_->{cooldown} > 30 } values %accounts;
is_deeply $shown->{quotas}, [], 'an account without known limits';
cmp_ok $shown->{cooldown}, '<=', 60, 'that cools down';
my ($quota) = map { @{$_->{quotas}} } grep { grep { $_->{limit} == 1200 } @{$_->{quotas}} } values %accounts;
is $quota->{kind}, 'requests', 'an account of requests';
cmp_ok $quota->{remaining}, '<', 600, 'of which little remains';
cmp_ok $quota->{reset}, '>', 20, 'for most of a minute';
my $metrics = get($nginx->port, '/api/metrics')->{body};
like $metrics, qr/^ai_limit_upstream_limit\{policy="account",account="[^"]+"\} 1200$/m, 'metrics show limits';
like $metrics, qr/^ai_limit_upstream_limit\{policy="account:tokens",account="[^"]+"\} 100$/m, 'of tokens as well';
like $metrics, qr/^ai_limit_upstream_refusals_total\{policy="account",account="[^"]+"\} 1$/m, 'and refusals';
is get($nginx->port, '/self')->{body}, qq({"policies":[]}\n), 'the limits of an account are no client\'s';

# A reload keeps what is known.
my $spent = 'x-ratelimit-limit-requests:1,x-ratelimit-remaining-requests:0';
is_deeply [map { ask('spent', tells => $spent)->{status} } 1, 2], [200, 429], 'nothing remains of an account';
$nginx->reload(http => $conf);
is ask('spent', tells => $spent)->{status}, 429, 'a reload keeps that';
is ask('closed')->{status}, 429, 'and cooldowns';

# error_page leads to another account.
my %by;
for (1 .. 8) {
    my $answer = post($nginx->port, '/two/v1/chat/completions', $chat);
    is $answer->{status}, 200, 'with another account nobody is refused' if $answer->{status} != 200 || $_ == 8;
    $by{$answer->{headers}{'x-answered-by'} // 'first'}++;
}
is_deeply \%by, {first => 3, second => 5}, 'the first account is used until nothing remains, then the second one';
is_deeply counts_of('first'), {passed => 3, refused => 0}, 'and the first one refuses nothing';
my @failing = ('x-name' => '-failing', 'x-model-down' => 503, 'x-model-retry-after' => 30);
is_deeply [map { post($nginx->port, '/two/v1/chat/completions', $chat, @failing)->{status} } 1 .. 4], [(200) x 4],
    'a provider that refuses is left to cool down';
is_deeply counts_of('first-failing'), {passed => 0, refused => 1}, 'after its first refusal, which no client sees';
is counts_of('second-failing')->{passed}, 4, 'and the other one answers';

done_testing;
