# Tests limits in Redis over the ends of workers and requests: a reload forgets and fails nothing; a graceful end
# settles all that was in flight; a worker that is killed leaves nobody waiting; a client that goes away while Redis is
# asked leaves nothing behind.

use strict;
use warnings;

use Digest::SHA qw(sha256);
use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use MIME::Base64 qw(encode_base64);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::Load;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Redis;
use AiLimit::Tokens qw(chat);

use constant LIMIT => 300;

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) = AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');
my $rounds = $ENV{RELOAD_ROUNDS} // 20;
my $redis = AiLimit::Redis->start;
my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
my $model = AiLimit::ModelServer->start;
my $conf = <<"CONF";
    # No answer of Redis is late, however busy this machine is.
    ai_limit_redis @{[$proxy->url]} sync=strict timeout=60s connect_timeout=60s;
    ai_limit_policy few    key=\$arg_k rate=1r/month burst=@{[LIMIT]};
    ai_limit_policy many   key=\$arg_k rate=1r/month burst=1000000;
    ai_limit_policy slots  key=\$arg_k concurrency=20;
    ai_limit_policy tokens key=\$arg_k rate=1t/month burst=100000 reserve=max;
    ai_limit_log_level info;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_1%%$listen;
        $http2
        add_header X-Worker \$pid always;
        location /few  { ai_limit few; empty_gif; }
        location /many { ai_limit many; empty_gif; }
        location /all  { ai_limit many slots tokens; empty_gif; }
        location /v1/ {
            ai_limit slots tokens;
            proxy_pass http://127.0.0.1:@{[$model->port]};
            proxy_http_version 1.1;
            proxy_buffering off;
        }
    }
CONF
my $nginx = start_nginx();

subtest 'reloads under load' => sub {
    my $load = start_load('few');
    for (1 .. $rounds) {
        $nginx->reload;
        sleep 0.02;
    }
    my $sent = $load->end;
    my $passed = $sent->{passed};
    # More requests follow until the limit is used up.
    while (status('few') == 200) { $passed++ }
    is $sent->{failed}, 0, 'no request fails';
    is $passed, LIMIT, 'exactly what may pass passes';
    note "$sent->{refused} were refused";
    cmp_ok $redis->info('connected_clients'), '<=', 2 * 3 + 4, 'no connection is left behind';
    is_deeply [$nginx->error_log =~ /Redis \S+ is (?:lost|back)/g], [], 'Redis is never lost';
};

subtest 'a reload while streams run and requests wait' => sub {
    my @streams = map { stream('reload') } 1 .. 4;
    is_deeply [map { $_->head } @streams], [(200) x 4], 'streams run';
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    my @waiting = map { start_request($nginx->port, path => '/many?k=waiting') } 1 .. 6;
    $proxy->wait_for_commands('EVALSHA', 6);
    $proxy->clear;
    $nginx->reload;
    $proxy->release;
    is_deeply [map { $_->finish->{status} } @waiting], [(200) x 6], 'a request that waited for Redis passes';
    is in_flight('slots'), 4, 'the streams still have their slots';
    open_gate(4);
    is_deeply [map { $_->finish->{complete} } @streams], [(1) x 4], 'the streams end';
    wait_until_landed();
    is used('tokens', 'reload'), 4 * 42, 'and each is charged what it used';
};

subtest 'a graceful end' => sub {
    my @streams = map { stream('end') } 1 .. 4;
    is_deeply [map { $_->head } @streams], [(200) x 4], 'streams run';
    # From now on, commands reach Redis late.
    $proxy->when('EVALSHA', delay => 300);
    $proxy->forget;
    my @requests = map { start_request($nginx->port, path => '/all?k=end') } 1 .. 4;
    $proxy->wait_for_commands('EVALSHA', 4);
    $nginx->signal('QUIT');
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 4], 'requests end';
    open_gate(4);
    is_deeply [map { $_->finish->{complete} } @streams], [(1) x 4], 'streams end';
    ok $nginx->stop(graceful => 1), 'nginx ends';
    is_deeply [map { in_flight($_) } qw(slots tokens)], [0, 0], 'and leaves nothing in flight in Redis';
    is used('many', 'end'), 4, 'each request is counted';
    is used('tokens', 'end'), 4 * 42, 'and all that the streams have used';
    $proxy->clear;
};

$nginx = start_nginx();

subtest 'workers that are killed under load' => sub {
    my $load = start_load('many');
    my $answered = 0;
    $nginx->{killed} = 1;
    for (1 .. 10) {
        my @workers = $nginx->serving_workers;
        $nginx->kill_worker($workers[rand @workers]);
        $answered++ if status('many') == 200;
    }
    my $sent = $load->end;
    my $passed = $sent->{passed};
    is $answered, 10, 'others answer';
    is $sent->{refused}, 0, 'nobody is refused';
    cmp_ok $sent->{longest}, '<', AiLimit::Nginx::PATIENCE, 'no client waits in vain';
    my $used = used('many', 'load-many');
    cmp_ok $used, '>=', $passed + 10, 'all that passed is counted';
    cmp_ok $used, '<=', $passed + 10 + $sent->{failed}, 'and nothing twice';
    note "$passed passed, $sent->{failed} failed";
};

