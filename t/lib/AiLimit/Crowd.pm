package AiLimit::Crowd;

# Many requests at once, each over a connection of its own, none of which need end:
#
#   my @sockets = map { send_request($port, "/slots?k=a&delay=600000") } 1 .. 16;
#   is statuses(13, @sockets), 'all 429';    # three are under way
#   close $_ for @sockets;

use strict;
use warnings;

use Carp qw(croak);
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;

use AiLimit::Patience qw(PATIENCE);

our @EXPORT = qw(send_request statuses);

# Returns the socket.
sub send_request {
    my ($port, $path) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or croak "connect: $!";
    syswrite $socket, "GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n";
    return $socket;
}

# Waits for this many answers, and returns "all 429", or which statuses they had.
sub statuses {
    my ($wanted, @sockets) = @_;
    my $waiting = IO::Select->new(@sockets);
    my %status;
    my $answers = 0;
    while ($answers < $wanted) {
        my @ready = $waiting->can_read(PATIENCE) or return "only $answers of $wanted answers";
        for my $socket (@ready) {
            sysread $socket, my $answer, 65536;
            $waiting->remove($socket);
            $status{$answer =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none'}++;
            $answers++;
        }
    }
    return 'all ' . join ' ', sort keys %status;
}

1;
