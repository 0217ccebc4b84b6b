# Tests a Redis that does not answer, or is not there: only the first requests that ask wait for it. nginx says so once,
# and is back when Redis is. Requests come all the while, and none fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Redis;
use AiLimit::RedisFaults;
use AiLimit::Shares;

# Each silence below lasts as long. Whatever else happens is noticed at once, so nothing waits for the other one.
my $timeout = (AiLimit::Nginx::PATIENCE >= 60 ? 3000 : 1000) . 'ms';
my $forever = '10m';

my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);

subtest 'a waiting request delays no other request' => sub {
    my $t = start('strict', timeout => '60s');
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    my @waiting = map { start_request($t->port, path => '/limited?k=waiting') } 1 .. 16;
    $proxy->wait_for_commands('EVALSHA', 16);
    my %others;
    for (1 .. 400) {
        my $response = get($t->port, '/free', Connection => 'close');
        $others{$response->{headers}{'x-worker'}}++ if $response->{status} == 200;
        last if keys %others == 2 && $_ > 50;
    }
    is keys %others, 2, 'both workers answer others meanwhile';
    is grep({ length $_->{in} } @waiting), 0, 'while they wait';
    $proxy->clear;
    $proxy->release;
    is_deeply [map { $_->finish->{status} } @waiting], [(200) x 16], 'and then pass';
    is used($redis, 'quota', 'waiting', $t->{prefix}), 16, 'each counted once';
    $t->stop;
};

subtest 'one worker finds a replica, the other one asks later' => \&test_late_worker;

for my $sync (qw(strict 100ms)) {
    my $t = start($sync, timeout => $timeout);
    test_silence($t);
    $t->stop;
    $t = start($sync, timeout => $forever);
    test_connections($t);
    test_replica($t);
    $t->stop;
    test_socket($sync);
    test_tls($sync);
}
done_testing;

# Starts nodes that ask the proxy, unless `url` is given.
sub start {
    my ($sync, %o) = @_;
    return AiLimit::RedisFaults->start(sync => $sync, redis => $redis, $o{url} ? () : (proxy => $proxy), %o);
}

sub test_silence {
    my ($t) = @_;
    $t->survives('silence', sub { answer(silent => 1) }, sub { $proxy->clear }, lost => qr/a command timed out/);
    $t->survives('half an answer', sub { answer(cut => 3) }, sub { $proxy->clear }, lost => qr/a command timed out/);
    $t->survives('a text that never ends', sub { answer(bad => 'huge_text') }, sub { $proxy->clear }, lost => qr/timed out/);
    $t->survives('Redis is frozen', sub { $redis->freeze }, sub { $redis->thaw }, lost => qr/a command timed out/);
    $t->survives('no answer to a connection', sub { $proxy->stall; $proxy->close_all },
        sub { $proxy->welcome }, lost => qr/closed the connection|connecting timed out/);
    return;
}

sub test_connections {
    my ($t) = @_;
    $t->survives('a closed port', sub { $proxy->refuse; $proxy->close_all }, sub { $proxy->welcome });
    $t->survives('connections reset', sub { $proxy->refuse; $proxy->close_all('reset') }, sub { $proxy->welcome });
    $t->survives('too many clients', sub { $proxy->at_connect(error => 'MAXCLIENTS', close => 1); $proxy->close_all },
        sub { $proxy->clear });
    $t->survives('a connection that is closed at once', sub { $proxy->at_connect(close => 1); $proxy->close_all },
        sub { $proxy->clear });
    $t->survives('Redis is restarted with its data', sub { $redis->stop(keep => 1) }, sub { $redis->launch }, forgets => 1);
    $t->survives('Redis is restarted without', sub { $redis->stop }, sub { $redis->launch }, forgets => 1);
    return;
}

sub test_replica {
    my ($t) = @_;
    my $replica = AiLimit::Redis->start(replica_of => $redis);
    subtest $t->title('a replica takes over') => sub {
        # All workers are connected to the old master.
        for my $port ($t->ports) {
            my %workers;
            while (keys %workers < AiLimit::RedisFaults::WORKERS) {
                $workers{get($port, '/limited?k=both', Connection => 'close')->{headers}{'x-worker'}}++;
            }
        }
        $t->survives('under load', sub {
            $redis->command('REPLICAOF', '127.0.0.1', $replica->port);
        }, sub {
            $proxy->upstream($replica);
            $replica->command('REPLICAOF', 'NO', 'ONE');
            $t->{redis} = $replica;
        }, lost => qr/READONLY|MASTERDOWN/, forgets => 1);
        $t->{redis} = $redis;
        $proxy->upstream($redis);
        $redis->command('REPLICAOF', 'NO', 'ONE');
        $proxy->close_all;
    };
    return;
}

