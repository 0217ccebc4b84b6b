package Bench;

# Shared by the benchmarks: the programs they need, an nginx that lives in a folder of its own, the
# load generators, callgrind, and the text of the configurations that are compared.
#
# Environment: AI_LIMIT_MODULE (path of the module), NGINX_BIN (the nginx to run), CXX.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(
    ai_limit_config limit_req_config nginx_path work_folder compile run_load run_streams
    own_processes free_port start_nginx stop_nginx callgrind callgrind_control
    instructions instructions_without_allocator processors two_processors processor_time median
    table_row verdict run_redis_calls
);

my $root = abs_path(dirname(__FILE__) . '/../..');
my %running;    # pid => 1; every process started here and not yet reaped

$SIG{INT} = $SIG{TERM} = sub { exit 130 };

# Only the process that started something ends it; a fork that starts processes calls this first.
my $owner = $$;
sub own_processes { $owner = $$; %running = () }

END {
    if ($$ == $owner) {
        local $?;
        stop_pid($_) for keys %running;
    }
}

# ---- programs and folders

sub module_path {
    my $path = $ENV{AI_LIMIT_MODULE} || "$root/build/ngx_http_ai_limit_module.so";
    -f $path or die "$path is missing: build the module first (make), or use --only-reference\n";
    return abs_path($path);
}

# Distributions keep nginx where only root's PATH leads.
sub nginx_path {
    my @found = grep { -x } map {"$_/nginx"} split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
    return $ENV{NGINX_BIN} || $found[0] || die "no nginx found; NGINX_BIN names one\n";
}

# A folder that is removed at the end of the process that made it.
sub work_folder {
    make_path("$root/build/bench");
    return tempdir('run.XXXXXX', DIR => "$root/build/bench", CLEANUP => 1);
}

# Boost.JSON needs these flags beside those that all programs have.
my %more_flags = (usage_bench => [qw(-fexceptions -frtti)]);

my %libraries = (redis_calls => ['-lhiredis'], share_simulator => [qw(-lcrypto -lhiredis -llua5.1)]);

# Sources beside those of src/'s parts.
my %more_sources = (
    share_simulator => [
        (sort map { glob "src/redis/$_/*.cpp" } qw(protocol script)),
        (map {"t/unit/redis_model/$_.cpp"} qw(redis_model lua_message_pack)),
    ],
    reserve_simulator => [],
    price_bench => [sort glob 'src/prices/*.cpp'],
);

# Compiles bench/NAME.cpp, with the named parts of src/, unless the program is newer than all it may
# be made of. Returns the program's path.
sub compile {
    my ($name, @parts) = @_;
    my $program = "$root/build/bench/$name";
    my @sources = (
        "$root/bench/$name.cpp",
        (sort map { glob "$root/src/$_/*.cpp $root/src/$_/*/*.cpp" } @parts),
        map {"$root/$_"} @{ $more_sources{$name} || [] },
    );
    my @headers = map { glob "$root/$_/*.h $root/$_/*.lua" } 'bench', (map { ("src/$_", "src/$_/*") } @parts),
        $more_sources{$name} ? ('src/redis/*', 't/unit', 't/unit/redis_model') : ();
    return $program if -x $program && !grep { -M $_ < -M $program } @sources, @headers;

    make_path("$root/build/bench");
    my @flags = (qw(-std=c++17 -O2 -fno-exceptions -fno-rtti -Wall -Wextra), @{ $more_flags{$name} || [] });
    system("$root/src/redis/script/join.sh", "$root/build/generated") == 0 or die "the script for Redis cannot be made\n";
    my @command = ($ENV{CXX} || 'g++', @flags, "-I$root/src", "-I$root/t/unit", "-I$root/build/generated", @sources, '-o', $program,
        @{ $libraries{$name} || [] });
    system(@command) == 0 or die "@command failed\n";
    return $program;
}

# ---- configurations: { main, http, location, path, handler }; `= /` and empty_gif unless told

