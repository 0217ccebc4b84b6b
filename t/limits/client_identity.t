# Tests $ai_limit_client: a client is known by its API key or else by its address.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::IP;
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $ipv6 = IO::Socket::IP->new(Listen => 1, LocalHost => '::1') ? 'listen [::1]:%%PORT_1%%;' : '';

my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    ai_limit_policy one key=\$ai_limit_client rate=1r/h burst=1;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        $ipv6
        add_header X-Client  \$ai_limit_client always;
        add_header X-Address \$ai_limit_addr always;
        location / { empty_gif; }
        location /one { ai_limit one; empty_gif; }
        location /v1beta/ { empty_gif; }
        location /changed { set \$args key=of-the-operator; error_page 403 /v1beta/elsewhere?key=b; return 403; }
        location /forwarded { set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; empty_gif; }
    }
CONF

my $nobody = 'ip:127.0.0.1';

# Each: name, headers, the client that nginx finds by them.
my @clients = (
    ['no key', [], $nobody],
    ['Authorization: Bearer',     [Authorization => 'Bearer sk-1'],     key('sk-1')],
    ['in lower case',             [authorization => 'bearer sk-1'],     key('sk-1')],
    ['in upper case',             [AUTHORIZATION => 'BEARER sk-1'],     key('sk-1')],
    ['with more spaces',          [Authorization => 'Bearer   sk-1'],   key('sk-1')],
    ['x-api-key',                 ['x-api-key' => 'sk-2'],              key('sk-2')],
    ['X-API-Key',                 ['X-API-Key' => 'sk-2'],              key('sk-2')],
    ['api-key',                   ['api-key' => 'sk-3'],                key('sk-3')],
    ['x-goog-api-key',            ['x-goog-api-key' => 'sk-4'],         key('sk-4')],
    ['a long key',                ['x-api-key' => 'k' x 3000],          key('k' x 3000)],
    ['a key of any bytes',        ['x-api-key' => "\x01\xff\"\\ \xe2"], key("\x01\xff\"\\ \xe2")],

    ['the same key in two places', ['api-key' => 'sk-1', Authorization => 'Bearer sk-1'], key('sk-1')],
    ['and twice in one',           ['api-key' => ['sk-1', "sk-1\t"]],                     key('sk-1')],
    ['two keys in two places',     ['x-api-key' => 'sk-2', Authorization => 'Bearer sk-1'], $nobody],
    ['and in one',                 ['x-api-key' => ['sk-1', 'sk-2']],                     $nobody],
    ['two tokens',                 [Authorization => 'Bearer sk-1 sk-2'],                 $nobody],

    (map { ["white space around x-api-key: '$_'", ['x-api-key' => $_], key('sk-2')] }
        "sk-2\t", "\tsk-2", " \t sk-2 \t ", "sk-2 \t"),
    (map { ["white space around Bearer: '$_'", [Authorization => $_], key('sk-1')] }
        "Bearer sk-1\t", "\tBearer sk-1", "Bearer\tsk-1", "Bearer \t sk-1\t "),
    ['nothing but white space',    ['x-api-key' => " \t", Authorization => "Bearer \t"], $nobody],

    ['an AWS signature',           [Authorization => 'AWS4-HMAC-SHA256 Credential=AKID/20261130/us-east-1/bedrock/aws4_request, '
        . 'SignedHeaders=host, Signature=0f'], key('AKID')],
    ['the same, spaced otherwise', [Authorization => "AWS4-HMAC-SHA256\tSignature=0f,\tCredential=AKID/20261130/x\t"], key('AKID')],
    ["a browser's WebSocket",      ['Sec-WebSocket-Protocol' => 'realtime, openai-insecure-api-key.sk-1'], key('sk-1')],
    ['and a made-up key beside',   ['Sec-WebSocket-Protocol' => 'openai-insecure-api-key.sk-1', 'api-key' => 'sk-2'], $nobody],
    ['other protocols',            ['Sec-WebSocket-Protocol' => 'realtime, mqtt'], $nobody],

    ['Basic is no key',           [Authorization => 'Basic YTpi'],      $nobody],
    ['nor hides it one',          [Authorization => 'Basic YTpi', 'api-key' => 'sk-3'], key('sk-3')],
    ['Bearer without a key',      [Authorization => 'Bearer '],         $nobody],
    ['nothing but Bearer',        [Authorization => 'Bearer'],          $nobody],
    ['another scheme',            [Authorization => 'Bearerish sk-1'],  $nobody],
    ['an empty x-api-key',        ['x-api-key' => ''],                  $nobody],
    ['does not hide another',     ['x-api-key' => '', 'api-key' => 'sk-3'], key('sk-3')],
    ['a similar name',            ['x-api-key2' => 'sk-2', 'xx-api-key' => 'sk-2'], $nobody],
);
for (@clients) {
    my ($name, $headers, $client) = @$_;
    is request($nginx->port, path => '/', headers => $headers)->{headers}{'x-client'}, $client, $name;
}

