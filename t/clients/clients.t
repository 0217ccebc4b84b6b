# The SDKs that people really use (t/clients), each through nginx to a model server: what they do with a refusal, and
# that answers reach them unchanged and tell them the tokens that were counted. npm installs them into build/clients.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::NodeTests;

my $tests = AiLimit::NodeTests->install('clients');

# The limits of the requests below /refused/NAME/, which each key has for itself.
my %refusals = (
    in_2s    => 'rate=30r/m burst=1',
    in_30s   => 'rate=2r/m burst=1',
    in_90s   => 'rate=40r/h burst=1',
    in_a_day => 'rate=1r/d burst=1',
    never    => 'rate=5t/h',
    blocked  => 'rate=$nothing',
);
# The wait for a slot is learned by each policy, so each SDK has its own.
my @files = $tests->files('*.test.mjs');
$refusals{"busy_$_"} = 'concurrency=1' for map { s/\.test\.mjs//r } @files;
my @kinds = sort keys %refusals;
my $policies = join '', map { "ai_limit_policy $_ key=\$http_x_key $refusals{$_};\n" } @kinds;
my $locations = join '', map { "location /refused/$_/ { ai_limit $_; proxy_pass http://model/; }\n" } @kinds;

my $model = AiLimit::ModelServer->start;
my $counts = '$http_x_id $ai_limit_usage_source $ai_limit_input_tokens $ai_limit_output_tokens'
    . ' $ai_limit_cached_tokens $ai_limit_total_tokens';
my $nginx = AiLimit::Nginx->start(access_log => $counts, http => sprintf <<'CONF', $model->port, $policies, $locations);
    upstream model { server 127.0.0.1:%d; }
    # One request, the next one after 5 seconds.
    ai_limit_policy one key=$ai_limit_client rate=12r/m burst=1;
    ai_limit_policy tokens key=$ai_limit_client rate=1Mt/month;
    ai_limit_policy budget key=$ai_limit_client rate=1t/month burst=100 reserve=10 overrun=cut;
    map $host $nothing { default 0r/m; }
    %s

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        ai_limit_headers auto;
        ai_limit one;
        proxy_http_version 1.1;
        proxy_buffering off;

        location /openai/    { proxy_pass http://model/; }
        location /anthropic/ { proxy_pass http://model/; }
        location /tokens/ {
            ai_limit tokens;
            ai_limit_include_usage on;
            proxy_pass http://model/;
        }
        location /cut/ {
            ai_limit budget;
            ai_limit_include_usage on;
            proxy_pass http://model/;
        }
        location /unasked/ {
            ai_limit tokens;
            proxy_pass http://model/;
        }
        %s
    }
CONF

$ENV{BASE_URL} = 'http://127.0.0.1:' . $nginx->port;
$ENV{MODEL_URL} = 'http://127.0.0.1:' . $model->port;
$ENV{ACCESS_LOG} = $nginx->dir . '/access.log';
# All at once: they mostly wait.
my @runs = map { $tests->start($_) } @files;
$tests->report($_) for @runs;
$nginx->stop;
done_testing;