# COUNT policies on one key. Nothing is ever refused: only passing costs the same every time.
# `policy` replaces the rate, `key` the key, `headers` what ai_limit_headers says; `more` is added
# to the location.
sub ai_limit_config {
    my ($count, %option) = @_;
    my $key     = $option{key}     || '$http_x_api_key';
    my $policy  = $option{policy}  || 'rate=1000000r/s';
    my $headers = $option{headers} || 'off';
    my $zone    = $option{zone}    || '64m';
    my $more    = $option{more}    || '';
    my @names   = map {"p$_"} 1 .. $count;
    return {
        main => 'load_module ' . module_path() . ';',
        http => join("\n    ",
            "ai_limit_zone zone=bench:$zone;",
            map {"ai_limit_policy $_ key=$key $policy;"} @names),
        location => 'ai_limit ' . (@names ? "@names" : 'off') . "; ai_limit_headers $headers; $more",
    };
}

sub limit_req_config {
    my ($count, %option) = @_;
    my $zone = $option{zone} || '64m';
    my @names = map {"r$_"} 1 .. $count;
    return {
        http => join("\n    ",
            map {"limit_req_zone \$http_x_api_key zone=$_:$zone rate=1000000r/s;"} @names),
        location => join(' ', map {"limit_req zone=$_ burst=1000000 nodelay;"} @names),
    };
}

# ---- nginx

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0)
        or die "no free port: $!\n";
    return $socket->sockport;
}

sub write_config {
    my ($folder, $port, $config, $workers) = @_;
    my $user   = $> == 0 ? 'user root root;' : '';
    my $master = $workers ? 'on'             : 'off';
    my ($main, $http, $location) = map { $config->{$_} // '' } qw(main http location);
    my $path    = $config->{path}    // '/';
    my $handler = $config->{handler} // 'empty_gif;';
    open my $file, '>', "$folder/nginx.conf" or die "$folder/nginx.conf: $!\n";
    print $file <<"END";
$main
$user
daemon off;
master_process $master;
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    $http
    server {
        listen 127.0.0.1:$port;
        location = $path { $location $handler }
    }
}
END
    close $file;
}

# Starts an nginx in $folder and waits until it listens. Options: `wrapper`, a command to run it
# under; `worker`, to have a master and one worker instead of a single process.
# Returns { pid, worker_pid, port, folder }.
sub start_nginx {
    my ($folder, $config, %option) = @_;
    make_path($folder);
    my $port = free_port();
    write_config($folder, $port, $config, $option{worker});

    my @command = (@{ $option{wrapper} || [] },
        nginx_path(), '-p', $folder, '-e', "$folder/error.log", '-c', "$folder/nginx.conf");
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', "$folder/output.log";
        open STDERR, '>>', "$folder/output.log";
        exec @command or POSIX::_exit(127);
    }
    $running{$pid} = 1;
    my $nginx = { pid => $pid, port => $port, folder => $folder };
    wait_until_listening($nginx);
    $nginx->{worker_pid} = $option{worker} ? child_of($pid) : $pid;
    return $nginx;
}

sub wait_until_listening {
    my ($nginx) = @_;
    my $end = time + 60;
    while (time < $end) {
        return if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->{port});
        if (waitpid($nginx->{pid}, WNOHANG) == $nginx->{pid}) {
            delete $running{ $nginx->{pid} };
            die "nginx did not start:\n" . logs($nginx);
        }
        sleep 0.02;
    }
    die "nginx does not listen:\n" . logs($nginx);
}

sub logs {
    my ($nginx) = @_;
    my $text = '';
    for my $name (qw(output.log error.log)) {
        open my $file, '<', "$nginx->{folder}/$name" or next;
        local $/;
        $text .= <$file> // '';
    }
    return $text;
}

sub child_of {
    my ($parent) = @_;
    for (1 .. 200) {
        for my $path (glob '/proc/[0-9]*/stat') {
            open my $file, '<', $path or next;
            my $line = <$file> // next;
            return $1 if $line =~ /^(\d+) \(.*\) \S $parent /;
        }
        sleep 0.02;
    }
    die "process $parent has no worker\n";
}

# Ends it, and fails when it had something to say: a benchmark of errors is none.
sub stop_nginx {
    my ($nginx) = @_;
    stop_pid($nginx->{pid});
    open my $file, '<', "$nginx->{folder}/error.log" or return;
    my @lines = <$file>;
    die "nginx logged:\n@lines[0 .. ($#lines < 9 ? $#lines : 9)]" if @lines;
}

