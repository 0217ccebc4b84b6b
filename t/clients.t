# The SDKs that people really use (t/clients), each through nginx to a model server: what they do with a refusal, and
# that answers reach them unchanged and tell them the tokens that were counted. npm installs them into build/clients.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::NodeTests;

my $tests = AiLimit::NodeTests->install('clients');

my $model = AiLimit::ModelServer->start;
my $counts = '$http_x_id $ai_limit_usage_source $ai_limit_input_tokens $ai_limit_output_tokens'
    . ' $ai_limit_cached_tokens $ai_limit_total_tokens';
my $nginx = AiLimit::Nginx->start(access_log => $counts, http => sprintf <<'CONF', ($model->port) x 4);
    # One request, the next one after 5 seconds.
    ai_limit_policy one key=$ai_limit_client rate=12r/m burst=1;
    ai_limit_policy tokens key=$ai_limit_client rate=1Mt/month;

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        ai_limit one;
        proxy_http_version 1.1;
        proxy_buffering off;

        location /openai/ {
            ai_limit_headers openai;
            ai_limit_error_format openai;
            proxy_pass http://127.0.0.1:%d/;
        }
        location /anthropic/ {
            ai_limit_headers anthropic;
            ai_limit_error_format anthropic;
            proxy_pass http://127.0.0.1:%d/;
        }
        location /tokens/ {
            ai_limit tokens;
            ai_limit_include_usage on;
            proxy_pass http://127.0.0.1:%d/;
        }
        location /unasked/ {
            ai_limit tokens;
            proxy_pass http://127.0.0.1:%d/;
        }
    }
CONF

$ENV{BASE_URL} = 'http://127.0.0.1:' . $nginx->port;
$ENV{MODEL_URL} = 'http://127.0.0.1:' . $model->port;
$ENV{ACCESS_LOG} = $nginx->dir . '/access.log';
# All at once: they mostly wait.
my @runs = map { $tests->start($_) } $tests->files('*.test.mjs');
$tests->report($_) for @runs;
$nginx->stop;
done_testing;
