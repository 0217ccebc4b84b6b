package AiLimit::Load;

# A client in a process of its own, which sends until end().
#
#   my $load = AiLimit::Load->start($nginx->port, path => '/limited?k=a');
#   ...
#   my $sent = $load->end;
#   is $sent->{failed}, 0;
#
# It ends with the object, too.

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

use AiLimit::Http;

# Options as for many(), in rounds of so many requests: 1 if not said, each over a connection of its own. And
#   pause   seconds between rounds
sub start {
    my ($class, $port, %o) = @_;
    my $pause = delete $o{pause};
    my $requests = $o{requests} //= 1;
    pipe(my $until, my $end) or croak "pipe: $!";
    my $parent = $$;
    my $pid = open(my $result, '-|') // croak "fork: $!";
    return bless {pid => $pid, owner => $$, result => $result, end => $end}, $class if $pid;

    $| = 1;
    close $end;
    my $told = IO::Select->new($until);
    my %sum = (sent => 0, failed => 0, longest => 0, status => {});
    while (!$told->can_read($pause // 0) && getppid == $parent) {
        my $all = many($port, %o);
        $sum{sent} += $requests;
        $sum{failed} += $all->{failed};
        $sum{status}{$_} += $all->{status}{$_} for keys %{$all->{status}};
        $sum{longest} = $all->{seconds} if $all->{seconds} > $sum{longest};
        print "begun\n" if $sum{sent} == $requests;
    }
    print encode_json(\%sum), "\n";
    POSIX::_exit(0);
}

# Back when the first round is answered.
sub wait_until_begun {
    my ($self) = @_;
    $self->{begun}++ or readline $self->{result};
    return $self;
}

# Back when all that it has sent is answered. What became of it:
#   sent      how many requests
#   passed    answered by 200
#   refused   answered by 429
#   failed    anything else: those without a complete answer, and other statuses
#   status    {200 => n, ...}
#   longest   seconds that the longest round took
sub end {
    my ($self) = @_;
    $self->wait_until_begun;
    syswrite $self->{end}, 'x';
    my %sum = %{decode_json(readline($self->{result}) // croak 'the load has ended by itself')};
    $self->_kill;
    @sum{qw(passed refused)} = map { $_ // 0 } @{$sum{status}}{200, 429};
    $sum{failed} = $sum{sent} - $sum{passed} - $sum{refused};
    return \%sum;
}

sub _kill {
    my ($self) = @_;
    kill 'KILL', delete $self->{pid} // return;
    local ($?, $!);
    close $self->{result};
    return;
}

sub DESTROY {
    my ($self) = @_;
    $self->_kill if $self->{owner} == $$;
    return;
}

1;
