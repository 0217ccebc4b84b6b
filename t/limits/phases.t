# Tests when a policy is charged: phase=access after all that asks who the client is, phase=preaccess before it; and
# both after realip, which sets the client's address.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64);
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(
    files => {passwords => "ann:{PLAIN}apple\nbob:{PLAIN}banana\n"},
    http  => <<'CONF',
    ai_limit_policy early key=$http_x_key rate=1r/h burst=100 phase=preaccess;
    ai_limit_policy late  key=$http_x_key rate=1r/h burst=100;

    ai_limit_policy one_early key=$http_x_key  rate=1r/h burst=1 phase=preaccess;
    ai_limit_policy one_late  key=$http_x_key  rate=1r/h burst=1;
    ai_limit_policy per_user  key=$remote_user rate=1r/h burst=2;
    ai_limit_policy per_team  key=$team        rate=1r/h burst=2;

    ai_limit_policy address_early key=$ai_limit_addr rate=1r/h burst=1 phase=preaccess;
    ai_limit_policy address_late  key=$ai_limit_addr rate=1r/h burst=1;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        ai_limit early late;
        auth_basic_user_file %%DIR%%/passwords;

        location = /left {
            add_header X-Left "$ai_limit_remaining_early $ai_limit_remaining_late";
            empty_gif;
        }

        location /open  { empty_gif; }
        location /deny  { deny all; empty_gif; }
        location /basic { auth_basic here; empty_gif; }
        location /auth  { auth_request /check; empty_gif; }
        location /all   { satisfy all; allow 127.0.0.2; deny all; auth_basic here; empty_gif; }
        location /any   { satisfy any; allow 127.0.0.2; deny all; auth_basic here; empty_gif; }
        location /any_request { satisfy any; allow 127.0.0.2; deny all; auth_request /check; empty_gif; }

        location /any/one       { satisfy any; allow 127.0.0.2; deny all; auth_basic here; ai_limit one_late; empty_gif; }
        location /any/one_early { satisfy any; allow 127.0.0.2; deny all; auth_basic here; ai_limit one_early; empty_gif; }
        location /any/allowed   { satisfy any; allow 127.0.0.2; deny all; ai_limit one_late; empty_gif; }

        location /user { auth_basic here; ai_limit per_user; empty_gif; }
        location /team { auth_request /check; auth_request_set $team $upstream_http_x_team; ai_limit per_team; empty_gif; }
        location = /check { internal; proxy_pass http://127.0.0.1:%%PORT_1%%; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        add_header X-Team $http_x_team;
        if ($http_x_token = forbidden) { return 403; }
        if ($http_x_token != right)    { return 401; }
        return 204;
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        real_ip_header X-Forwarded-For;
        add_header X-Address $ai_limit_addr;

        location /early  { ai_limit address_early; set_real_ip_from 127.0.0.1; empty_gif; }
        location /late   { ai_limit address_late;  set_real_ip_from 127.0.0.1; empty_gif; }
        location /direct { ai_limit address_early address_late; empty_gif; }
    }
    server {
        listen 127.0.0.1:%%PORT_3%%;
        real_ip_header X-Forwarded-For;
        set_real_ip_from 127.0.0.1;
        add_header X-Address $ai_limit_addr;

        location /early { ai_limit address_early; empty_gif; }
        location /late  { ai_limit address_late;  empty_gif; }
    }
CONF
);
my $keys = 0;

subtest 'a client that is not let in is charged only by phase=preaccess' => sub {
    is_charged(200, '1 1', '/open');
    is_charged(403, '1 0', '/deny');

    is_charged(401, '1 0', '/basic');
    is_charged(401, '1 0', '/basic', basic('ann', 'wrong'));
    is_charged(200, '1 1', '/basic', basic('ann', 'apple'));

    is_charged(401, '1 0', '/auth');
    is_charged(403, '1 0', '/auth', 'X-Token' => 'forbidden');
    is_charged(200, '1 1', '/auth', 'X-Token' => 'right');

    is_charged(403, '1 0', '/all');
    is_charged(403, '1 0', '/all', basic('ann', 'apple'));
};

subtest 'satisfy any' => sub {
    is_charged(401, '1 0', '/any');
    is_charged(401, '1 0', '/any', basic('ann', 'wrong'));
    is_charged(200, '1 1', '/any', basic('ann', 'apple'));
    is_charged(200, '1 1', '/any', FROM => '127.0.0.2');
    is_charged(200, '1 1', '/any', FROM => '127.0.0.2', basic('ann', 'apple'));
    is_charged(403, '1 0', '/any_request', 'X-Token' => 'forbidden');
    is_charged(200, '1 1', '/any_request', 'X-Token' => 'right');
    is_charged(200, '1 1', '/any_request', FROM => '127.0.0.2');
};

