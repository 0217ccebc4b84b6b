package AiLimit::Nginx;

# Runs an nginx of a test's own: its own folder, ports and processes.
#
#   my $nginx = AiLimit::Nginx->start(http => <<'CONF');
#       server {
#           listen 127.0.0.1:%%PORT_0%%;
#           location / { return 200 "hello\n"; }
#       }
#   CONF
#   get($nginx->port, '/');
#   $nginx->stop;
#
# In every text that it is given, %%PORT_n%% stands for a free port, always the
# same for the same n, and %%DIR%% for the folder.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(sleep);

use AiLimit::Patience qw(PATIENCE);

# Lines that no test may leave in the error log.
my $TROUBLE = qr/\[(?:alert|emerg)\]|AddressSanitizer|runtime error:|LeakSanitizer/;

# A test that is told to end takes its nginx with it: exit runs destructors.
$SIG{$_} //= sub { exit 1 } for qw(INT TERM HUP PIPE);

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

# A test that keeps one in a global variable would destroy it when half of Perl is gone.
my %live;
END { $_ && $_->DESTROY for values %live }

# Options, all optional:
#   http     text inside http{}
#   main     text outside of any block
#   events   text inside events{}
#   files    {name => text}, written into the folder
#   workers  worker_processes; 1 if not said
#   connections  worker_connections; 4096 if not said
#   access_log  1, or a log_format's text, for %%DIR%%/access.log
#   log_level   of error_log; info if not said
#   expect_trouble  1, or a regex of the alerts that stop() forgives
#   user     of the workers where the test is root; root if not said
#   module   0: do not load the module
#   config   the whole nginx.conf in place of main, events and http
#   env      {name => value} for nginx's environment
sub start {
    my ($class, %options) = @_;
    my $self = $class->prepare(%options);
    $self->_launch;
    return $self;
}

