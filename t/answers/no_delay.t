# Each event of a stream reaches the client when the server sends it. No clock is asked: the server sends an
# event only when the test has seen the one before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /asked/ { ai_limit_include_usage on; proxy_pass http://model/; }
        # nginx's own header for it, where buffering is on.
        location /accel/ { proxy_buffering on; proxy_pass http://127.0.0.1:%%PORT_1%%/; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        access_log off;
        location / {
            add_header X-Accel-Buffering no;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_pass http://model;
        }
CONF
);

my $contents = '{"contents":[{"parts":[{"text":"Hi"}]}]}';
my $asking = chat(stream => 1, include_usage => 1);
my @streams = (
    ['OpenAI', '/v1/chat/completions', $asking],
    ['OpenAI, without usage', '/v1/chat/completions', chat(stream => 1)],
    ['OpenAI, compressed', '/v1/chat/completions?encoding=gzip', $asking],
    ['OpenAI responses', '/v1/responses', '{"input":"Hi","stream":true}'],
    ['Anthropic', '/v1/messages', chat(stream => 1)],
    ['Gemini', '/v1beta/models/g:streamGenerateContent', $contents],
    ['Ollama', '/api/chat', chat(stream => 1)],
    ['Bedrock', '/model/m/converse-stream', '{"messages":[]}'],
    ['half events', '/v1/chat/completions?split=100', $asking],
    ['usage asked for by nginx', '/v1/chat/completions', chat(stream => 1), '/asked'],
    ['usage asked for by both', '/v1/chat/completions', $asking, '/asked'],
    ['X-Accel-Buffering', '/v1/chat/completions', $asking, '/accel'],
);

my $gates = 0;
for my $stream (@streams) {
    my ($name, $path, $body, $prefix) = @$stream;
    my $hides = $name =~ /by nginx/;
    subtest $name => sub {
        my @pieces = pieces_of($path, $hides ? $asking : $body);
        my $gate = 'gate-' . ++$gates;
        my $pending = $t->begin(($prefix // '') . $path . ($path =~ /\?/ ? '&' : '?') . "gate=$gate", $body);
        my ($expected, $in_time) = ('', 0);
        for my $piece (@pieces) {
            # nginx also takes out what the upstream sends only because nginx has asked for usage.
            $piece =~ s/,"usage":null// if $hides;
            $expected .= $piece if !$hides || $piece !~ /"usage":\{/;
            my $size = length $expected;
            last if !$pending->wait_for_body(qr/^.{$size}/s);
            $in_time++;
            get($t->model->port, "/next?gate=$gate");
        }
        is $in_time, @pieces, 'each piece comes before the next is sent';
        my $answer = $pending->finish;
        ok $answer->{complete}, 'and so does the end';
        ok $answer->{body} eq $expected, 'byte for byte';
        is $t->logged($pending)->{source}, $name =~ /without/ ? 'estimate' : 'response', 'what it used is seen';
    };
}

$t->stop;
done_testing;

# The pieces in which the model server sends this answer.
sub pieces_of {
    my ($path, $body) = @_;
    my $pending = start_request($t->model->port, method => 'POST', path => $path, body => $body);
    $pending->finish;
    my $raw = join '', map { $_->[1] } @{$pending->arrivals};
    $raw =~ s/^.*?\r\n\r\n//s;
    my @pieces;
    while ($raw =~ s/^([0-9a-f]+)\r\n//) {
        push @pieces, substr $raw, 0, hex $1;
        substr($raw, 0, 2 + hex $1) = '';
    }
    return grep { length } @pieces;
}
