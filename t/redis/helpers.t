# The helpers of the tests with Redis: AiLimit::Redis and AiLimit::FakeRedis.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(time);

use AiLimit::FakeRedis;
use AiLimit::Redis;
use AiLimit::RedisClient;
use AiLimit::Resp qw(resp_command resp_take);

my $redis = AiLimit::Redis->start;

subtest 'the protocol' => sub {
    my $bytes = "+OK\r\n:-7\r\n\$-1\r\n*3\r\n\$2\r\n\r\n\r\n*0\r\n-ERR no\r\n%1\r\n+a\r\n_\r\n";
    my ($buffer, @values) = ('');
    for my $byte (split //, $bytes) {
        $buffer .= $byte;
        my @value = resp_take(\$buffer);
        push @values, $value[0] if @value;
    }
    is_deeply [@values[0 .. 2]], ['OK', -7, undef], 'simple values, byte by byte';
    is_deeply $values[3], ["\r\n", [], $values[3][2]], 'lists';
    is "$values[3][2]", 'ERR no', 'errors';
    is_deeply $values[4], ['a', undef], 'maps';
    is resp_command('GET', "a\n"), "*2\r\n\$3\r\nGET\r\n\$2\r\na\n\r\n", 'a command';
    ok !eval { resp_take(\"HTTP/1.1 400\r\n"); 1 }, 'what it is not';
};

subtest 'a Redis' => sub {
    is $redis->command('SET', 'a', "1\r\n"), 'OK', 'takes commands';
    is $redis->command('GET', 'a'), "1\r\n", 'and answers';
    is $redis->command('GET', 'none'), undef, 'nil';
    is_deeply $redis->command('EVAL', 'return {1, {KEYS[1]}}', 1, 'k'), [1, ['k']], 'lists in lists';
    like $redis->error_of('NONSENSE'), qr/^ERR unknown command/, 'an error';
    is $redis->error_of('PING'), '', 'or none';
    ok !eval { $redis->command('NONSENSE') }, 'which is fatal where none is expected';
    is answer($redis->port, 'PING'), 'PONG', 'its port';
    is $redis->url(2), 'redis://127.0.0.1:' . $redis->port . '/2', 'its URL';

    my $monitor = $redis->monitor;
    $redis->command('SET', 'b', "\"\\\0\n\xff");
    $redis->command('EVAL', 'return redis.call("GET", KEYS[1])', 1, 'a');
    is_deeply [map { [@$_[0, -1]] } $monitor->commands], [['SET', "\"\\\0\n\xff"], ['EVAL', 'a']],
        'what came, without what scripts do';
    is_deeply [$monitor->commands], [], 'once';
};

subtest 'start, stop and restart of a Redis' => sub {
    my $port = $redis->port;
    $redis->restart(keep => 1);
    is $redis->command('GET', 'a'), "1\r\n", 'started again with its keys';
    $redis->restart;
    is $redis->command('GET', 'a'), undef, 'or without';
    is $redis->port, $port, 'on its port';

    my $client = AiLimit::RedisClient->new($port);
    $redis->freeze;
    $client->write(resp_command('PING'));
    ok !eval { $client->read(0.1) }, 'frozen, it does not answer';
    $redis->thaw;
    is $client->read, 'PONG', 'until it is thawed';
    $redis->stop;
    ok !eval { AiLimit::RedisClient->new($port) }, 'stopped, its port is closed';
    ok $client->closed, 'and so are connections';
    $redis->launch;
    is $redis->command('PING'), 'PONG', 'until it is launched';

    ok !eval { AiLimit::Redis->start(config => 'nonsense yes') }, 'one that does not start';
    like $@, qr/did not start.*nonsense/s, 'says why';
};

subtest 'passwords' => sub {
    my $locked = AiLimit::Redis->start(password => 'secret', users => ['alice on >wonder ~* &* +@all']);
    is $locked->command('PING'), 'PONG', 'its own one is known to the test';
    like answer($locked->port, 'PING'), qr/^NOAUTH/, 'and wanted';
    is answer($locked->port, 'AUTH', 'alice', 'wonder'), 'OK', 'as are those of users';
    my $socket = AiLimit::RedisClient->new($locked->socket_path);
    is $socket->command('AUTH', 'secret'), 'OK', 'a Unix socket too';
};

