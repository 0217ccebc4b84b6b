package AiLimit::Redis;

# Runs a Redis of a test's own: its own folder, port and process.
#
#   my $redis = AiLimit::Redis->start;
#   ... 'ai_limit_redis ' . $redis->url . ';'
#   $redis->command('SET', 'a', 1);           # 'OK'
#   $redis->restart;                          # the same port, nothing kept
#
#   my $replica  = AiLimit::Redis->start(replica_of => $redis);
#   my $sentinel = AiLimit::Redis->start_sentinel(name => 'main', watches => $redis);
#   my @nodes    = AiLimit::Redis->start_cluster;
#
# It ends with the object. REDIS_BIN names another server, such as a valkey-server.

use strict;
use warnings;

use Carp qw(croak);
use File::Copy qw(copy);
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Scalar::Util qw(blessed);
use Time::HiRes qw(sleep);

use AiLimit::Patience qw(PATIENCE);
use AiLimit::RedisClient;

# A test that is told to end takes its Redis with it: exit runs destructors.
$SIG{$_} //= sub { exit 1 } for qw(INT TERM HUP PIPE);

# Options, all optional:
#   password    requirepass
#   users       ['alice on >secret ~* &* +@all', ...], as ACL SETUSER has them
#   tls         1: TLS only, with a certificate for localhost and 127.0.0.1;
#               text: for these names, such as 'DNS:other.example'
#   replica_of  another AiLimit::Redis, with the same password and tls
#   address     where it listens; 127.0.0.1 if not said
#   port        of another one, which listens at another address
#   config      more lines of redis.conf
sub start {
    my ($class, %options) = @_;
    my $self = $class->_prepare(%options);
    $self->launch;
    return $self;
}

