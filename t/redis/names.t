# Tests Redis servers that are called by names: nginx's resolver finds them, also if they have moved, and only requests
# that ask Redis wait for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA ();
use MIME::Base64 ();
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Dns;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience;
use AiLimit::Redis;

use constant PATIENCE => AiLimit::Nginx::PATIENCE;

# No system knows it (RFC 6761).
use constant NAME => 'redis.invalid';

my $dns = AiLimit::Dns->start;
my $rounds = 0;

subtest 'a name that moves' => \&test_move;
subtest 'a name that is not known yet' => \&test_unknown;
subtest 'on_failure decides what happens without Redis' => \&test_on_failure;
subtest 'a resolver that is silent' => \&test_silence;
subtest 'a resolver that is silent later' => \&test_late_silence;
subtest 'a name that only the system knows' => \&test_system;
subtest 'several addresses' => \&test_several;
subtest 'a reload and an exit meanwhile' => \&test_exit;
subtest 'without a resolver' => \&test_without;
subtest 'a sentinel that answers with names' => \&test_sentinel;
subtest 'a cluster that answers with names' => \&test_cluster;
subtest 'a cluster that answers with addresses' => \&test_addresses;
subtest 'TLS' => \&test_tls;
done_testing;

sub test_move {
    my $old = AiLimit::Redis->start;
    my $new = AiLimit::Redis->start(address => '127.0.0.2', port => $old->port);
    $dns->set(NAME, ['127.0.0.1']);
    # One worker: each remembers what the name stands for until a second of its own, and one that still has the old
    # address loses Redis for the others once more.
    my $nginx = start_nginx('redis://' . NAME . ':' . $old->port, workers => 1);
    decides($nginx, $old);
    is_deeply [lines($nginx)], [], 'nothing is logged';
    $old->stop;
    $dns->set(NAME, ['127.0.0.2']);
    is_deeply statuses($nginx, sub { $nginx->error_log =~ /is back/ }), [200], 'no request fails until the new one is found';
    decides($nginx, $new);
    my $name = quotemeta NAME . ':' . $old->port;
    my @lines = lines($nginx);
    is @lines, 2, 'two lines' or diag join "\n", @lines;
    like $lines[0], qr/\[error\].*Redis $name is lost: at 127\.0\.0\.1:\d+: /, 'it is lost, says the log, and where it was';
    like $lines[1], qr/\[error\].*Redis $name is back/, 'and is back';
    return;
}

sub test_unknown {
    my $redis = AiLimit::Redis->start;
    $dns->set(NAME, undef);
    my $nginx = start_nginx('redis://' . NAME . ':' . $redis->port);
    my ($code, $output) = $nginx->test_config;
    is $code, 0, 'the configuration is right' or diag $output;
    is_deeply statuses($nginx, sub { $nginx->error_log =~ /is lost/ }), [200], 'requests pass';
    statuses($nginx, 40);
    my @lines = lines($nginx);
    is @lines, 1, 'one warning' or diag join "\n", @lines;
    like $lines[0], qr/\[error\].*Redis ${\NAME}:\d+ is lost: ${\NAME} cannot be resolved \(.*Host not found\); this node decides alone/, 'that says why';
    $dns->set(NAME, ['127.0.0.1']);
    is_deeply statuses($nginx, sub { $nginx->error_log =~ /is back/ }), [200], 'then it is found';
    wait_until_decided($nginx, $redis);
    decides($nginx, $redis);
    return;
}

sub test_on_failure {
    $dns->set(NAME, undef);
    my $nginx = start_nginx('redis://' . NAME . ' on_failure=reject');
    is_deeply statuses($nginx, 20), [503], 'requests are refused';
    like join("\n", lines($nginx)), qr/cannot be resolved .*; requests are refused with 503$/, 'and the warning says so';
    return;
}