sub test_late_worker {
    my $t = start('strict', timeout => $forever);
    my $other = AiLimit::Redis->start;
    my $seen = $t->seen;
    my %client;
    while (keys %client < 2) {
        my $client = AiLimit::OneConnection->new($t->port);
        $client{$client->ask('/limited?k=two')->{headers}{'x-worker'}} = $client;
    }
    my ($first, $second) = values %client;
    $redis->command(qw(REPLICAOF 127.0.0.1), $other->port);
    $proxy->upstream($other);
    is $first->ask('/limited?k=two')->{status}, 200, 'a request passes without Redis';
    $redis->wait_for(sub {
        $first->ask('/limited?k=again');
        return grep { / is back/ } map { @$_ } $t->lines($seen);
    }, 'Redis to be found');
    $proxy->forget;
    is $second->ask('/limited?k=two')->{status}, 200, 'the other worker asks';
    is $t->calls('take'), 1, 'the new master';
    is_deeply [map { / is (lost|back)/ } map { @$_ } $t->lines($seen)], [qw(lost back)], 'and loses nothing';
    $redis->command('REPLICAOF', 'NO', 'ONE');
    $proxy->upstream($redis);
    $t->stop;
    return;
}

sub test_socket {
    my ($sync) = @_;
    my $t = start($sync, url => $redis->unix_url, timeout => '30s');
    subtest $t->title('a Unix socket') => sub {
        $t->survives('that is closed', sub { $redis->stop }, sub { $redis->launch }, forgets => 1);
        my $path = $redis->socket_path;
        $t->survives('that is gone', sub {
            rename $path, "$path.away" or die "$path: $!";
            kill_clients();
        }, sub { rename "$path.away", $path });
    };
    $t->stop;
    return;
}

sub test_tls {
    my ($sync) = @_;
    my $secure = AiLimit::Redis->start(tls => 1);
    my $other = AiLimit::Redis->start(tls => 1);
    my %trusting = (timeout => $timeout, parameters => 'ssl_trusted_certificate=' . $secure->ca_file);
    my $t = start($sync, %trusting, redis => $secure, url => $secure->url);
    subtest $t->title('TLS') => sub {
        my @files = map { [$other->dir . "/$_", $secure->dir . "/$_"] } qw(server.pem server.key);
        my $swap = sub {
            $secure->stop;
            swap_files(@files);
            $secure->launch;
        };
        $t->survives('a certificate by another CA', $swap, $swap, forgets => 1);
        $t->survives('a handshake that nobody answers', sub { $secure->restart; $secure->freeze }, sub { $secure->thaw },
            forgets => 1);
        my $plain = start($sync, %trusting, url => $proxy->url =~ s/^redis/rediss/r, lost => 1);
        is_deeply $plain->ask(50)->{status}, {200 => 50}, 'a server without TLS: requests pass';
        for my $lines ($plain->lines) {
            is grep({ /\[error\].*the TLS handshake failed/ } @$lines), 1, 'one line';
            is @$lines, 1, 'and nothing else';
        }
        $plain->stop;
    };
    $t->stop;
    return;
}

sub answer {
    my (@how) = @_;
    $proxy->when($_, @how) for qw(EVALSHA EVAL);
    return;
}

sub kill_clients {
    my $client = AiLimit::RedisClient->new($redis->port);
    return $client->command(qw(CLIENT KILL TYPE normal SKIPME yes));
}

sub swap_files {
    for (@_) {
        my ($one, $two) = @$_;
        rename $one, "$one.aside" or die "$one: $!";
        rename $two, $one or die "$two: $!";
        rename "$one.aside", $two or die "$one: $!";
    }
    return;
}

# A client that stays with its worker.
package AiLimit::OneConnection;

use IO::Socket::INET;

sub new {
    my ($class, $port) = @_;
    return bless {socket => IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)}, $class;
}

sub ask {
    my ($self, $path) = @_;
    my $socket = $self->{socket};
    syswrite $socket, "GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n";
    my $in = '';
    my $response;
    until ($response = AiLimit::Http::_take(\$in, 'GET', 0)) {
        sysread $socket, $in, 65536, length $in or die "no answer: $!";
    }
    return AiLimit::Http::_parse_headers($response);
}
