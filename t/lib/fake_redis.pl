#!/usr/bin/perl

# A Redis with faults, for tests: answers by itself, or passes commands on to a real
# one, and does to any of them what it is told to. AiLimit::FakeRedis starts it and
# says what it can do.
#
# It is told by lines of JSON on its standard input, answers each by one on its
# standard output, and ends where the input does.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER SO_REUSEADDR TCP_NODELAY);
use Time::HiRes qw(time);

use AiLimit::Resp qw(resp_take);

$SIG{PIPE} = 'IGNORE';
binmode $_ for \*STDIN, \*STDOUT;
$| = 1;

my $json = JSON::PP->new->ascii->allow_nonref;
my %own_answers = (PING => "+PONG\r\n");    # where nothing else is said: +OK

my ($upstream, @rules, @log);
my ($listener, $keeper, $port, @fillers, %filler_ports);
my ($accepted, %connections) = (0);
my $now = time;    # the same for all of a turn, so that none falls between two looks at the clock

my %orders = (
    rule => sub {
        push @rules, {%{$_[0]}, seen => 0};
        return;
    },
    clear    => sub { @rules = (); return },
    upstream => sub { $upstream = $_[0]; return },
    log      => sub { return \@log },
    count    => sub { my @is = @_; return scalar grep { fits($_->{words}, @is) } @log },
    forget   => sub { @log = (); return },
    port     => sub { return $port },
    counts   => sub { return {accepted => $accepted, open => scalar keys %connections} },
    close    => sub { disconnect($_, $_[0]) for everyone(); return },
    send     => sub { push @{$_->{out}}, {at => $now, bytes => $_[0]} for everyone(); return },
    release  => \&release,
    open     => \&open_port,
    refuse   => \&refuse,
    stall    => \&stall,
);

