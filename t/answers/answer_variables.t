# Tests what the log says of an answer beside its tokens: the parts that have other prices, the model that answered, the
# tier.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(
    access_log => 'id=$http_x_id written=$ai_limit_cache_write_tokens reasoning=$ai_limit_reasoning_tokens'
        . ' model=$ai_limit_model response_model=$ai_limit_response_model tier=$ai_limit_service_tier',
    http => <<"CONF");
    ai_limit_policy tokens key=all rate=1t/month burst=1000000 reserve=max;
    ai_limit_policy tiers  key=\$ai_limit_service_tier rate=1r/month burst=1;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { ai_limit tokens; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        # The model server sends back what it is sent.
        location = /other { ai_limit tokens; proxy_set_body '{"model":"other","service_tier":"default","usage":{"prompt_tokens":1,"completion_tokens":1}}'; proxy_pass http://127.0.0.1:@{[$model->port]}/raw; }
        location = /controls { ai_limit tokens; proxy_set_body '{"model":"a\\\\nb","usage":{"prompt_tokens":1}}'; proxy_pass http://127.0.0.1:@{[$model->port]}/raw; }
        location /tiers/ { ai_limit tiers; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
    }
CONF

my $serial = 0;

# Returns what the log says of a request.
sub logged {
    my ($path, $body) = @_;
    my $id = ++$serial;
    request($nginx->port, method => 'POST', path => $path, body => $body,
        headers => ['X-Id' => $id, 'Content-Type' => 'application/json']);
    my ($line) = wait_for_log(qr/^id=$id (.*)$/m);
    return $line;
}

sub wait_for_log {
    my ($pattern) = @_;
    for (1 .. 1000) {
        my @found = $nginx->access_log =~ $pattern;
        return @found if @found;
        select undef, undef, undef, 0.01;
    }
    return 'no such line';
}

my $chat = '{"model":"asked","messages":[{"role":"user","content":"Hi"}]%s}';
is logged('/v1/messages?prompt_tokens=100&written_tokens=40&completion_tokens=7', sprintf($chat, ',"max_tokens":9')),
    'written=40 reasoning=0 model=asked response_model=asked tier=-', 'what was written to a cache';
is logged('/v1/chat/completions?completion_tokens=70&reasoning_tokens=50', sprintf($chat, '')),
    'written=0 reasoning=50 model=asked response_model=asked tier=-', 'reasoning';
is logged('/v1/chat/completions?completion_tokens=70&reasoning_tokens=50', sprintf($chat, ',"stream":true,"stream_options":{"include_usage":true}')),
    'written=0 reasoning=50 model=asked response_model=asked tier=-', 'in a stream, too';
is logged('/v1/chat/completions', sprintf($chat, ',"service_tier":"flex"')),
    'written=0 reasoning=0 model=asked response_model=asked tier=flex', 'the tier that was asked for';
is logged('/other', sprintf($chat, ',"service_tier":"flex"')),
    'written=0 reasoning=0 model=asked response_model=other tier=default', 'the tier and the model of the answer go first';
is logged('/controls', sprintf($chat, '')),
    'written=0 reasoning=0 model=asked response_model=a%0Ab tier=-', 'control characters are escaped';
is logged('/v1/chat/completions?status=500', sprintf($chat, '')), 'written=0 reasoning=0 model=asked response_model=- tier=-',
    'an error names no model';

my @statuses = map { request($nginx->port, method => 'POST', path => '/tiers/v1/chat/completions', body => sprintf($chat, $_),
    headers => ['Content-Type' => 'application/json'])->{status} } (',"service_tier":"flex"') x 2, ',"service_tier":"priority"';
is_deeply \@statuses, [200, 429, 200], 'a policy may have the tier of the request for its key';

done_testing;