sub stop_pid {
    my ($pid) = @_;
    delete $running{$pid} or return;
    kill 'TERM', $pid;
    for (1 .. 500) {
        return if waitpid($pid, WNOHANG) != 0;
        sleep 0.02;
    }
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

# ---- what it spends

# The wrapper under which callgrind counts what an nginx in $folder does, once it is told to.
sub callgrind {
    my ($folder) = @_;
    return [
        qw(valgrind --tool=callgrind --instr-atstart=no),
        "--callgrind-out-file=$folder/callgrind", "--vgdb-prefix=$folder/vgdb",
    ];
}

sub callgrind_control {
    my ($nginx, @command) = @_;
    my $call = "vgdb --vgdb-prefix=$nginx->{folder}/vgdb --pid=$nginx->{pid} @command";
    my $output = `$call 2>&1`;
    $? == 0 or die "$call: $output(callgrind is controlled through ptrace: is it allowed here?)\n";
}

# Leaves out the instructions of malloc and free, which say nothing of the limiter: on the same
# requests they differ by more than a limiter costs, depending on what the heap looks like once the
# configuration is read.
sub instructions_without_allocator { return (instructions(@_))[0] }

# Returns the instructions without the allocator's, and the allocator's.
sub instructions {
    my ($file) = @_;
    my ($total, $allocator) = (0, 0);
    for (`callgrind_annotate --auto=no --threshold=100 $file`) {
        my ($count, $what) = /^\s*([\d,]+) \([ \d.]+%\)\s+(.*)/ or next;
        $count =~ tr/,//d;
        $total = $count if $what =~ /PROGRAM TOTALS/;
        $allocator += $count
            if $what =~ /\b(?:_int_malloc|_int_free|_int_memalign|_mid_memalign|malloc|free|posix_memalign
                |unlink_chunk\S*|malloc_consolidate|alloc_perturb|free_perturb|sysmalloc)\s*\[/x;
    }
    $total or die "callgrind wrote no totals\n";
    return ($total - $allocator, $allocator);
}

# Two processors that this process may use; none where there is only one.
sub two_processors {
    my @all = processors();
    return @all >= 2 ? @all[0, 1] : ();
}

# All processors that this process may use.
sub processors {
    open my $file, '<', '/proc/self/status' or return;
    my ($list) = map { /^Cpus_allowed_list:\s*(\S+)/ ? $1 : () } <$file>;
    return map { /(\d+)-(\d+)/ ? $1 .. $2 : $_ } split /,/, $list // '';
}

# Processor time of a process so far, in seconds, user and system.
sub processor_time {
    my ($pid) = @_;
    if (open my $file, '<', "/proc/$pid/schedstat") {
        my ($nanoseconds) = split ' ', <$file>;
        return $nanoseconds * 1e-9 if $nanoseconds;
    }
    open my $file, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!\n";
    my @field = split ' ', <$file> =~ s/.*\) //sr;
    return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# ---- load

# Runs the load generator, in front of which @$wrapper is put; every answer has to be 200.
# Returns { requests, seconds }, with --latency also { p50, p90, p99 } in microseconds.
sub run_load {
    my $result = run_against('load', @_);
    ($result->{status_200} // 0) == $result->{requests} or die "not everything passed\n";
    return $result;
}

# Runs the model server with its clients; every answer has to be whole.
# Returns { streams, bytes, seconds }.
sub run_streams { return run_against('stream', @_) }

# Calls a Redis one by one, over a connection of its own. Returns { calls, seconds, p50, p90 }.
sub run_redis_calls {
    my ($port, $wrapper, @arguments) = @_;
    return run_program('redis_calls', $port, $wrapper, @arguments) // die "redis_calls failed\n";
}

# Runs the program against an nginx and returns the figures that it prints.
sub run_against {
    my ($name, $nginx, $wrapper, @arguments) = @_;
    return run_program($name, $nginx->{port}, $wrapper, @arguments)
        // die "$name failed\n" . logs($nginx);
}

# Undefined where it failed.
sub run_program {
    my ($name, $port, $wrapper, @arguments) = @_;
    my @command = (@$wrapper, compile($name), '--port', $port, @arguments);
    open my $pipe, '-|', @command or die "$command[0]: $!\n";
    my $line = <$pipe> // '';
    close $pipe or return;
    return { $line =~ /(\w+)=([\d.]+)/g };
}

# ---- results

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return @sorted ? ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2 : undef;
}

# One row of a Markdown table; what is undefined stays empty.
sub table_row { return '| ' . join(' | ', map { $_ // '' } @_) . " |\n" }

sub verdict { return $_[0] ? 'yes' : '**no**' }

1;