subtest 'TLS' => sub {
    my $tls = AiLimit::Redis->start(tls => 1);
    like $tls->url, qr/^rediss:/, 'its URL';
    is $tls->command('PING'), 'PONG', 'takes commands';
    like handshake($tls, $tls->ca_file, 'localhost'), qr/: 0 \(ok\)/, 'its certificate is right';
    my $other = AiLimit::Redis->start(tls => 'DNS:other.example');
    like handshake($tls, $other->ca_file, 'localhost'), qr/verify error/, 'unless another CA is trusted';
    like handshake($other, $other->ca_file, 'localhost'), qr/mismatch/, 'or the name is another';
};

subtest 'a sentinel' => sub {
    my $replica = AiLimit::Redis->start(replica_of => $redis);
    $redis->command('SET', 'shared', 1);
    $redis->command('WAIT', 1, 0);
    is $replica->command('GET', 'shared'), 1, 'a replica follows its master';
    like $replica->error_of('SET', 'shared', 2), qr/^READONLY/, 'and is read only';
    my $sentinel = AiLimit::Redis->start_sentinel(name => 'main', watches => $redis);
    is $sentinel->master_port, $redis->port, 'the sentinel names the master';
    $redis->stop;
    $sentinel->wait_for(sub { $sentinel->master_port == $replica->port }, 'a failover');
    $replica->wait_for(sub { $replica->info('role') eq 'master' }, 'a new master');
    is $replica->command('SET', 'shared', 2), 'OK', 'and makes the replica one';
    $redis->launch;
};

subtest 'a cluster' => sub {
    my @nodes = AiLimit::Redis->start_cluster;
    is scalar @nodes, 3, 'three nodes';
    # Each of these keys has its slot in another third.
    my %refused = map { my $key = $_; $key => [map { $_->error_of('SET', $key, 1) } @nodes] } qw(b a c);
    for my $key (sort keys %refused) {
        my @moved = grep { /^MOVED \d+ 127\.0\.0\.1:\d+$/ } @{$refused{$key}};
        is @moved, 2, "two of them send $key to the third";
    }
    my @proxies = AiLimit::FakeRedis->start_cluster(@nodes);
    my $ports = join '|', map { $_->port } @proxies;
    my @moved = grep { /^MOVED \d+ 127\.0\.0\.1:(?:$ports)$/ } map { answer($_->port, 'GET', 'a') } @proxies;
    is @moved, 2, 'or to the proxy in front of it';
};

subtest 'a fake Redis' => sub {
    my $fake = AiLimit::FakeRedis->start;
    is answer($fake->port, 'PING'), 'PONG', 'answers by itself';
    is answer($fake->port, 'SET', 'a', "\0\xff"), 'OK', 'anything';
    is_deeply [$fake->commands('set')], [['SET', 'a', "\0\xff"]], 'keeps what came';
    is_deeply [map { $_->{connection} } $fake->log], [1, 2], 'and from which connection';
    is $fake->count('SET'), 1, 'and counts them';
    $fake->when('GET', reply => ":5\r\n");
    $fake->when('*', error => 'MOVED 7 127.0.0.1:1', nth => 2);
    my $client = AiLimit::RedisClient->new($fake->port);
    is_deeply [map { $client->command($_) . '' } qw(GET A B GET C)], [5, 'OK', 'MOVED 7 127.0.0.1:1', 5, 'OK'],
        'some commands are answered otherwise';
    $fake->clear;
    is $client->command('GET'), 'OK', 'until that is over';
    for my $kind (sort keys %AiLimit::FakeRedis::BAD) {
        $fake->clear;
        $fake->when('*', bad => $kind);
        is raw_answer($fake->port, resp_command('PING'), length $AiLimit::FakeRedis::BAD{$kind}),
            $AiLimit::FakeRedis::BAD{$kind}, "a bad answer: $kind";
    }
};

subtest 'new connections' => sub {
    my $fake = AiLimit::FakeRedis->start(upstream => $redis);
    $fake->at_connect(error => 'MAXCLIENTS', close => 1, times => 1);
    my $client = AiLimit::RedisClient->new($fake->port);
    is $client->read . '', 'ERR max number of clients reached', 'an answer without a question';
    ok !eval { $client->read } && $@ =~ /closed/, 'and the end';
    is answer($fake->port, 'PING'), 'PONG', 'once';
    $fake->at_connect(delay => 100);
    my $begin = time;
    is answer($fake->port, 'PING'), 'PONG', 'a slow one';
    cmp_ok time - $begin, '>=', 0.1, 'takes its time';
    $fake->clear;

    $client = AiLimit::RedisClient->new($fake->port);
    $fake->refuse;
    ok !eval { AiLimit::RedisClient->new($fake->port) }, 'a closed port';
    is $client->command('PING'), 'PONG', 'for new ones';
    $fake->welcome;
    is answer($fake->port, 'PING'), 'PONG', 'opens again';
    my $accepted = $fake->accepted;
    $fake->stall;
    ok !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $fake->port, Timeout => 0.1),
        'or does not even refuse';
    $fake->welcome;
    is answer($fake->port, 'PING'), 'PONG', 'nor that for ever';
    is $fake->accepted, $accepted + 1, 'connections are counted';
    is $fake->open, 1, 'open ones too';
    $fake->close_all;
    ok !eval { $client->command('PING') }, 'and closed at will';
};