subtest 'satisfy any charges every client that is let in' => sub {
    my %ways = (
        'by allow'      => ['/any/one', FROM => '127.0.0.2'],
        'by auth_basic' => ['/any/one', basic('ann', 'apple')],
        'by both'       => ['/any/one', FROM => '127.0.0.2', basic('ann', 'apple')],
        'by allow alone' => ['/any/allowed', FROM => '127.0.0.2'],
        'before'        => ['/any/one_early', FROM => '127.0.0.2'],
    );
    for my $way (sort keys %ways) {
        my $key = ++$keys;
        is_deeply [map { ask($key, @{$ways{$way}})->{status} } 1 .. 3], [200, 429, 429], $way;
    }
};

subtest 'an exhausted limit' => sub {
    my $key = ++$keys;
    ask($key, '/any/one', FROM => '127.0.0.2') for 1 .. 2;
    is ask($key, '/any/one')->{status}, 401, 'phase=access says nothing to unauthenticated clients';
    ask($key, '/any/one_early', FROM => '127.0.0.2');
    is ask($key, '/any/one_early')->{status}, 429, 'phase=preaccess answers before anybody is asked';
};

subtest 'keys that come from the authenticated client' => sub {
    is_deeply [map { ask('', '/user', basic('ann', 'wrong'))->{status} } 1 .. 5], [(401) x 5],
        'a wrong password';
    is_deeply [map { ask('', '/user', basic('ann', 'apple'))->{status} } 1 .. 3], [200, 200, 429],
        'has taken nothing from that user';
    is ask('', '/user', basic('bob', 'banana'))->{status}, 200, 'and one does not take from another';

    my @team = ('X-Team' => 'red');
    is ask('', '/team', @team)->{status}, 401, 'an unauthenticated client that names a team';
    is_deeply [map { ask('', '/team', @team, 'X-Token' => 'right')->{status} } 1 .. 3], [200, 200, 429],
        'has taken nothing from it';
};

subtest 'realip' => sub {
    my %servers = ('in the location' => 2, 'in the server' => 3);
    my $address = 0;
    for my $where (sort keys %servers) {
        for my $phase (qw(early late)) {
            my ($one, $other) = map { "10.1.1." . ++$address } 1 .. 2;
            my @answers = map { forwarded($servers{$where}, "/$phase", $_) } $one, $one, $other;
            is_deeply [map { $_->{status} } @answers], [200, 429, 200], "$where, $phase: counts by that address";
            is $answers[0]{headers}{'x-address'}, $one, 'and says so';
        }
    }
    is_deeply [map { forwarded(3, '/late', $_)->{status} } '2001:db8:1:2::3', '2001:db8:1:2:ffff::', '2001:db8:1:3::3'],
        [200, 429, 200], 'all of a /64 are one client';
};

subtest 'a made-up address is ignored' => sub {
    my @made_up = map { "10.2.2.$_" } 1 .. 3;
    is_deeply [map { forwarded(2, '/direct', $_)->{status} } @made_up], [200, 429, 429], 'where there is no realip';
    is_deeply [map { forwarded(3, '/early', $_, '127.0.0.2')->{status} } @made_up], [200, 429, 429],
        'nor when coming from elsewhere';
    is forwarded(2, '/late', '10.2.2.9, 10.2.2.1')->{headers}{'x-address'}, '10.2.2.1', 'nor before a trusted one';
};

$nginx->stop;
done_testing;

sub basic {
    my ($user, $password) = @_;
    return (Authorization => 'Basic ' . encode_base64("$user:$password", ''));
}

# FROM among the headers is the address to come from.
sub ask {
    my ($key, $path, %headers) = @_;
    my $from = delete $headers{FROM};
    return request($nginx->port, path => $path, from => $from, headers => {%headers, 'X-Key' => $key});
}

sub forwarded {
    my ($server, $path, $for, $from) = @_;
    return request($nginx->port($server), path => $path, from => $from, headers => {'X-Forwarded-For' => $for});
}

# Checks the status of one request, and what the policies early and late charge for it.
sub is_charged {
    my ($status, $charges, $path, %headers) = @_;
    my $key = ++$keys;
    my $answered = ask($key, $path, %headers)->{status};
    my @left = split / /, ask($key, '/left')->{headers}{'x-left'} // '';
    my $how = join ' ', $path, map { $headers{$_} } sort keys %headers;
    is_deeply [$answered, join ' ', map { 100 - 1 - $_ } @left], [$status, $charges], $how;
    return;
}
