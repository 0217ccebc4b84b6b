# Tests label=: what is shown beside a key in the log, among the top keys and in /keys.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(workers => 1, log_level => 'notice', http => <<"CONF");
    ai_limit_zone zone=ai:1m;
    map \$http_x_key \$customer { sk-secret-0123456789abcdef Acme; default \$http_x_name; }
    ai_limit_policy named  key=\$http_x_key rate=2r/h "label=\$customer (\$http_x_plan)" warn=100;
    ai_limit_policy plain  key=\$http_x_key rate=100r/h;
    ai_limit_policy empty  key=\$http_x_key rate=2r/h label=\$http_x_name;
    ai_limit_policy tokens key=\$http_x_key rate=1000t/h reserve=1 label=\$customer;
    ai_limit_policy fits   key=\$http_x_key rate=10t/h reserve=max label=\$customer;
    ai_limit_policy socket key=\$http_x_key rate=10t/h label=\$customer;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /named { ai_limit plain named; empty_gif; }
        location /empty { ai_limit empty; empty_gif; }
        location /v1/   { ai_limit tokens; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /fits/ { ai_limit fits; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /ws    { ai_limit socket; empty_gif; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
my $api = AiLimit::Api->new($nginx->port);
my @acme = ('X-Key' => 'sk-secret-0123456789abcdef', 'X-Plan' => 'gold');

subtest 'a label of variables and text' => sub {
    get($nginx->port, '/named', @acme) for 1 .. 3;
    like $nginx->error_log, qr/limiting requests, policy: "named", key: "sk-s\xE2\x80\xA6cdef", label: "Acme \(gold\)", retry after: \d+s/,
        'is in the line of a refusal';
    like $nginx->error_log, qr/a key has passed 100% of its limit, policy: "named", key: "[^"]+", label: "Acme \(gold\)", used: 2 of 2/,
        'and of a warning';
    is_deeply labels('named', 'requests'), ['Acme (gold)'], 'among the top keys';
    is_deeply labels('named', 'refusals'), ['Acme (gold)'], 'by refusals, too';
    is_deeply labels('plain', 'requests'), [undef], 'not in a policy without label=';
    my ($code, $said) = $api->key(GET => 'policy=named&key=sk-secret-0123456789abcdef');
    is $said->{label}, 'Acme (gold)', 'and in /keys';
    is +($api->key(GET => 'policy=plain&key=sk-secret-0123456789abcdef'))[1]{label}, undef, 'of that policy alone';
};

subtest 'what a label may hold' => sub {
    get($nginx->port, '/empty', 'X-Key' => 'none') for 1 .. 3;
    like $nginx->error_log, qr/policy: "empty", key: "n\xE2\x80\xA6", retry after/, 'nothing: then nothing is shown';
    get($nginx->port, '/empty', 'X-Key' => 'ugly', 'X-Name' => qq{a"b\\c\x1b[1m}) for 1 .. 3;
    like $nginx->error_log, qr/label: "a\\x22b\\x5Cc\\x1B\[1m", retry/, 'quotes and control characters, which are escaped';
    get($nginx->port, '/empty', 'X-Key' => 'long', 'X-Name' => 'x' x 4000) for 1 .. 3;
    like $nginx->error_log, qr/label: "x{128}\xE2\x80\xA6", retry/, 'a long text, which is cut in the log';
    is_deeply [sort map { $_ // '' } @{labels('empty', 'refusals')}], ['', 'a\\x22b\\x5Cc\\x1B[1m', 'x' x 60 . "\x{2026}"],
        'and among the top keys';
};

subtest 'a policy in tokens' => sub {
    my @json = ('Content-Type' => 'application/json', Connection => 'close');
    post($nginx->port, '/v1/chat/completions?prompt_tokens=5&completion_tokens=5', '{"model":"m","messages":[]}', @acme, @json);
    is_deeply labels('tokens', 'tokens'), ['Acme'], 'has it for what was charged';
    post($nginx->port, '/fits/v1/chat/completions', '{"model":"m","max_tokens":500,"messages":[]}', @acme, @json);
    post($nginx->port, '/fits/v1/chat/completions', '{"model":"m","max_tokens":500,"messages":[]}', @acme, @json);
    like $nginx->error_log, qr/policy: "fits", key: "[^"]+", label: "Acme"/, 'and where it refuses';
    get($nginx->port, '/ws', @acme, Connection => 'Upgrade', Upgrade => 'websocket');
    is_deeply labels('socket', 'refusals'), ['Acme'], 'also before it decides';
};

done_testing;

# The labels of a policy's top keys.
sub labels {
    my ($policy, $measure) = @_;
    return [map { $_->{label} } @{$api->policy($policy)->{top_keys}{$measure}}];
}