sub test_silence {
    my $redis = AiLimit::Redis->start;
    $dns->set(NAME, ['127.0.0.1']);
    $dns->silence;
    my $nginx = start_nginx('redis://' . NAME . ':' . $redis->port, workers => 1, timeouts => 'connect_timeout=60s');
    my $asked = $dns->queries(NAME);
    my @waiting = map { start_request($nginx->port, path => '/limited?k=waiting') } 1 .. 3;
    wait_for(sub { $dns->queries(NAME) > $asked }, 'the name to be asked for');
    is_deeply [map { get($nginx->port, '/free')->{status} } 1 .. 50], [(200) x 50], 'the only worker answers others';
    is grep({ length $_->{in} } @waiting), 0, 'while those that need Redis wait';
    $dns->speak;
    is_deeply [map { $_->finish->{status} } @waiting], [(200) x 3], 'until there is an answer';
    is get($nginx->port, '/limited?k=waiting')->{headers}{'x-ratelimit-remaining'}, 1000 - 4, 'each is counted';
    is found_in(['waiting'], $redis), 1, 'in Redis';
    is_deeply [lines($nginx)], [], 'nothing is logged';

    $dns->silence;
    $nginx = start_nginx('redis://' . NAME . ':' . $redis->port, timeouts => 'connect_timeout=300ms');
    is_deeply statuses($nginx, sub { $nginx->error_log =~ /is lost/ }), [200], 'they pass when the time is over';
    my $begin = time;
    is_deeply statuses($nginx, 100), [200], 'others as well';
    cmp_ok time - $begin, '<', PATIENCE / 2, 'without waiting';
    my @lines = lines($nginx);
    is @lines, 1, 'one warning' or diag join "\n", @lines;
    like $lines[0], qr/is lost: ${\NAME} cannot be resolved \(.*timed out\)/, 'that says why';
    $dns->speak;
    wait_until_decided($nginx, $redis);
    like join("\n", lines($nginx)), qr/is back/, 'Redis is found when it speaks';
    return;
}

# The last answer, which is too old, serves on.
sub test_late_silence {
    my $redis = AiLimit::Redis->start;
    $dns->set(NAME, ['127.0.0.1']);
    my $nginx = start_nginx('redis://' . NAME . ':' . $redis->port, workers => 1);
    decides($nginx, $redis);
    $dns->silence;
    my @failed;
    wait_for(sub {
        $redis->command(qw(CLIENT KILL TYPE normal));
        push @failed, grep { $_ != 200 } get($nginx->port, '/limited?k=' . $rounds++)->{status};
        return $nginx->error_log =~ /looked for where it was/;
    }, 'the answer to be too old');
    is_deeply \@failed, [], 'no request fails';
    wait_until_decided($nginx, $redis);    # A request that was under way when its connection was killed has lost it.
    decides($nginx, $redis);
    is grep({ /\[notice\].*looked for where it was, since its name cannot be resolved \(.*timed out\)/ } lines($nginx)), 1, 'one notice';
    $dns->speak;
    return;
}

sub test_system {
    my $redis = AiLimit::Redis->start;
    my $nginx = start_nginx('redis://localhost:' . $redis->port);
    decides($nginx, $redis);
    is_deeply [grep { !/\[notice\].*looked for where it was/ } lines($nginx)], [], 'is found as before';
    return;
}

sub test_several {
    my $redis = AiLimit::Redis->start(address => '127.0.0.3');
    $dns->set(NAME, ['127.0.0.3', '127.0.0.1', '127.0.0.2']);
    my $nginx = start_nginx('redis://' . NAME . ':' . $redis->port);
    decides($nginx, $redis);
    is_deeply [lines($nginx)], [], 'nobody notices that only the last of them is there';

    my $master = AiLimit::Redis->start;
    my $replica = AiLimit::Redis->start(replica_of => $master, port => $redis->port, address => '127.0.0.2');
    $redis->command(qw(CLIENT KILL TYPE normal));
    wait_for(sub { get($nginx->port, '/limited?k=again' . $rounds++); $nginx->error_log =~ /at 127\.0\.0\.2:\d+: READONLY/ },
        'one that decides nothing to be asked');
    wait_until_decided($nginx, $redis);
    pass 'the one that does is found';
    return;
}

# The name of the lost Redis is being looked up, in vain.
sub test_exit {
    $dns->speak;
    $dns->set(NAME, undef);
    my $nginx = start_nginx('redis://' . NAME, timeouts => 'connect_timeout=600s');
    statuses($nginx, 40);
    $nginx->wait_for_log(qr/is lost/);
    $dns->silence;
    asked_for($nginx);
    my %old = map { $_ => 1 } $nginx->workers;
    $nginx->reload;
    wait_for(sub { !grep { $old{$_} } $nginx->workers }, 'the old workers to end');
    pass 'a reload does not wait';
    asked_for($nginx);
    ok $nginx->stop(graceful => 1), 'nor does an exit';

    # A request waits for the name.
    $nginx = start_nginx('redis://' . NAME, workers => 1, timeouts => 'connect_timeout=600s');
    my $asked = $dns->queries(NAME);
    my @waiting = map { start_request($nginx->port, path => '/limited?k=waiting') } 1 .. 2;
    wait_for(sub { $dns->queries(NAME) > $asked }, 'the name to be asked for');
    ok $nginx->stop, 'TERM ends at once';

    $nginx = start_nginx('redis://' . NAME, workers => 1, timeouts => 'connect_timeout=2s');
    $asked = $dns->queries(NAME);
    my $waiting = start_request($nginx->port, path => '/limited?k=waiting');
    wait_for(sub { $dns->queries(NAME) > $asked }, 'the name to be asked for');
    ok $nginx->stop(graceful => 1), 'QUIT ends';
    is $waiting->finish->{status}, 200, 'once the waiting request is answered';
    $dns->speak;
    return;
}

