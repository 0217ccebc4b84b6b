package AiLimit::TurnsUnderFire;

# A crowd of clients that wait for turns while workers are killed and the configuration is loaded again.
#
#   AiLimit::TurnsUnderFire->new(kills => 6, clients => 200, reloads => 2)->run;
#
# Each client asks again as soon as it has an answer, or its connection was closed. run() is the test.
#
# On a busy machine all timers of nginx are late, so others tell how late they are: the read timeouts of requests to a
# server that does not answer.

use strict;
use warnings;

use IO::Poll qw(POLLIN POLLHUP POLLERR);
use IO::Socket::INET;
use List::Util qw(max);
use Socket qw(AF_INET SOCK_STREAM inet_aton pack_sockaddr_in);
use Test::More;
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);

use AiLimit::Api;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);

use constant {
    WORKERS => 3,
    WAIT    => 3,      # seconds
    BURST   => 5,
    SLACK   => 0.1,    # seconds beyond the wait, by nginx's clock, if its other timers are not late
    TIMERS  => 30,     # requests that time out, at a time
    TIMEOUT => 0.5,    # seconds
    DELAY   => 4,      # seconds more until this process has the answer
    PAUSE   => 0.25,   # seconds between two kills or reloads, at least
};

sub new {
    my ($class, %options) = @_;
    my $self = bless {%options, open => {}, status => {}, closed => 0, longest => 0, waited => 0, late => 0, silent => []}, $class;
    # Each waits for about two seconds.
    my $rate = $self->{rate} = $options{clients} / 2;
    $self->{nginx} = AiLimit::Nginx->start(workers => WORKERS, log_level => 'warn',
        main => 'worker_rlimit_nofile 16384;', http => sprintf <<'CONF',
    ai_limit_policy turns key=all rate=%dr/s burst=%d wait=%ds queue=%d;
    ai_limit_log_level info;
    add_header X-Wait $ai_limit_wait_time always;
    add_header X-Time $request_time always;
    server {
        listen 127.0.0.1:%%%%PORT_0%%%% backlog=8192;
        location / { ai_limit turns; empty_gif; }
        location /timer { proxy_pass http://127.0.0.1:%%%%PORT_1%%%%; proxy_read_timeout %s; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
        $rate, BURST, WAIT, 2 * $options{clients}, 1000 * TIMEOUT . 'ms');
    $self->{server} = IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1', LocalPort => $self->{nginx}->port(1), Blocking => 0)
        or die "listen: $!";
    # The master logs each of them.
    $self->{nginx}{killed} = 1;
    $self->{api} = AiLimit::Api->new($self->{nginx}->port);
    $self->{poll} = IO::Poll->new;
    return $self;
}

sub run {
    my ($self) = @_;
    my $began = now();
    $self->_begin('/') for 1 .. $self->{clients};
    $self->_begin('/timer') for 1 .. TIMERS;
    $self->_look_for(1);
    my @acts = (('kill') x $self->{kills}, ('reload') x $self->{reloads});
    while (@acts) {
        my $act = splice @acts, rand @acts, 1;
        $act eq 'kill' ? $self->_kill : $self->{nginx}->signal('HUP');
        $self->_look_for(PAUSE);
    }
    $self->{is_over} = 1;
    my ($status) = $self->{api}->key(PUT => 'policy=turns&key=all&rate=1r/h&ttl=1h');
    is $status, 200, 'at last nobody passes any more, so that all who wait do so for as long as they may';
    my $end = now() + WAIT + 5;
    $self->_look_for(0.1) while %{$self->{open}} && now() < $end;
    $self->_check(now() - $began);
    $self->{nginx}->stop;
    done_testing;
    return;
}

sub _check {
    my ($self, $took) = @_;
    my ($passed, $refused) = map { $self->{status}{$_} // 0 } 200, 429;
    note "$passed passed, $refused were refused, $self->{closed} were closed, the longest waited $self->{waited} s and took $self->{longest} s; other timers were up to $self->{late} s late";
    is_deeply [grep { !/^(?:200|429)$/ } keys %{$self->{status}}], [], 'clients get one of two answers';
    is scalar(keys %{$self->{open}}), 0, 'and each gets it, or its connection is closed';
    cmp_ok $passed, '>', 0, 'some pass';
    cmp_ok $passed, '<=', $self->{rate} * $took + BURST, 'not more than the limit allows';
    cmp_ok $self->{waited}, '<=', WAIT + SLACK + 2 * $self->{late}, 'nobody waits for longer than wait= says';
    cmp_ok $self->{longest}, '<=', WAIT + DELAY, 'nor does any client, whatever becomes of its worker';
    my $rest = sub { $self->{api}->policy('turns')->{waits}{now} };
    ok wait_until(sub { $rest->() == 0 }), 'nobody waits at the end' or is $rest->(), 0;
    is $self->{api}->metrics->{'ai_limit_waiting{policy="turns"}'}, 0, 'and the metrics say so';
    return;
}

sub _kill {
    my ($self) = @_;
    my @workers = $self->{nginx}->workers;
    kill 'KILL', $workers[rand @workers];
    return;
}

sub _begin {
    my ($self, $path) = @_;
    socket my $socket, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
    connect $socket, pack_sockaddr_in($self->{nginx}->port, inet_aton('127.0.0.1')) or return $self->{lost}++;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, "GET $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    $self->{open}{fileno $socket} = {socket => $socket, path => $path, begun => now(), text => ''};
    $self->{poll}->mask($socket => POLLIN);
    return;
}

# Serves the clients for some seconds.
sub _look_for {
    my ($self, $seconds) = @_;
    my $end = now() + $seconds;
    while ((my $left = $end - now()) > 0) {
        my $began = now();
        $self->{poll}->poll($left);
        # While this process itself stood still, nobody could see an answer.
        my $lag = now() - $began - $left;
        while (my $silent = $self->{server}->accept) { push @{$self->{silent}}, [now(), $silent] }
        shift @{$self->{silent}} while @{$self->{silent}} && $self->{silent}[0][0] < now() - 4 * TIMEOUT;
        $self->_read($_) for $self->{poll}->handles(POLLIN | POLLHUP | POLLERR);
        if ($lag > 0.2) { $_->{begun} += $lag for values %{$self->{open}} }
        last if $self->{is_over} && !%{$self->{open}};
    }
    return;
}

sub _read {
    my ($self, $socket) = @_;
    my $client = $self->{open}{fileno $socket};
    return if sysread $socket, $client->{text}, 4096, length $client->{text};
    my $took = now() - $client->{begun};
    my ($waited, $time) = map { $client->{text} =~ /^$_: ([\d.]+)/m ? $1 : 0 } 'X-Wait', 'X-Time';
    if ($client->{path} eq '/timer')             { $self->{late} = max($self->{late}, $time - TIMEOUT) }
    elsif ($client->{text} =~ m{^HTTP/1.1 (\d+)}) { $self->{status}{$1}++ }
    else                                       { $self->{closed}++ }
    $self->{longest} = max($self->{longest}, $took);
    $self->{waited} = max($self->{waited}, $waited);
    $self->{poll}->remove($socket);
    delete $self->{open}{fileno $socket};
    close $socket;
    $self->_begin($client->{path}) if !$self->{is_over};
    return;
}

sub now { return clock_gettime(CLOCK_MONOTONIC) }

1;