open_port();
my $control = '';
while (1) {
    $now = time;
    step_out($_) for everyone();
    my @watched = map { ($_->{client}, $_->{server} // ()) } grep { $_->{resume} <= $now } everyone();
    my @full = map { $_->{client} } grep { length $_->{buffer} } everyone();
    my $accepting = $listener && !@fillers;
    my ($readable) = IO::Select->select(
        IO::Select->new(\*STDIN, $accepting ? $listener : (), @watched), IO::Select->new(@full), undef, next_due());
    my %ready = map { fileno $_ => 1 } @{$readable // []};
    for my $connection (everyone()) {
        from_server($connection) if $connection->{server} && $ready{fileno $connection->{server}};
        from_client($connection) if !$connection->{gone} && $ready{fileno $connection->{client}};
    }
    take_connection() if $accepting && $ready{fileno $listener};
    # Last, so that an order finds done what came before it.
    take_orders() if $ready{fileno STDIN};
}

# --- orders

sub take_orders {
    sysread STDIN, $control, 65536, length $control or exit 0;
    while ($control =~ s/^(.*)\n//) {
        my ($order, @arguments) = @{$json->decode($1)};
        print $json->encode(scalar $orders{$order}->(@arguments)), "\n";
    }
    return;
}

sub open_port {
    if (@fillers) {
        listen $listener, 128;
        close $_ for splice @fillers;
    }
    undef $keeper;
    # Below the ports that the kernel gives to outgoing connections. Its own port may have connections that end;
    # another one must be free.
    for (1 .. 1000) {
        last if $listener;
        $listener = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', ReuseAddr => defined $port,
            LocalPort => $port // 15_000 + int rand 17_000);
    }
    # Accepted sockets must inherit this option, or the port could not be opened again beside them.
    setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
    $port = $listener->sockport;
    return;
}

# A socket that is bound and does not listen keeps the closed port, so that no other test can take it.
sub refuse {
    return if !$listener;
    close $listener;
    undef $listener;
    $keeper = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp', ReuseAddr => 1);
    return;
}

# The kernel completes no connection to a port whose queue is full.
sub stall {
    listen $listener, 0;
    push @fillers, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Blocking => 0) for 1 .. 2;
    $filler_ports{$_->sockport} = 1 for @fillers;
    return;
}

sub release {
    my ($most) = @_;
    for my $connection (everyone()) {
        my @held = grep { $_->{held} } @{$connection->{queue}};
        splice @held, $most if defined $most && $most < @held;
        delete $_->{held} for @held;
    }
    return;
}

# --- connections

sub take_connection {
    my $client = $listener->accept // return;
    return if delete $filler_ports{$client->peerport // 0};
    my $number = ++$accepted;
    $client->blocking(0);
    setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
    my $connection = $connections{fileno $client} = {
        client => $client,
        number => $number,
        in     => '',     # from the client, not taken apart yet
        back   => '',     # from the real Redis, the same
        queue  => [],     # commands without their replies, in their order
        out    => [],     # what to send, and when
        buffer => '',     # what the client has yet to take
        resume => 0,      # nothing is read from it before
    };
    if (defined $upstream) {
        $connection->{server} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $upstream)
            or return disconnect($connection);
    }
    my $fault = fault_for($connection, 'connect') or return;
    $connection->{resume} = $now + ($fault->{delay} // 0) / 1000;
    push @{$connection->{out}}, sending($fault, $fault->{reply} // '');
    return;
}

# A list that stays while connections go.
sub everyone {
    my @all = values %connections;
    return @all;
}

sub disconnect {
    my ($connection, $how) = @_;
    return if $connection->{gone}++;
    delete $connections{fileno $connection->{client}};
    setsockopt $connection->{client}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if ($how // '') eq 'reset';
    close $_ for grep { $_ } @$connection{qw(client server)};
    return;
}

sub from_client {
    my ($connection) = @_;
    my $got = sysread $connection->{client}, $connection->{in}, 65536, length $connection->{in};
    return if !defined $got && $!{EAGAIN};
    return disconnect($connection) if !$got;
    while (1) {
        my ($words, $bytes) = eval { resp_take(\$connection->{in}) };
        return disconnect($connection) if $@ || (defined $bytes && ref $words ne 'ARRAY');
        last if !defined $bytes;
        take_command($connection, $words, $bytes);
    }
    step_queue($connection);
    return;
}

sub take_command {
    my ($connection, $words, $bytes) = @_;
    push @log, {connection => $connection->{number}, words => $words};
    my $fault = fault_for($connection, 'command', $words) // {};
    my $entry = {fault => $fault, held => $fault->{hold}};
    my $replaced = defined $fault->{reply} || $fault->{silent};
    if ($connection->{server} && (!$replaced || $fault->{pass})) {
        $entry->{passed} = 1;
        syswrite $connection->{server}, $bytes;
    } else {
        $entry->{reply} = $own_answers{uc $words->[0]} // "+OK\r\n";
    }
    push @{$connection->{queue}}, $entry;
    return;
}

sub from_server {
    my ($connection) = @_;
    my $got = sysread $connection->{server}, $connection->{back}, 65536, length $connection->{back};
    if (!$got) {
        delete $connection->{server};
        push @{$connection->{out}}, {at => $now, bytes => '', close => 1};
        return;
    }
    while (1) {
        my (undef, $bytes) = resp_take(\$connection->{back});
        last if !defined $bytes;
        my ($entry) = grep { $_->{passed} && !defined $_->{reply} } @{$connection->{queue}};
        # A reply that nobody has asked for goes on as it is.
        $entry //= push(@{$connection->{queue}}, {fault => {}}) && $connection->{queue}[-1];
        $entry->{reply} = $bytes;
    }
    step_queue($connection);
    return;
}

# --- rules

# Returns the fault of the first rule that applies to this.
sub fault_for {
    my ($connection, $event, $words) = @_;
    for my $rule (@rules) {
        next if $rule->{at} ne $event;
        next if $words && !fits($words, @$rule{qw(command word)});
        next if defined $rule->{connection} && $rule->{connection} != $connection->{number};
        my $seen = ++$rule->{seen};
        next if defined $rule->{nth} && $rule->{nth} != $seen;
        next if defined $rule->{times} && $rule->{times} < $seen;
        return $rule;
    }
    return;
}

# Returns true if a command has this name and this word; undef fits all.
sub fits {
    my ($words, $name, $word) = @_;
    return 0 if defined $name && uc $name ne uc $words->[0];
    return !defined $word || grep { $_ eq $word } @$words;
}

sub sending {
    my ($fault, $reply) = @_;
    my $bytes = $fault->{silent} ? '' : $fault->{reply} // $reply;
    $bytes .= $fault->{extra} // '';
    $bytes = substr $bytes, 0, $fault->{cut} if defined $fault->{cut};
    return {
        at    => $now + ($fault->{delay} // 0) / 1000,
        bytes => $bytes,
        slow  => $fault->{bytewise},
        close => $fault->{close},
        mute  => defined $fault->{cut},
    };
}

# --- replies

# Replies leave in the order of their commands.
sub step_queue {
    my ($connection) = @_;
    my $queue = $connection->{queue};
    while (@$queue && defined $queue->[0]{reply} && !$queue->[0]{held}) {
        my $entry = shift @$queue;
        push @{$connection->{out}}, sending($entry->{fault}, $entry->{reply});
    }
    return;
}

sub step_out {
    my ($connection) = @_;
    step_queue($connection);
    my $out = $connection->{out};
    while (@$out && $out->[0]{at} <= $now && !$connection->{ending}) {
        my $next = $out->[0];
        my $bytes = substr $next->{bytes}, 0, $next->{slow} ? 1 : length $next->{bytes}, '';
        $connection->{buffer} .= $bytes if !$connection->{mute};
        $next->{at} = $now + 0.001;
        next if length $next->{bytes};
        $connection->{ending} = $next->{close};
        $connection->{mute} ||= $next->{mute};
        shift @$out;
    }
    if (length $connection->{buffer}) {
        my $sent = syswrite $connection->{client}, $connection->{buffer};
        return disconnect($connection) if !defined $sent && !$!{EAGAIN};
        substr($connection->{buffer}, 0, $sent // 0) = '';
    }
    disconnect($connection, $connection->{ending}) if $connection->{ending} && !length $connection->{buffer};
    return;
}

# Seconds until there is something to do; none where only others can cause it.
sub next_due {
    my @times = map { ((map { $_->{at} } @{$_->{out}}), $_->{resume}) } everyone();
    my ($first) = sort { $a <=> $b } grep { $_ > $now } @times;
    return defined $first ? $first - $now : undef;
}
