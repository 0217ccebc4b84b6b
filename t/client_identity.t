# $ai_limit_client: who a client is, by its API key or else its address.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
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
        location /forwarded { set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; empty_gif; }
    }
CONF

my $nobody = 'ip:127.0.0.1';

# What the headers are, and the client by them.
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

    ['Bearer before all', [
        'x-goog-api-key' => 'sk-4', 'api-key' => 'sk-3', 'x-api-key' => 'sk-2', Authorization => 'Bearer sk-1',
    ], key('sk-1')],
    ['then x-api-key', ['x-goog-api-key' => 'sk-4', 'api-key' => 'sk-3', 'x-api-key' => 'sk-2'], key('sk-2')],
    ['then api-key',   ['x-goog-api-key' => 'sk-4', 'api-key' => 'sk-3'],                        key('sk-3')],

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
    is_deeply [map { $status->(Authorization => $_) } 'Basic YTpi', 'Basic Yjpj'], [200, 429],
        'clients without a key are counted by address';
};

$nginx->stop;
done_testing;

sub key {
    my ($key) = @_;
    return 'key:' . substr sha256_hex($key), 0, 32;
}