subtest 'a proxy' => sub {
    my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
    $redis->command('SET', 'n', 0);
    my $client = AiLimit::RedisClient->new($proxy->port);
    my $incr = sub { $client->command('INCR', 'n') . '' };
    my $count = sub { $redis->command('GET', 'n') };
    is $incr->(), 1, 'passes on';

    $proxy->when('INCR', error => 'NOSCRIPT', times => 1);
    is $incr->(), 'NOSCRIPT No matching script. Please use EVAL.', 'or fails itself';
    is $incr->(), 2, 'without the real one';
    $proxy->when('INCR', error => 'OOM', pass => 1, times => 1);
    like $incr->(), qr/^OOM/, 'or behind it';
    is $count->(), 3, 'when all is done';
    $proxy->clear;

    $proxy->when('INCR', extra => "+OK\r\n");
    is_deeply [$incr->(), $client->read], [4, 'OK'], 'a reply too many';
    $proxy->clear;
    $proxy->when('GET', bytewise => 1);
    is $client->command('GET', 'n'), 4, 'a reply in bytes';
    $proxy->clear;
    $proxy->when('GET', delay => 100);
    my $begin = time;
    $client->write(resp_command('GET', 'n') . resp_command('PING'));
    is_deeply [$client->read, $client->read], [4, 'PONG'], 'a late reply';
    cmp_ok time - $begin, '>=', 0.1, 'and the rest behind it';
    $proxy->clear;

    $proxy->when('INCR', hold => 1);
    $proxy->forget;
    $client->write(resp_command('INCR', 'n'));
    $proxy->wait_for_commands('INCR', 1);
    ok !eval { $client->read(0.05) }, 'one that is delayed';
    $proxy->release;
    is $client->read, 5, 'until it may go';
    $proxy->clear;

    $proxy->when('PING', cut => 3, times => 1);
    is raw_answer($proxy->port, resp_command('PING') x 2, 7, 0.1), '+PO', 'half a reply, then silence';
    $proxy->when('PING', cut => 3, close => 1);
    is raw_answer($proxy->port, resp_command('PING') x 2, 7), '+PO', 'half a reply, then the end';

    $proxy->when('INCR', silent => 1, times => 1);
    $client->write(resp_command('INCR', 'n'));
    ok !eval { $client->read(0.05) }, 'silence';
    $proxy->when('INCR', silent => 1, pass => 1, close => 'reset');
    ok !eval { $incr->() } && $@ =~ /reset by peer/, 'an end in place of the reply';
    is $count->(), 6, 'to what was done';
    $proxy->clear;

    $client = AiLimit::RedisClient->new($proxy->port);
    is $incr->(), 7, 'another connection';
    $proxy->send_all("+more\r\n");
    is $client->read, 'more', 'gets an answer that it has not asked for';
    $redis->restart;
    ok !eval { $incr->() }, 'and ends with the real one';
    $proxy->upstream(undef);
    is answer($proxy->port, 'INCR', 'n'), 'OK', 'which is not needed either';
};

done_testing;

# Returns the answer to a command on a connection of its own.
sub answer {
    my ($port, @words) = @_;
    return AiLimit::RedisClient->new($port)->command(@words) . '';
}

# Returns `count` bytes of the answer to this request, or as many as there are.
sub raw_answer {
    my ($port, $request, $count, $seconds) = @_;
    my $client = AiLimit::RedisClient->new($port);
    $client->write($request);
    my $got = '';
    while (length $got < $count && IO::Select->new($client->{socket})->can_read($seconds // 5)) {
        sysread $client->{socket}, $got, $count, length $got or last;
    }
    return $got;
}

# Returns the output of openssl about a connection.
sub handshake {
    my ($server, $ca, $name) = @_;
    my $port = $server->port;
    return scalar qx(openssl s_client -connect 127.0.0.1:$port -CAfile $ca -verify_hostname $name </dev/null 2>&1);
}