subtest 'clients that go away while Redis is asked' => sub {
    my $count = 0;
    for my $how (sub { $proxy->release }, sub { $proxy->close_all }) {
        my $key = 'gone-' . ++$count;
        $proxy->when('EVALSHA', hold => 1);
        $proxy->forget;
        my $seen = length $nginx->error_log;
        my @requests = map { start_request($nginx->port, path => "/all?k=$key") } 1 .. 6;
        $proxy->wait_for_commands('EVALSHA', 6);
        $_->abort for @requests;
        $nginx->wait_for_log(qr/(?:client .*?closed connection.*?){6}/s, $seen);
        $proxy->clear;
        $how->();
        wait_until_landed();
        is_deeply [map { in_flight($_) } qw(slots tokens)], [0, 0], 'nothing stays in flight';
        is used('tokens', $key), 0, 'and no tokens are used';
    }
    leave_over_http2() if qx(curl --version) =~ /\bHTTP2\b/;
    # After the loss, Redis is back with the next decision.
    $redis->wait_for(sub { status('many'); $nginx->error_log !~ /is lost(?!.*is back)/s }, 'Redis to be found');
    is_deeply [map { get($nginx->port, '/all?k=after')->{status} } 1 .. 25], [(200) x 25], 'others are served';
    wait_until_landed();
};

$nginx->stop(graceful => 1);
done_testing;

# nginx closes a stream whose client has gone, and with that the request that waits.
sub leave_over_http2 {
    $redis->wait_for(sub { status('many'); $nginx->error_log !~ /is lost(?!.*is back)/s }, 'Redis to be found');
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    my $seen = length $nginx->error_log;
    my @clients = map { curl_http2('/all?k=gone-h2') } 1 .. 6;
    $proxy->wait_for_commands('EVALSHA', 6);
    kill 'KILL', @clients;
    waitpid $_, 0 for @clients;
    $nginx->wait_for_log(qr/(?:client .*?closed connection.*?){6}/s, $seen);
    $proxy->clear;
    $proxy->release;
    wait_until_landed();
    is_deeply [map { in_flight($_) } qw(slots tokens)], [0, 0], 'over HTTP/2, too';
    return;
}

# Starts a curl, and returns its process id.
sub curl_http2 {
    my ($path) = @_;
    my $pid = fork() // die "fork: $!";
    return $pid if $pid != 0;
    open STDOUT, '>', '/dev/null';
    exec 'curl', '-s', '--http2-prior-knowledge', 'http://127.0.0.1:' . $nginx->port(1) . $path or POSIX::_exit(127);
}

sub start_nginx {
    return AiLimit::Nginx->start(http => $conf, workers => 2, log_level => 'info');
}

sub status {
    my ($policy) = @_;
    return get($nginx->port, "/$policy?k=load-$policy", Connection => 'close')->{status};
}

# The same over and over.
sub start_load {
    my ($policy) = @_;
    return AiLimit::Load->start($nginx->port, path => "/$policy?k=load-$policy");
}

sub stream {
    my ($key) = @_;
    return start_request($nginx->port, method => 'POST', body => chat(stream => 1, include_usage => 1, max_tokens => 200),
        headers => ['Content-Type' => 'application/json'],
        path => "/v1/chat/completions?gate=$key&prompt_tokens=20&completion_tokens=22&k=$key");
}

# Opens the gates of `streams` streams.
sub open_gate {
    my ($streams) = @_;
    for my $key (qw(reload end)) {
        get($model->port, "/next?gate=$key") for 1 .. 10 * $streams;
    }
    return;
}

# Returns how many requests of a policy Redis knows to be in flight.
sub in_flight {
    my ($policy) = @_;
    return sum0(map { $redis->command('ZCARD', $_) } @{$redis->command('KEYS', "*:$policy*:flights")});
}

sub wait_until_landed {
    $redis->wait_for(sub { !grep { in_flight($_) } qw(slots tokens) }, 'all to land in Redis');
    return;
}

# Returns what a key has used of a token bucket, as Redis counts it.
sub used {
    my ($policy, $key) = @_;
    $policy .= ':t' if $policy eq 'tokens';
    my $hash = substr encode_base64(substr(sha256($key), 0, 16), ''), 0, 22;
    my $script = 'local s = redis.call("GET", KEYS[1]) return s and cmsgpack.unpack(s)[3] or 0';
    return $redis->command('EVAL', $script, 1, "ai_limit:{$hash}:$policy");
}
