# Tests what Redis and the logs see: no API key, no password and no prompt, only keys that are hashed and that expire by
# themselves. Tests also how nginx connects to Redis: by passwords, users with few rights, TLS, Unix sockets and numbers
# of databases.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Redis;

use constant {API_KEY => 'sk-the-api-key-0123456789', PROMPT => 'the prompt of somebody', PASSWORD => 'the pass\'word of Redis', LIMIT => 5};

# All that a user needs, as docs/redis-server.md says it:
#
#   user ai_limit on >PASSWORD ~ai_limit:* +eval +evalsha +time +get +set +del +exists +pexpire
#       +zadd +zcard +zrange +zrangebyscore +zrem +zremrangebyscore
#
# +select as well where the database has a number; +script|load is not needed.
my @RIGHTS = qw(eval evalsha time get set del exists pexpire zadd zcard zrange zrangebyscore zrem zremrangebyscore);

my $model = AiLimit::ModelServer->start;
my $policies = <<'CONF';
    ai_limit_policy one     key=$http_x_key                     rate=1r/h burst=5;
    ai_limit_policy client  key=$ai_limit_client                rate=100r/d algorithm=sliding_window phase=preaccess;
    ai_limit_policy raw     key=$http_authorization             rate=100r/d algorithm=fixed_window;
    ai_limit_policy model   key=$http_x_api_key:$ai_limit_model rate=1kr/m;
    ai_limit_policy slots   key=$http_x_api_key                 concurrency=5;
    ai_limit_policy tokens  key=$http_x_api_key                 rate=1Mt/month reserve=max;
    ai_limit_policy windows key=$http_x_api_key                 rate=1Mt/d algorithm=sliding_window reserve=max;
    ai_limit_policy refuses key=$http_x_api_key                 rate=1r/h burst=1;
    ai_limit_policy nothing key=$http_x_api_key                 rate=100r/h cost=0;
CONF