# A Redis Cluster -> its nodes. Options as for start(), and
#   masters   how many; 3 if not said
#   replicas  of each of them; 0 if not said
sub start_cluster {
    my ($class, %options) = @_;
    my ($masters, $replicas) = (delete $options{masters} // 3, delete $options{replicas} // 0);
    my @nodes;
    push @nodes, $class->_prepare(%options, cluster => 1, certificate_of => $nodes[0])
        while @nodes < $masters * (1 + $replicas);
    # All at once: a node that has just been forked would still hold the ports of those that come next.
    delete $_->{held} for @nodes;
    $_->_exec for @nodes;
    $_->wait_until_ready for @nodes;
    $nodes[0]->_cli('--cluster', 'create', (map { '127.0.0.1:' . $_->port } @nodes),
        '--cluster-replicas', $replicas, '--cluster-yes');
    my $complete = qr/^cluster_state:ok\r.*^cluster_slots_ok:16384\r.*^cluster_known_nodes:${\scalar @nodes}\r/ms;
    for my $node (@nodes) {
        $node->wait_for(sub { $node->command('CLUSTER', 'INFO') =~ $complete }, 'the cluster to be complete');
    }
    return @nodes;
}

# A sentinel that votes alone, and finds a master lost within a third of a second.
# Options:
#   watches   the AiLimit::Redis that is master now
#   name      what it calls that; main if not said
#   replicas  how many it has to have found to be ready; 1 if not said
#   password, config   as for start(); the password is its own
# It speaks TLS if the master does.
sub start_sentinel {
    my ($class, %options) = @_;
    my $master = $options{watches} // croak 'start_sentinel() wants watches';
    my $self = $class->_prepare(%options, sentinel => $options{name} // 'main',
        tls => $master->{options}{tls}, certificate_of => $master);
    $self->launch;
    my $wanted = $options{replicas} // 1;
    $self->wait_for(sub {
        my $replicas = $self->command('SENTINEL', 'REPLICAS', $self->{sentinel});
        return @$replicas >= $wanted && !grep { {@$_}->{flags} ne 'slave' } @$replicas;
    }, 'the sentinel to find the replicas');
    return $self;
}

sub port { $_[0]{port} }
sub pid  { $_[0]{pid} }
sub dir  { $_[0]{dir} }
sub log  { _slurp("$_[0]{dir}/redis.log") }

# Returns the URL as ai_limit_redis takes it, without a password.
sub url {
    my ($self, $db) = @_;
    return ($self->{options}{tls} ? 'rediss' : 'redis') . "://127.0.0.1:$self->{port}/" . ($db // 0);
}

# Its Unix socket, which every one listens on too.
sub socket_path { "$_[0]{dir}/redis.sock" }
sub unix_url    { 'unix:' . $_[0]->socket_path }

# The certificate of the CA, for ssl_trusted_certificate.
sub ca_file { "$_[0]{dir}/ca.pem" }

# command('EVAL', 'return 1', 0) -> the reply: text, a number, undef, or [...].
# An error as reply is a croak here, and error_of() gives its text, '' for none.
sub command {
    my ($self, @words) = @_;
    my $reply = $self->_ask(@words);
    croak "$words[0]: $reply" if blessed $reply;
    return $reply;
}

sub error_of {
    my ($self, @words) = @_;
    my $reply = $self->_ask(@words);
    return blessed $reply ? "$reply" : '';
}

# A connection of its own (AiLimit::RedisClient), with the password given.
sub connect {
    my ($self) = @_;
    my $client = AiLimit::RedisClient->new($self->socket_path);
    my $password = $self->{options}{password};
    return $client if !defined $password;
    my $reply = $client->command('AUTH', $password);
    croak "AUTH: $reply" if $reply ne 'OK';
    return $client;
}

# Collects commands: $monitor->commands -> those since last asked, each as [words].
# What scripts call is not among them.
sub monitor {
    my ($self) = @_;
    return AiLimit::RedisMonitor->new($self);
}

# One field of INFO.
sub info {
    my ($self, $field) = @_;
    my ($value) = $self->command('INFO', 'everything') =~ /^\Q$field\E:(.*?)\r?$/m;
    return $value;
}

# The port of the master that a sentinel tells of.
sub master_port {
    my ($self) = @_;
    return $self->command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', $self->{sentinel})->[1];
}

# No answers, and no connection lost, until thaw().
sub freeze { my ($self) = @_; return kill 'STOP', $self->{pid}; }
sub thaw   { my ($self) = @_; return kill 'CONT', $self->{pid}; }

# Kills it. Its port is closed until launch(), which finds the keys again after
# stop(keep => 1). Scripts are lost either way; a cluster's nodes stay in it.
sub stop {
    my ($self, %how) = @_;
    return if !$self->{pid};
    if ($how{keep}) {
        $self->command('SAVE');
    } else {
        unlink "$self->{dir}/dump.rdb";
    }
    delete $self->{client};
    local $?;
    kill 'KILL', $self->{pid};
    waitpid delete $self->{pid}, 0;
    $self->_keep_port;
    return;
}

sub launch {
    my ($self) = @_;
    $self->_exec;
    $self->wait_until_ready;
    return;
}

sub restart {
    my ($self, %how) = @_;
    $self->stop(%how);
    $self->launch;
    return;
}

# Back when it answers, has loaded what it kept and, a replica, has its master's keys.
sub wait_until_ready {
    my ($self) = @_;
    $self->wait_for(sub {
        $self->_alive_or_die;
        return eval { $self->command('PING') eq 'PONG' };
    }, 'Redis to answer');
    return if !$self->{options}{replica_of};
    $self->wait_for(sub { $self->info('master_link_status') eq 'up' }, 'the replica to have its data');
    return;
}

# Waits for whatever is to come: wait_for(sub { $redis->info('role') eq 'master' }, 'a failover')
sub wait_for {
    my ($self, $condition, $what) = @_;
    my $patience = AiLimit::Patience->new(PATIENCE);
    while (!$condition->()) {
        croak "waited in vain for $what\n" . $self->log if $patience->is_over;
        sleep 0.005;
    }
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->stop;
    remove_tree($self->{dir}) if !$ENV{AI_LIMIT_KEEP};
    return;
}

# --- configuration

sub _prepare {
    my ($class, %options) = @_;
    my $dir = File::Temp::tempdir('ai_limit_redis_XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    my $self = bless {dir => $dir, options => \%options, sentinel => $options{sentinel}, owner => $$}, $class;
    $self->_take_port;
    $self->_take_certificate($options{certificate_of} // $options{replica_of}) if $options{tls};
    open my $file, '>', "$dir/redis.conf" or croak "$dir/redis.conf: $!";
    print {$file} $self->_config(%options);
    close $file or croak "$dir/redis.conf: $!";
    return $self;
}

# Takes a free port below those that the kernel gives to outgoing connections; that of a cluster's bus, 10000 above, is
# free and below them as well. The port is kept from other tests until Redis is about to bind, and again while Redis is
# stopped.
sub _take_port {
    my ($self) = @_;
    return $self->{port} = $self->{options}{port} if $self->{options}{port};
    for (1 .. 1000) {
        my $port = 15_000 + int rand 7_000;
        my @held = map { _listen($_) } $port, $self->{options}{cluster} ? $port + 10_000 : ();
        next if grep { !$_ } @held;
        @$self{qw(port held)} = ($port, \@held);
        return;
    }
    croak "no free port: $!";
}

sub _listen {
    my ($port) = @_;
    return scalar IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $port);
}

# A socket that is bound and does not listen: the port is closed to clients, and no other test can take it.
sub _keep_port {
    my ($self) = @_;
    my $address = $self->{options}{address} // '127.0.0.1';
    my $socket = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $self->{port}, Proto => 'tcp', ReuseAddr => 1);
    $self->{held} = [$socket // ()];
    return;
}

sub _config {
    my ($self, %o) = @_;
    my $address = $o{address} // '127.0.0.1';
    my $port = $o{tls} ? "port 0\ntls-port $self->{port}" : "port $self->{port}";
    my @lines = (<<"CONF");
bind $address
$port
unixsocket $self->{dir}/redis.sock
unixsocketperm 777
dir $self->{dir}
logfile $self->{dir}/redis.log
CONF
    push @lines, <<"CONF" if $o{tls};
tls-cert-file $self->{dir}/server.pem
tls-key-file $self->{dir}/server.key
tls-ca-cert-file $self->{dir}/ca.pem
tls-auth-clients no
tls-replication yes
tls-cluster yes
CONF
    push @lines, qq{requirepass "$o{password}"} if defined $o{password};
    push @lines, map { "user $_" } @{$o{users} // []};
    push @lines, $o{sentinel} ? $self->_sentinel_lines(%o) : $self->_server_lines(%o);
    return join "\n", @lines, $o{config} // '', '';
}

sub _server_lines {
    my ($self, %o) = @_;
    my @lines = ('save ""', 'repl-diskless-sync yes', 'repl-diskless-sync-delay 0', 'repl-ping-replica-period 1');
    push @lines, qq{masterauth "$o{password}"} if defined $o{password};
    push @lines, 'replicaof 127.0.0.1 ' . $o{replica_of}->port if $o{replica_of};
    push @lines, 'cluster-enabled yes', 'cluster-node-timeout 1000' if $o{cluster};
    return @lines;
}

sub _sentinel_lines {
    my ($self, %o) = @_;
    my ($name, $master) = @o{qw(sentinel watches)};
    my $password = $master->{options}{password};
    return (
        "sentinel monitor $name 127.0.0.1 " . $master->port . ' 1',
        "sentinel down-after-milliseconds $name 300",
        "sentinel failover-timeout $name 2000",
        defined $password ? qq{sentinel auth-pass $name "$password"} : (),
    );
}

# Those that speak with one another have the same.
sub _take_certificate {
    my ($self, $other) = @_;
    return $self->_make_certificate if !$other;
    copy("$other->{dir}/$_", "$self->{dir}/$_") or croak "$other->{dir}/$_: $!" for qw(ca.pem server.pem server.key);
    return;
}

# A CA of its own, and what it has signed.
sub _make_certificate {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $names = $self->{options}{tls} eq '1' ? 'DNS:localhost,IP:127.0.0.1' : $self->{options}{tls};
    my @key = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);
    open my $file, '>', "$dir/names" or croak "$dir/names: $!";
    print {$file} "subjectAltName=$names\n";
    close $file;
    _run('openssl', 'req', '-x509', @key, '-days', 2, '-subj', '/CN=Test CA',
        '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem");
    _run('openssl', 'req', '-new', @key, '-subj', '/CN=Test Redis',
        '-keyout', "$dir/server.key", '-out', "$dir/server.csr");
    _run('openssl', 'x509', '-req', '-in', "$dir/server.csr", '-days', 2, '-extfile', "$dir/names",
        '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-out', "$dir/server.pem");
    return;
}

# --- processes

sub _exec {
    my ($self) = @_;
    croak 'this Redis runs already' if $self->{pid};
    my $binary = _binary();
    delete $self->{held};
    my $pid = fork() // croak "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', "$self->{dir}/stdout.log";
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec {$binary} $binary, "$self->{dir}/redis.conf", $self->{sentinel} ? '--sentinel' : ()
            or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    return;
}

sub _binary {
    return $ENV{REDIS_BIN} if $ENV{REDIS_BIN};
    for my $dir (split(/:/, $ENV{PATH} // ''), '/usr/bin', '/usr/local/bin') {
        return "$dir/redis-server" if -x "$dir/redis-server";
    }
    croak 'no redis-server found; REDIS_BIN names one';
}

sub _alive_or_die {
    my ($self) = @_;
    local $?;
    croak 'this Redis is stopped' if !$self->{pid};
    return if waitpid($self->{pid}, WNOHANG) == 0;
    delete $self->{pid};
    croak "Redis did not start:\n" . _slurp("$self->{dir}/stdout.log") . $self->log;
}

# redis-cli on this server -> what it wrote; a croak where it fails.
sub _cli {
    my ($self, @words) = @_;
    my %o = %{$self->{options}};
    return _run('redis-cli', '-h', '127.0.0.1', '-p', $self->{port},
        defined $o{password} ? ('--no-auth-warning', '-a', $o{password}) : (),
        $o{tls} ? ('--tls', '--cacert', $self->ca_file) : (), @words);
}

sub _run {
    my (@command) = @_;
    my $pid = open(my $pipe, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec {$command[0]} @command or POSIX::_exit(127);
    }
    my $output = do { local $/; <$pipe> } // '';
    local $?;
    close $pipe or croak "$command[0] failed: @command\n$output";
    return $output;
}

# --- answers

sub _ask {
    my ($self, @words) = @_;
    # A connection that Redis has closed is noticed only now.
    delete $self->{client} if $self->{client} && $self->{client}->closed;
    $self->{client} //= $self->connect;
    return $self->{client}->command(@words);
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

1;