sub test_without {
    my $redis = AiLimit::Redis->start;
    my ($code, $output) = AiLimit::Nginx->check(http => 'ai_limit_redis redis://' . NAME . '/2;');
    isnt $code, 0, 'a name that is not known is a mistake';
    my @lines = grep { /\[emerg\]/ } split /\n/, $output;
    is @lines, 1, 'in one line' or diag $output;
    like $lines[0], qr{ai_limit_redis: host not found in "redis://${\NAME}/2".*"resolver".* in \S+/nginx\.conf:\d+$}, 'that says what to do';
    ($code, $output) = AiLimit::Nginx->check(http => 'ai_limit_redis redis://' . NAME . "; server { resolver @{[$dns->address]}; }");
    isnt $code, 0, 'also where only a server has a resolver';
    ($code, $output) = AiLimit::Nginx->check(http => 'ai_limit_redis redis://' . 'n' x 300 . "; resolver @{[$dns->address]};");
    like $output, qr/\[emerg\].*too long a name/, 'a name that none can have is one anyway';

    my $nginx = start_nginx('redis://localhost:' . $redis->port, resolver => '');
    decides($nginx, $redis);
    is_deeply [lines($nginx)], [], 'a name that is known serves';
    return;
}

sub test_sentinel {
    my $master = AiLimit::Redis->start;
    my $sentinel = AiLimit::Redis->start_sentinel(watches => $master, replicas => 0);
    $sentinel->command(qw(SENTINEL CONFIG SET resolve-hostnames yes));
    $sentinel->command(qw(SENTINEL CONFIG SET announce-hostnames yes));
    $sentinel->command(qw(SENTINEL REMOVE main));
    $sentinel->command(qw(SENTINEL MONITOR main localhost), $master->port, 1);
    is $sentinel->command(qw(SENTINEL GET-MASTER-ADDR-BY-NAME main))->[0], 'localhost', '(it does)';
    $dns->set('sentinel.invalid' => ['127.0.0.1'], 'localhost' => ['127.0.0.1']);

    my $nginx = start_nginx('redis://sentinel.invalid:' . $sentinel->port . ' sentinel=main');
    wait_until_decided($nginx, $master);
    decides($nginx, $master);
    is_deeply [lines($nginx)], [], 'nothing is logged';
    $nginx->stop;

    my $without = start_nginx($sentinel->url . ' sentinel=main', resolver => '');
    is_deeply statuses($without, sub { $without->error_log =~ /Redis names/ }), [200], 'without a resolver requests pass';
    sleep 0.6;    # Both workers have asked twice.
    my @lines = lines($without);
    is @lines, 1, 'one warning' or diag join "\n", @lines;
    like $lines[0], qr/\[error\].*localhost:${\$master->port}, .* with a "resolver" in the http block; this node decides alone/, 'that says what to do';
    $without->write_config(http => http_of($sentinel->url . ' sentinel=main'));
    $without->reload;
    wait_until_decided($without, $master);
    pass 'and when that is done the master is found';
    $dns->set('localhost', undef);
    return;
}

# Node n is node-n.invalid.
sub start_cluster {
    my (%options) = @_;
    my @nodes = AiLimit::Redis->start_cluster(%options);
    for my $i (0 .. $#nodes) {
        $nodes[$i]->command(qw(CONFIG SET cluster-preferred-endpoint-type hostname));
        announce($nodes[$i], "node-$i.invalid", @nodes);
    }
    return @nodes;
}

sub announce {
    my ($node, $name, @nodes) = @_;
    $dns->set($name => ['127.0.0.1']);
    $node->command(qw(CONFIG SET cluster-announce-hostname), $name);
    wait_for(sub { !grep { $_->command(qw(CLUSTER NODES)) !~ /,\Q$name\E[, ]/ } @nodes }, "all to know $name");
    return;
}