# Prepares what start() would start, for test_config() or launch() later.
sub prepare {
    my ($class, %options) = @_;
    my $dir = File::Temp::tempdir('ai_limit_XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    my $self = bless {
        dir     => $dir,
        ports   => {},
        held    => {},
        owner   => $$,
        options => {workers => 1, log_level => 'info', %options},
    }, $class;
    $live{$dir} = $self;
    weaken($live{$dir});
    mkdir "$dir/logs";
    $self->write_file($_, $options{files}{$_}) for sort keys %{$options{files} // {}};
    $self->write_config(%options);
    return $self;
}

sub launch { my ($self) = @_; return $self->_launch; }

sub dir        { $_[0]{dir} }
sub master_pid { $_[0]{pid} }
sub binary     { _binary() }
sub error_log  { _slurp("$_[0]{dir}/error.log") }
sub access_log { _slurp("$_[0]{dir}/access.log") }

# The number that %%PORT_n%% stands for.
sub port {
    my ($self, $n) = @_;
    $n //= 0;
    $self->{ports}{$n} //= $self->_free_port($n);
    return $self->{ports}{$n};
}

sub write_file {
    my ($self, $name, $text) = @_;
    open my $file, '>', "$self->{dir}/$name" or croak "$self->{dir}/$name: $!";
    print {$file} $self->_expand($text);
    close $file or croak "$self->{dir}/$name: $!";
    return "$self->{dir}/$name";
}

# Puts another configuration in place, for reload(); what is not named stays.
sub write_config {
    my ($self, %changes) = @_;
    $self->{options} = {%{$self->{options}}, %changes};
    return $self->write_file('nginx.conf', $self->_config(%{$self->{options}}));
}

# nginx -t: (exit code, its output). With options, of that configuration, in
# which case the one in place stays in place.
sub test_config {
    my ($self, %changes) = @_;
    return $self->_test_file('nginx.conf') if !%changes;
    $self->write_file('test.conf', $self->_config(%{$self->{options}}, %changes));
    return $self->_test_file('test.conf');
}

# The same without an object: my ($code, $output) = AiLimit::Nginx->check(http => ...)
sub check {
    my ($class, %options) = @_;
    return $class->prepare(%options)->test_config;
}

# HUP. Back when a new generation of workers answers and no new connection can
# reach an old one any more. Options as for write_config().
sub reload {
    my ($self, %changes) = @_;
    $self->write_config(%changes) if %changes;
    my %old = map { $_ => 1 } $self->workers;
    my $seen = length $self->error_log;
    kill 'HUP', $self->{pid};
    $self->_wait_for(sub {
        my $news = substr $self->error_log, $seen;
        croak "reload failed:\n$news" if $news =~ /\[emerg\]/;
        # Old ones that still serve someone live on, but listen no more.
        my @serving = $self->serving_workers;
        return @serving == $self->_workers_wanted && !grep { $old{$_} } @serving;
    }, 'a reload');
    $self->_wait_for_ports;
    return;
}

# Process ids of the workers that live, old generations too.
sub workers {
    my ($self) = @_;
    return grep { _command($_) =~ /^(?:nginx|angie): worker process/ } _children($self->{pid});
}

# The same without those that only finish what they have begun. Angie adds the number of the configuration.
sub serving_workers {
    my ($self) = @_;
    return grep { _command($_) =~ /^(?:nginx|angie): worker process(?: #\d+)?\z/ } _children($self->{pid});
}

# Kills one worker as the kernel would; back when another has taken its place.
sub kill_worker {
    my ($self, $worker) = @_;
    my $count = $self->_workers_wanted;    # those of an old generation may be about to end
    $self->{killed} = 1;
    kill 'KILL', $worker;
    $self->_wait_for(sub {
        my @now = $self->workers;
        return @now >= $count && !grep { $_ == $worker } @now;
    }, 'a new worker');
    return;
}

# Waits until the error log matches (again, after `seen` characters).
sub wait_for_log {
    my ($self, $regex, $seen) = @_;
    $self->_wait_for(sub { substr($self->error_log, $seen // 0) =~ $regex }, "the log to say $regex");
    return;
}

sub signal { my ($self, $name) = @_; return kill $name, $self->{pid}; }

# Ends nginx (QUIT with graceful => 1, else TERM) and fails the test if the error log holds an alert or a sanitizer's
# report. Returns when all its processes are gone.
sub stop {
    my ($self, %how) = @_;
    return if !$self->{pid};
    my @all = ($self->{pid}, _children($self->{pid}));
    kill(($how{graceful} ? 'QUIT' : 'TERM'), $self->{pid});
    my $ended = $self->_reap($how{patience} // PATIENCE);
    if (!$ended) {
        kill 'KILL', @all, _children($self->{pid});
        $self->_reap(PATIENCE);
        Test::More::fail('nginx ends when told to');
    }
    delete $self->{pid};
    $self->_check_log;
    return $ended;
}

# Kills all of its processes at once, as a machine that goes down. Back when they are gone; launch()
# starts it again.
sub kill_all {
    my ($self) = @_;
    my @workers = $self->workers;
    kill 'KILL', $self->{pid}, @workers;
    $self->_reap(PATIENCE);
    $self->_wait_for(sub { !grep { kill 0, $_ } @workers }, 'the workers to be gone');
    delete $self->{pid};
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

sub _binary {
    return $ENV{NGINX_BIN} if $ENV{NGINX_BIN};
    for my $dir (split(/:/, $ENV{PATH} // ''), '/usr/sbin', '/usr/local/sbin') {
        return "$dir/nginx" if -x "$dir/nginx";
    }
    croak 'no nginx found; NGINX_BIN names one';
}

# The module's path, or nothing for an nginx that has it built in or for a
# harness that is tried without it.
sub module_path {
    my $path = $ENV{AI_LIMIT_MODULE} // "$ROOT/build/ngx_http_ai_limit_module.so";
    return -e $path ? abs_path($path) : undef;
}

# (major, minor, patch) as one comparable number: 1022001 for 1.22.1. Angie's -v leaves out nginx's version.
sub version_number {
    my $binary = _binary();
    my ($major, $minor, $patch) = `$binary -V 2>&1` =~ m{nginx/(\d+)\.(\d+)\.(\d+)};
    return $major * 1_000_000 + $minor * 1000 + $patch;
}

sub _config {
    my ($self, %o) = @_;
    return $o{config} if defined $o{config};
    my ($user, $load) = ($> == 0 ? 'user ' . ($o{user} // 'root') . ';' : '', '');
    my $module = module_path();
    $load = "load_module $module;" if $module && ($o{module} // 1);
    my $access = _access_log($o{access_log});
    my ($main, $events, $http) = map { $o{$_} // '' } qw(main events http);
    return <<"CONF";
$load
$user
daemon off;
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log $o{log_level};
worker_processes $o{workers};
$main
events {
    worker_connections @{[$o{connections} // 4096]};
    $events
}
http {
    $access
    client_body_temp_path %%DIR%%/body;
    proxy_temp_path %%DIR%%/proxy;
    fastcgi_temp_path %%DIR%%/fastcgi;
    uwsgi_temp_path %%DIR%%/uwsgi;
    scgi_temp_path %%DIR%%/scgi;
    keepalive_requests 1000000;
    $http
}
CONF
}

sub _access_log {
    my ($wanted) = @_;
    return 'access_log off;' if !$wanted;
    return 'access_log %%DIR%%/access.log;' if $wanted eq '1';
    $wanted =~ s/'/\\'/g;
    return "log_format test '$wanted'; access_log %%DIR%%/access.log test;";
}

sub _expand {
    my ($self, $text) = @_;
    $text =~ s/%%PORT_(\d+)%%/$self->port($1)/ge;
    $text =~ s/%%DIR%%/$self->{dir}/g;
    return $text;
}

# Returns a free port below those that the kernel gives to outgoing connections. A socket keeps it from other tests
# until nginx is about to bind.
sub _free_port {
    my ($self, $n) = @_;
    for (1 .. 1000) {
        my $socket = IO::Socket::INET->new(
            Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 15_000 + int rand 17_000
        ) or next;
        $self->{held}{$n} = $socket;
        return $socket->sockport;
    }
    croak "no free port: $!";
}

# Lets go of %%PORT_n%%, for a server other than nginx that shall have it.
sub release_port {
    my ($self, $n) = @_;
    my $port = $self->port($n);
    delete $self->{held}{$n};
    return $port;
}

sub _launch {
    my ($self) = @_;
    $self->{listens} = $self->_listening_ports;
    $self->{held} = {};
    my $pid = fork() // croak "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', "$self->{dir}/stdout.log";
        open STDERR, '>', "$self->{dir}/stderr.log";
        open STDIN, '<', '/dev/null';
        my $env = $self->{options}{env} // {};
        @ENV{keys %$env} = values %$env;
        for my $sanitizer (qw(ASAN_OPTIONS UBSAN_OPTIONS)) {
            $ENV{$sanitizer} .= ":log_path=$self->{dir}/sanitizer" if $ENV{$sanitizer};
        }
        my @log = ('-e', "$self->{dir}/error.log");
        exec _binary(), '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf", @log
            or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    $self->_wait_for(sub {
        $self->_alive_or_die;
        return $self->serving_workers == $self->_workers_wanted;
    }, 'nginx to start');
    $self->_wait_for_ports;
    return $self;
}

sub _workers_wanted {
    my ($self) = @_;
    my ($count) = _slurp("$self->{dir}/nginx.conf") =~ /^\s*worker_processes\s+(\d+)/m;
    return $count // 1;
}

# The placeholders that nginx listens on, by the text of the configuration.
sub _listening_ports {
    my ($self) = @_;
    my $config = _slurp("$self->{dir}/nginx.conf");
    my %listens = map { $_ => 1 } $config =~ /^[^#\n]*\blisten\s+(?:127\.0\.0\.1:)?(\d+)\b(?![^;]*\b(?:udp|quic)\b)/mg;
    return [grep { $listens{$_} } map { $self->{ports}{$_} } sort keys %{$self->{ports}}];
}

sub _wait_for_ports {
    my ($self) = @_;
    for my $port (@{$self->{listens}}) {
        $self->_wait_for(sub {
            $self->_alive_or_die;
            return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5);
        }, "port $port to accept");
    }
    return;
}

sub _alive_or_die {
    my ($self) = @_;
    return if waitpid($self->{pid}, WNOHANG) == 0;
    delete $self->{pid};
    my $words = _slurp("$self->{dir}/stderr.log") . $self->error_log;
    croak "nginx did not start:\n$words";
}

sub _reap {
    my ($self, $patience) = @_;
    my $left = AiLimit::Patience->new($patience);
    while (waitpid($self->{pid}, WNOHANG) == 0) {
        return 0 if $left->is_over;
        sleep 0.005;
    }
    $self->{exit_status} = $?;
    return 1;
}

sub _check_log {
    my ($self) = @_;
    my $forgiven = $self->{options}{expect_trouble} // '';
    return if $forgiven eq '1';
    my @reports = map { _slurp($_) } glob "$self->{dir}/sanitizer.*";
    if (@reports) {
        Test::More::fail('the sanitizers find nothing');
        Test::More::diag(@reports);
    }
    my @bad = grep { $_ =~ $TROUBLE } split /\n/, $self->error_log . _slurp("$self->{dir}/stderr.log");
    @bad = grep { $_ !~ $forgiven } @bad if $forgiven ne '';
    # nginx moves pointers into a header that it copies into a larger buffer by their distance.
    @bad = grep { !m{^src/http/ngx_http_request\.c:\S+ runtime error: pointer index expression} } @bad;
    # The master logs these lines after a kill_worker().
    @bad = grep { !/worker process \d+ exited on signal 9|was locked by/ } @bad if $self->{killed};
    return if !@bad;
    Test::More::fail('nginx logs no alert');
    Test::More::diag(join "\n", @bad[0 .. ($#bad < 20 ? $#bad : 20)]);
    return;
}

sub _test_file {
    my ($self, $name) = @_;
    my @command = (_binary(), '-t', '-p', $self->{dir}, '-c', "$self->{dir}/$name");
    my $pid = open(my $pipe, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        # nginx -t leaves its memory to the end of the process.
        $ENV{ASAN_OPTIONS} .= ':detect_leaks=0' if $ENV{ASAN_OPTIONS};
        exec {$command[0]} @command or POSIX::_exit(127);
    }
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    my $code = $? >> 8 || $? & 127;
    return ($code, $output);
}

sub _wait_for {
    my ($self, $condition, $what) = @_;
    my $patience = AiLimit::Patience->new(PATIENCE);
    while (!$condition->()) {
        croak "waited in vain for $what\n" . $self->error_log if $patience->is_over;
        sleep 0.005;
    }
    return;
}

sub _children {
    my ($pid) = @_;
    return if !$pid;
    my $list = "/proc/$pid/task/$pid/children";
    return split ' ', _slurp($list) if -e $list;
    # A kernel without that file.
    return grep { _slurp("/proc/$_/stat") =~ /\) \S $pid / } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

sub _command {
    my ($pid) = @_;
    my $line = _slurp("/proc/$pid/cmdline");
    $line =~ s/\0.*//s;
    return $line;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

1;
