package AiLimit::Machine;

# A copy of this machine for a test that installs packages and starts services: the same files, on which
# what is written stays in memory, processes of its own, and a network that nobody else is on.
#
#   my $machine = AiLimit::Machine->start // plan skip_all => 'there can be none here';
#   my ($status, $output) = $machine->run('dpkg -i /root/x.deb');
#
# Nothing of it is left when it ends, or when the test does.

use strict;
use warnings;

use Carp qw(croak);
use POSIX ();
use Time::HiRes qw(sleep time);

use AiLimit::Patience qw(PATIENCE);

# Its first process waits for the end of its input, which is the end of the test. invoke-rc.d starts
# services where there is a runlevel, and no policy that forbids it.
my $BEGIN = <<'SH';
    set -e
    mount --make-rprivate /
    mount -t tmpfs -o size=1g tmpfs /mnt
    mkdir /mnt/changes /mnt/work /mnt/root
    mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/changes,workdir=/mnt/work /mnt/root
    cd /mnt/root
    mount -t proc proc proc
    mount --rbind /dev dev
    for folder in run tmp; do mount -t tmpfs tmpfs $folder; done
    mkdir -p run/lock
    ip link set lo up
    rm -f usr/sbin/policy-rc.d sbin/runlevel
    printf '#!/bin/sh\necho N 2\n' >sbin/runlevel
    chmod +x sbin/runlevel
    exec chroot . perl -e '$SIG{CHLD} = "IGNORE"; $| = 1; print "ready\n"; 1 while <STDIN>'
SH

# Returns nothing if this machine does not allow it (to root, to have namespaces and an overlay).
sub start {
    my ($class) = @_;
    return if $> != 0;
    my $self = bless {owner => $$}, $class;
    pipe my $input, $self->{input} or croak "pipe: $!";
    my $pid = open($self->{output}, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDIN, '<&', $input;
        close $self->{input};
        open STDERR, '>', '/dev/null';
        exec qw(unshare --mount --pid --net --ipc --uts --fork --kill-child sh -c), $BEGIN or POSIX::_exit(127);
    }
    close $input;
    $self->{pid} = $pid;
    return if (readline($self->{output}) // '') ne "ready\n";
    ($self->{first}) = slurp("/proc/$pid/task/$pid/children") =~ /^(\d+)/;
    return $self;
}

# (exit status, what it wrote to either output) of a command of the shell.
sub run {
    my ($self, $command) = @_;
    my $pid = open(my $output, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec $self->_inside($command) or POSIX::_exit(127);
    }
    my $said = do { local $/; readline $output } // '';
    close $output;
    return ($? >> 8 || $?, $said);
}

# The same, for a command that shall succeed: its output.
sub must {
    my ($self, $command) = @_;
    my ($status, $output) = $self->run($command);
    croak "$command: $status\n$output" if $status;
    return $output;
}

# Starts a command that goes on meanwhile; its output is to be read.
sub start_command {
    my ($self, $command) = @_;
    open(my $output, '-|', $self->_inside($command)) or croak "fork: $!";
    return $output;
}

sub write_file {
    my ($self, $path, $text) = @_;
    open my $pipe, '|-', $self->_inside("cat >'$path'") or croak "fork: $!";
    print {$pipe} $text;
    close $pipe or croak "$path is not written";
    return;
}

# Copies a file of the real machine into a folder.
sub bring {
    my ($self, $path, $folder) = @_;
    my ($parent, $name) = $path =~ m{(.*)/([^/]+)$};
    system("tar -c -C '$parent' '$name' | " . join ' ', map { "'$_'" }
        $self->_inside("mkdir -p $folder && tar -x -C $folder")) == 0 or croak "$path cannot be copied";
    return;
}

# Waits until a command succeeds; whether it has.
sub wait_for {
    my ($self, $command) = @_;
    my $deadline = time + PATIENCE;
    while (($self->run($command))[0]) {
        return 0 if time > $deadline;
        sleep 0.05;
    }
    return 1;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

sub _inside {
    my ($self, $command) = @_;
    return ('nsenter', "--target=$self->{first}", qw(--mount --pid --net --ipc --uts --root --wd env -i),
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8',
        'DEBIAN_FRONTEND=noninteractive', 'sh', '-c', $command);
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$ || !$self->{pid};
    local ($?, $!);
    close $self->{input};
    close $self->{output};    # waits for its end
    return;
}

1;