sub test_cluster {
    my @nodes = start_cluster();
    my $nginx = start_nginx('redis://node-0.invalid:' . $nodes[0]->port . ' cluster');
    wait_until_decided($nginx, @nodes);
    decides($nginx, @nodes);
    is_deeply [grep { !keys_of($_) } @nodes], [], 'all nodes have some keys';
    is_deeply [grep { !$dns->queries("node-$_.invalid") } 0 .. 2], [], 'and were asked for by their names';
    is_deeply [lines($nginx)], [], 'nothing is logged';

    # A MOVED reply gives the name, although only addresses were known.
    my $by_address = start_nginx($nodes[0]->url . ' cluster');
    my $without = start_nginx($nodes[0]->url . ' cluster', resolver => '');
    for my $one ($by_address, $without) {
        wait_until_decided($one, @nodes);
        my $key = 'moves' . $rounds++;
        get($one->port, "/limited?k=$key");
        my $to = move($key, @nodes);
        my $asked = $dns->queries("node-$to.invalid");
        wait_for(sub { get($one->port, "/limited?k=$key"); $one == $without ? $one->error_log =~ /Redis names/ : $dns->queries("node-$to.invalid") > $asked },
            'a name to be announced');
        # A node without a resolver decides by itself on requests that are sent elsewhere. Those that come later are not
        # sent any more.
        wait_until_decided($one, @nodes);
    }
    decides($by_address, @nodes);
    is_deeply [lines($by_address)], [], 'and a name from a redirection is found';
    my @lines = lines($without);
    is @lines, 1, 'without a resolver there is one warning' or diag join "\n", @lines;
    like $lines[0], qr/\[error\].*Redis names a server node-\d\.invalid:\d+, .* with a "resolver" in the http block/, 'that says what to do';
    return;
}

# A name leads to one of them, which tells of all; then that is gone, and the name.
sub test_addresses {
    my @nodes = AiLimit::Redis->start_cluster;
    $dns->set(NAME, ['127.0.0.1']);
    my $nginx = start_nginx('redis://' . NAME . ':' . $nodes[0]->port . ' cluster');
    wait_until_decided($nginx, @nodes);
    decides($nginx, @nodes);
    $dns->set(NAME, undef);
    $nodes[0]->stop;
    my $port = $nodes[0]->port;
    statuses($nginx, sub { $nginx->error_log =~ /127\.0\.0\.1:$port is lost/ });
    sleep 1;    # It has been asked who is there, by that name too.
    is_deeply [grep { /\[error\]/ && /${\NAME}/ } lines($nginx)], [], 'of the name, which decides nothing, nobody says that it is lost';
    return;
}

sub test_tls {
    my @nodes = start_cluster(tls => 'DNS:node-0.invalid,DNS:node-1.invalid,DNS:node-2.invalid,IP:127.0.0.1');
    my $url = 'rediss://node-0.invalid:' . $nodes[0]->port . ' cluster ssl_trusted_certificate=' . $nodes[0]->ca_file;
    my $nginx = start_nginx($url);
    wait_until_decided($nginx, @nodes);
    decides($nginx, @nodes);
    is_deeply [lines($nginx)], [], 'each has a certificate for its name';
    announce($nodes[2], 'other.invalid', @nodes);
    my $other = start_nginx($url);
    statuses($other, sub { $other->error_log =~ /is lost/ });
    my @lines = lines($other);
    is @lines, 1, 'one warning' or diag join "\n", @lines;
    like $lines[0], qr/Redis other\.invalid:${\$nodes[2]->port} is lost: at 127\.0\.0\.1:\d+: its certificate is for another host/, 'where one has none';
    ok keys_of($nodes[1]), 'while others decide';

    my $single = AiLimit::Redis->start(tls => 'DNS:' . NAME);
    $dns->set(NAME, ['127.0.0.1']);
    $nginx = start_nginx('rediss://' . NAME . ':' . $single->port . ' ssl_trusted_certificate=' . $single->ca_file);
    decides($nginx, $single);
    is_deeply [lines($nginx)], [], 'a single one is asked by its name, not its address';
    return;
}

# --- nginx

