package AiLimit::RedisClient;

# One connection to a Redis, for tests. It never hangs: what has not come in time
# is a croak.
#
#   my $client = AiLimit::RedisClient->new($port);       or a Unix socket's path
#   $client->command('GET', 'a')                         the reply, an error too
#   $client->write("PING\r\n"); $client->read            piece by piece

use strict;
use warnings;

use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

use AiLimit::Resp qw(resp_command resp_take);

use constant DEADLINE => $ENV{AI_LIMIT_PATIENCE} // 20;

sub new {
    my ($class, $where) = @_;
    my $socket = $where =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $where)
        : IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $where);
    return bless {socket => $socket // croak("connect $where: $!"), in => ''}, $class;
}

sub command {
    my ($self, @words) = @_;
    $self->write(resp_command(@words));
    return $self->read;
}

sub write {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $sent = syswrite $self->{socket}, $bytes;
        croak "write: $!" if !defined $sent;
        substr($bytes, 0, $sent) = '';
    }
    return;
}

# The next reply, an AiLimit::Resp::Error where it is one.
sub read {
    my ($self, $seconds) = @_;
    my $deadline = time + ($seconds // DEADLINE);
    while (1) {
        my @reply = resp_take(\$self->{in});
        return $reply[0] if @reply;
        my $left = $deadline - time;
        croak 'no reply in time' if $left <= 0 || !IO::Select->new($self->{socket})->can_read($left);
        my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
        croak defined $got ? 'closed by Redis' : "read: $!" if !$got;
    }
}

# Returns true if nothing can come any more.
sub closed {
    my ($self) = @_;
    return 0 if !IO::Select->new($self->{socket})->can_read(0);
    my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    return !$got;
}

package AiLimit::RedisMonitor;

my $marks = 0;

sub new {
    my ($class, $redis) = @_;
    my $client = $redis->connect;
    $client->command('MONITOR');
    return bless {redis => $redis, client => $client}, $class;
}

sub commands {
    my ($self) = @_;
    # MONITOR shows the commands that ran before the mark ahead of it.
    my $mark = "mark $$ " . ++$marks;
    $self->{redis}->command('ECHO', $mark);
    my @commands;
    while (1) {
        my ($from, $text) = $self->{client}->read =~ /^[0-9.]+ \[\d+ (.*?)\] (.*)$/s or next;
        my @words = map { _unescaped($_) } $text =~ /"((?:[^"\\]|\\.)*)"/g;
        return @commands if @words == 2 && $words[1] eq $mark;
        push @commands, \@words if $from ne 'lua';
    }
}

my %ESCAPES = (n => "\n", r => "\r", t => "\t", a => "\a", b => "\b");

sub _unescaped {
    my ($text) = @_;
    return $text =~ s/\\(?:x([0-9a-f]{2})|(.))/defined $1 ? chr hex $1 : $ESCAPES{$2} \/\/ $2/ger;
}

1;