# A path with a query, headers, and the client by them.
my @queries = (
    ["Gemini's path", '/v1beta/models/m:generateContent?key=AIza', [], key('AIza')],
    ['with an escape', '/v1beta/models?alt=sse&%6bey=AIz%61', [], key('AIza')],
    ['the same key in a header', '/v1beta/models?key=AIza', ['x-goog-api-key' => 'AIza'], key('AIza')],
    ['another one in a header', '/v1beta/models?key=made-up', ['x-goog-api-key' => 'AIza'], $nobody],
    ['two keys', '/v1beta/models?key=AIza&key=made-up', [], $nobody],
    ['another API', '/v1/chat/completions?key=AIza', [], $nobody],
    ['an AWS signature in the URL', '/model/m/invoke?X-Amz-Credential=AKID%2F20261130%2Fus-east-1', [], key('AKID')],
    ['what the configuration writes into $args', '/changed/v1beta/?key=a', [], key('a')],
);
for (@queries) {
    my ($name, $path, $headers, $client) = @$_;
    is request($nginx->port, path => $path, headers => $headers)->{headers}{'x-client'}, $client, "?key=: $name";
}
unlike $nginx->error_log, qr/AIza|AKID|sk-\d/, 'no key is in the log of errors';

subtest 'addresses' => sub {
    is get($nginx->port, '/')->{headers}{'x-address'}, '127.0.0.1', 'IPv4';
    my %forwarded = (
        '2001:db8:1:2:3:4:5:6' => '2001:db8:1:2::',
        '2001:db8::1'          => '2001:db8::',
        '::ffff:10.1.2.3'      => '10.1.2.3',
        '10.1.2.3'             => '10.1.2.3',
    );
    for my $from (sort keys %forwarded) {
        my $headers = get($nginx->port, '/forwarded', 'X-Forwarded-For' => $from)->{headers};
        is $headers->{'x-address'}, $forwarded{$from}, "$from behind a proxy";
        is $headers->{'x-client'}, "ip:$forwarded{$from}", 'is the client by that';
    }
    SKIP: {
        skip 'no IPv6 here', 1 if !$ipv6;
        is request($nginx->port(1), address => '::1')->{headers}{'x-client'}, 'ip:::', 'IPv6 is cut to its /64';
    }
};

subtest 'is good for a key=' => sub {
    my $status = sub { get($nginx->port, '/one', @_)->{status} };
    is_deeply [map { $status->(@$_) } ['x-api-key' => 'a'], [Authorization => 'Bearer a'], ['x-api-key' => 'b']],
        [200, 429, 200], 'the same key in another header is the same client';
    is_deeply [map { $status->('x-api-key' => 'c', 'api-key' => $_) } 'made-up 1', 'made-up 2'], [200, 429],
        'adding a made-up key gives no fresh budget';
    is_deeply [map { $status->(Authorization => $_) } 'Basic YTpi', 'Basic Yjpj'], [429, 429],
        'as clients without a key are counted by address';
};

$nginx->stop;
done_testing;

sub key {
    my ($key) = @_;
    return 'key:' . substr sha256_hex($key), 0, 32;
}