sub start_nginx {
    my ($redis, %o) = @_;
    return AiLimit::Nginx->start(workers => $o{workers} // 2, log_level => 'notice', http => http_of($redis, %o));
}

# The resolver stands behind the directive that needs it.
sub http_of {
    my ($redis, %o) = @_;
    my $timeouts = $o{timeouts} // 'connect_timeout=' . PATIENCE / 4 . 's';
    my $resolver = $o{resolver} // 'resolver ' . $dns->address . ' ipv6=off;';
    return <<"CONF";
        ai_limit_redis $redis sync=strict timeout=10m $timeouts;
        ai_limit_policy quota key=\$arg_k rate=1r/month burst=1000;
        server {
            listen 127.0.0.1:%%PORT_0%%;
            add_header X-Worker \$pid;
            location /limited { ai_limit quota; empty_gif; }
            location /free { empty_gif; }
        }
        $resolver
CONF
}

# Returns the different statuses of so many requests, or of those until the condition holds.
sub statuses {
    my ($nginx, $until) = @_;
    my %seen;
    my $ask = sub { $seen{get($nginx->port, '/limited?k=' . $rounds++)->{status}} = 1 };
    if (ref $until) {
        wait_for(sub { $ask->(); return $until->() }, 'something while requests come');
    } else {
        $ask->() for 1 .. $until;
    }
    return [sort keys %seen];
}

# Requests are decided in these.
sub decides {
    my ($nginx, @redis) = @_;
    my @keys = map { 'decided-' . $rounds++ } 1 .. 60;
    is_deeply [grep { get($nginx->port, "/limited?k=$_")->{status} != 200 } @keys], [], 'requests pass';
    is found_in(\@keys, @redis), 60, 'each is counted in Redis';
    return;
}

# Until then a worker that has just been started, or has lost Redis, may decide alone.
sub wait_until_decided {
    my ($nginx, @redis) = @_;
    my $all = $nginx->serving_workers;
    wait_for(sub {
        my @keys = map { 'begun-' . $rounds++ } 1 .. 40;
        my %workers = map { get($nginx->port, "/limited?k=$_", Connection => 'close')->{headers}{'x-worker'} => 1 } @keys;
        return keys %workers == $all && found_in(\@keys, @redis) == 40;
    }, 'all workers to find Redis');
    return;
}

# Returns how many of the keys these Redis servers have.
sub found_in {
    my ($keys, @redis) = @_;
    my %wanted = map { hash_of($_) => 1 } @$keys;
    return scalar grep { /(\{.*\})/ && $wanted{$1} } map { @{$_->command('KEYS', '*:quota')} } @redis;
}

sub keys_of { my ($redis) = @_; return scalar @{$redis->command('KEYS', '*:quota')}; }

# A worker is looking for Redis and has no answer.
sub asked_for {
    my ($nginx) = @_;
    my $asked = $dns->queries(NAME);
    wait_for(sub { statuses($nginx, 1); $dns->queries(NAME) > $asked }, 'the name to be asked for');
    return;
}

sub lines {
    my ($nginx) = @_;
    return grep { /Redis|sentinel|\[(?:crit|alert|emerg)\]/ } split /\n/, $nginx->error_log;
}

# Moves the newest key's slot to another node -> which.
sub move {
    my ($key, @nodes) = @_;
    my ($redis_key, $from);
    for my $node (grep { $nodes[$_] } 0 .. $#nodes) {
        for my $found (@{$nodes[$node]->command('KEYS', '*:quota')}) {
            ($redis_key, $from) = ($found, $node) if index($found, hash_of($key)) >= 0;
        }
    }
    my $to = ($from + 1) % @nodes;
    my $slot = $nodes[$from]->command(qw(CLUSTER KEYSLOT), $redis_key);
    my ($from_id, $to_id) = map { $_->command(qw(CLUSTER MYID)) } @nodes[$from, $to];
    $nodes[$to]->command(qw(CLUSTER SETSLOT), $slot, 'IMPORTING', $from_id);
    $nodes[$from]->command(qw(CLUSTER SETSLOT), $slot, 'MIGRATING', $to_id);
    for my $moved (@{$nodes[$from]->command(qw(CLUSTER GETKEYSINSLOT), $slot, 100)}) {
        $nodes[$from]->command('MIGRATE', '127.0.0.1', $nodes[$to]->port, $moved, 0, 5000);
    }
    $_->command(qw(CLUSTER SETSLOT), $slot, 'NODE', $to_id) for @nodes[$to, $from];
    return $to;
}

# The first 16 bytes of SHA-256 in base64, without the padding.
sub hash_of {
    my ($key) = @_;
    return '{' . (MIME::Base64::encode_base64(substr(Digest::SHA::sha256($key), 0, 16), '') =~ s/=+$//r) . '}';
}

sub wait_for {
    my ($condition, $what) = @_;
    my $patience = AiLimit::Patience->new(PATIENCE);
    while (!$condition->()) {
        die "waited in vain for $what\n" if $patience->is_over;
        sleep 0.02;
    }
    return;
}