# No answer of Redis is late, however busy this machine is.
sub start_nginx {
    my ($directive, %o) = @_;
    my $port = $model->port;
    return AiLimit::Nginx->start(workers => 2, log_level => 'notice', %o, http => <<"CONF");
    ai_limit_redis $directive sync=strict @{[$o{timeouts} // 'timeout=30s connect_timeout=30s']};
$policies
    server {
        listen 127.0.0.1:%%PORT_0%%;
        proxy_buffering off;
        location / { ai_limit one; empty_gif; }
        location /v1/ { ai_limit client raw model slots tokens windows nothing; proxy_pass http://127.0.0.1:$port; }
        location /refused { ai_limit refuses; empty_gif; }
    }
CONF
}

my @client = ('Authorization' => 'Bearer ' . API_KEY, 'X-Api-Key' => API_KEY);
my $body = '{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"' . PROMPT . '"}]}';

subtest 'what Redis and the logs show' => \&test_seen;
subtest 'a user with few rights' => \&test_rights;
subtest 'passwords' => \&test_passwords;
subtest 'a password that is refused' => \&test_wrong_passwords;
subtest 'databases and sockets' => \&test_addresses;
subtest 'TLS' => \&test_tls;
done_testing;

# A bit of everything: what passes, what is refused, an error, a client that leaves.
sub use_everything {
    my ($nginx) = @_;
    my $port = $nginx->port;
    my $path = '/v1/chat/completions?prompt_tokens=20&completion_tokens=10';
    is post($port, "$path&status=500", $body, @client)->{status}, 500, 'a chat fails';
    is post($port, $path, $body, @client)->{status}, 200, 'others pass' for 1 .. 3;
    my $stream = start_request($port, method => 'POST', path => "$path&gate=never", headers => \@client, body => $body =~ s/"model"/"stream":true,$&/r);
    ok $stream->wait_for_body(qr/Hello/), 'a stream begins';
    is_deeply [map { get($port, '/refused', @client)->{status} } 1, 2], [200, 429], 'one is refused';
    return $stream;
}

sub test_seen {
    my $redis = AiLimit::Redis->start(password => PASSWORD);
    my $password = PASSWORD;
    # At that level nginx itself logs the headers of requests.
    my $debug = start_nginx($redis->url . qq{ "password=$password"}, log_level => 'debug');
    my $monitor = $redis->monitor;
    use_everything($debug)->abort;
    $redis->command('FLUSHALL');
    my $nginx = start_nginx($redis->url . qq{ "password=$password"}, log_level => 'info');
    my $stream = use_everything($nginx);
    # Every two seconds a worker writes what each policy counts (t/redis/units.t).
    my @keys = grep { !/^ai_limit:units:\{all\}:\w+:[rtc]$/ } @{$redis->command('KEYS', '*')};
    $stream->abort;
    $redis->wait_for(sub { !grep { /flights/ } @{$redis->command('KEYS', '*')} }, 'all to end');

    my $seen = join "\n", map { join ' ', @$_ } $monitor->commands;
    like $seen, qr/EVALSHA/, 'Redis was asked';
    my %values = map { $_ => join ' ', $redis->command('TYPE', $_) eq 'string' ? $redis->command('GET', $_) : () } @keys;
    my %texts = (
        'Redis\'s monitor' => $seen,
        'what Redis keeps' => join("\n", %values),
        'Redis\'s log'     => $redis->log,
        'the log'          => $nginx->error_log,
    );
    for my $name (sort keys %texts) {
        is_deeply [lines_with(API_KEY, $texts{$name})], [], "$name: no API key";
        is_deeply [lines_with(PROMPT, $texts{$name})], [], 'no prompt';
        is_deeply [lines_with($_, $texts{$name})], [], 'no password' for PASSWORD, "pass\\'word";
    }
    is_deeply [lines_with($_, $debug->error_log)], [], 'a debug log: no prompt and no password' for PROMPT, "pass'word";
    like $nginx->error_log, qr/key: "sk-t…6789"/, 'a refusal shows a part of the key';

    is_deeply [grep { !m{^ai_limit:\{[A-Za-z0-9+/]{22}\}:\w+(?::t)?(?::flights)?$} } @keys], [], 'keys are hashed';
    is_deeply [sort map { s/.*\}://r } @keys], [sort qw(client model raw refuses slots:flights tokens:t tokens:t:flights windows:t windows:t:flights)],
        'each policy has one, and another for what is in flight';
    my %most = (client => 86_400, raw => 86_400, model => 60, refuses => 3600, 'tokens:t' => 31 * 86_400, 'windows:t' => 86_400);
    my @lasting = grep { my $name = s/.*\}://r; my $ttl = $redis->command('PTTL', $_); $ttl == -1 || $ttl > 1000 * ($most{$name} // 30) } @keys;
    is_deeply \@lasting, [], 'each ends by itself, when nothing is left to know';
    $_->stop for $nginx, $debug;
    return;
}

sub lines_with {
    my ($secret, $text) = @_;
    return grep { index($_, $secret) >= 0 } split /\n/, $text;
}

sub user { return 'limiter on >the-secret ~ai_limit:* ' . join ' ', map { "+$_" } @_ }

sub test_rights {
    my $redis = AiLimit::Redis->start(users => [user(@RIGHTS)]);
    my $nginx = start_nginx($redis->url . ' user=limiter password=the-secret');
    my $stream = use_everything($nginx);
    # A killed worker's.
    my ($flights) = grep { /:tokens:t:flights$/ } @{$redis->command('KEYS', '*')};
    $redis->command('ZADD', $flights, 1, 'dead-1:7');
    is post($nginx->port, '/v1/chat/completions', $body, @client)->{status}, 200, 'a lease that is over is no hindrance';
    my $used = sub { my %calls = $redis->command('INFO', 'commandstats') =~ /^cmdstat_(\S+?):calls=(\d+)/mg; return \%calls };
    $redis->wait_for(sub { $used->()->{exists} }, 'what is in flight to be renewed');
    $stream->abort;
    $redis->wait_for(sub { !grep { /flights/ } @{$redis->command('KEYS', '*')} }, 'all to end');
    is_deeply [grep { !$used->()->{$_} } @RIGHTS], [], 'each right is used';
    my @denied = map { my %entry = @$_; $entry{object} } @{$redis->command('ACL', 'LOG')};
    is_deeply [grep { !/^script/ } @denied], [], 'and no other is wanted, but to load the script at once';
    unlike $nginx->error_log, qr/is lost/, 'without which Redis is not lost';
    $nginx->stop;

    $redis->command('ACL', 'SETUSER', 'limiter', '-zadd');
    $nginx = start_nginx($redis->url . ' user=limiter password=the-secret');
    is post($nginx->port, '/v1/chat/completions', $body, @client)->{status}, 200, 'a right less, and each decides alone';
    like $nginx->error_log, qr/\[error\].* is lost: .*(?:NOPERM|permission|can't run)/i, 'and says so';
    unlike $nginx->error_log, qr/the-secret|\Q@{[API_KEY]}\E/, 'without a secret';
    $nginx->stop;
    return;
}

# Decided in Redis, by both of two nginx that come to it like this.
sub is_shared {
    my ($name, $directive, %o) = @_;
    my @nodes = map { start_nginx($directive, %o) } 1, 2;
    my $key = 'k' . time;
    my @statuses = map { get($nodes[$_ % 2]->port, '/', 'X-Key' => $key)->{status} } 0 .. 2 * LIMIT - 1;
    is_deeply \@statuses, [(200) x LIMIT, (429) x LIMIT], "$name: two nginx share a limit";
    unlike $_->error_log, qr/is lost|the-secret/, 'without a word' for @nodes;
    $_->stop for @nodes;
    return;
}

# Redis is lost, which is said once, and the node decides alone.
sub is_lost {
    my ($name, $why, $directive, %o) = @_;
    my $nginx = start_nginx($directive, %o);
    my @statuses = map { get($nginx->port, '/', 'X-Key' => 'k')->{status} } 1 .. LIMIT + 1;
    is_deeply \@statuses, [(200) x LIMIT, 429], "$name: nginx decides alone";
    my @said = $nginx->error_log =~ /^.*\[error\].*Redis .* is lost: (.*)$/mg;
    is scalar(@said), 1, 'which is said once';
    like $said[0], $why, 'and why';
    unlike $nginx->error_log, qr/the-secret/, 'without a password';
    $nginx->stop;
    return;
}

sub test_passwords {
    my $redis = AiLimit::Redis->start(password => 'the-secret', users => ['alice on >the-secret-of-alice ~* +@all']);
    my %files = (files => {password => "the-secret\nanother line\n", bare => 'the-secret', dos => "the-secret\r\n", alice => 'the-secret-of-alice'});
    is_shared('password=', $redis->url . ' password=the-secret');
    is_shared('password_file=', $redis->url . ' password_file=%%DIR%%/password', %files);
    is_shared('password_file= without a line end', $redis->url . ' password_file=%%DIR%%/bare', %files);
    is_shared('password_file= with another line end', $redis->url . ' password_file=%%DIR%%/dos', %files);
    is_shared('user= and password=', $redis->url . ' user=alice password=the-secret-of-alice');
    is_shared('user= and password_file=', $redis->url . ' user=alice password_file=%%DIR%%/alice', %files);
    return;
}

sub test_wrong_passwords {
    my $redis = AiLimit::Redis->start(password => 'secret', users => ['alice on >secret ~* +@all', 'bob on >the-secret ~other:* +@all']);
    is_lost('none', qr/NOAUTH|unauthenticated/, $redis->url);
    is_lost('another one', qr/WRONGPASS/, $redis->url . ' password=the-secret');
    is_lost('another user\'s', qr/WRONGPASS/, $redis->url . ' user=alice password=the-secret');
    is_lost('a user without rights to the keys', qr/NOPERM|permission/i, $redis->url . ' user=bob password=the-secret');
    my $open = AiLimit::Redis->start(config => 'rename-command AUTH ""');
    is_lost('a Redis that shows what it does not know', qr/AUTH is answered with ERR/, $open->url . ' password=the-secret');

    my $nginx = start_nginx($redis->url . ' password=the-secret');
    is get($nginx->port, '/', 'X-Key' => 'back')->{status}, 200, 'a password that is right only later';
    $redis->command('CONFIG', 'SET', 'requirepass', 'the-secret');
    # A decision is what shows that it is.
    $redis->wait_for(sub {
        get($nginx->port, '/', 'X-Key' => 'looks');
        return $nginx->error_log =~ /\[error\].*Redis .* is back/;
    }, 'Redis to be back');
    is get($nginx->port, '/', 'X-Key' => 'back')->{headers}{'x-ratelimit-remaining'}, LIMIT - 2, 'is right then';
    $nginx->stop;
    return;
}

sub test_addresses {
    my $redis = AiLimit::Redis->start(config => 'databases 20');
    is_shared('redis://', $redis->url);
    is_shared('a name', 'redis://localhost:' . $redis->port);
    is_shared('unix:', $redis->unix_url);
    is_shared('a database', $redis->url(13));
    is_shared('database 0', $redis->url(0));
    is_deeply [sort $redis->command('INFO', 'keyspace') =~ /^db(\d+):keys=(\d+)/mg], [sort 0 => 4, 13 => 1], 'keys are where they should be';
    is_lost('a database that is none', qr/ERR.*out of range/, $redis->url(20));
    is_lost('a socket that is none', qr/No such file|connecting failed/, 'unix:/nowhere/redis.sock');
    return;
}

sub test_tls {
    my $redis = AiLimit::Redis->start(tls => 1, password => 'the-secret');
    my $other = AiLimit::Redis->start(tls => 'DNS:other.example');
    my $ca = $redis->ca_file;
    is_shared('by its address', $redis->url . " ssl_trusted_certificate=$ca password=the-secret");
    is_shared('by its name', 'rediss://localhost:' . $redis->port . "/3 ssl_trusted_certificate=$ca password=the-secret");
    is_shared('ssl_verify=off', $redis->url . ' ssl_verify=off password=the-secret');
    is_shared('ssl_verify=off, for another name', $other->url . ' ssl_verify=off');
    is_lost('a CA that is not trusted', qr/certificate cannot be verified/, $redis->url . ' password=the-secret');
    is_lost('another CA', qr/certificate cannot be verified/, $redis->url . ' password=the-secret ssl_trusted_certificate=' . $other->ca_file);
    is_lost('a certificate for another name', qr/certificate is for another host/, $other->url . ' ssl_trusted_certificate=' . $other->ca_file);
    is_lost('without TLS to a TLS port', qr/./, 'redis://127.0.0.1:' . $redis->port . ' password=the-secret');
    my $plain = AiLimit::Redis->start;
    is_lost('TLS to a port without', qr/TLS handshake failed|timed out/, 'rediss://127.0.0.1:' . $plain->port . ' password=the-secret',
        timeouts => 'connect_timeout=500ms');
    is_deeply [names_asked_for('localhost'), names_asked_for('127.0.0.1')], ['localhost'], 'nginx asks a server for the name that it should have';
    return;
}

# The names that nginx asks for when TLS begins (RFC 6066, section 3).
sub names_asked_for {
    my ($host) = @_;
    my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!";
    my $nginx = start_nginx("rediss://$host:" . $listener->sockport . '/3', timeouts => 'connect_timeout=500ms');
    is get($nginx->port, '/', 'X-Key' => 'k')->{status}, 200, "$host: asked";
    sysread $listener->accept, my $hello, 65536;
    $nginx->stop;
    my ($size, $rest) = $hello =~ /\0\0..\0.\0(..)($host.*)/s or return;
    return substr $rest, 0, unpack 'n', $size;
}
