package AiLimit::Dns;

# A DNS server of a test's own, over UDP, that gives the answers that it is configured to give.
#
#   my $dns = AiLimit::Dns->start(names => {'redis.example' => ['127.0.0.1']});
#   ... 'resolver ' . $dns->address . ' ipv6=off;'
#   $dns->set('redis.example' => ['127.0.0.2']);
#   $dns->set('redis.example' => undef);      # there is no such name
#   $dns->silence;                            # no answers, until speak()
#   $dns->queries('redis.example');           # how often that was asked for
#
# It ends with the object.

use strict;
use warnings;

use Carp qw(croak);
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Socket qw(AF_INET AF_INET6 inet_pton);

use parent 'AiLimit::Child';

use constant {TYPE_A => 1, TYPE_AAAA => 28, CLASS_IN => 1, NXDOMAIN => 3};

# Options:
#   names  {name => [addresses], ...}
#   ttl    of answers in seconds; 1 if not said
sub start {
    my ($class, %options) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') or croak "a UDP port: $!";
    my $self = bless {
        dir   => File::Temp::tempdir('ai_limit_dns_XXXXXX', TMPDIR => 1),
        port  => $socket->sockport,
        owner => $$,
        state => {silent => 0, ttl => $options{ttl} // 1, names => $options{names} // {}},
    }, $class;
    $self->_write_state;
    my $pid = fork() // croak "fork: $!";
    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        $self->_serve($socket) while 1;
    }
    $self->{pid} = $pid;
    return $self;
}

sub port    { $_[0]{port} }
sub address { "127.0.0.1:$_[0]{port}" }

# Changes names from the next query on.
sub set {
    my ($self, %names) = @_;
    $self->{state}{names} = {%{$self->{state}{names}}, %names};
    return $self->_write_state;
}

sub silence { my ($self) = @_; $self->{state}{silent} = 1; return $self->_write_state; }
sub speak   { my ($self) = @_; $self->{state}{silent} = 0; return $self->_write_state; }

# Counts the queries for an address of IPv4, including those that got no answer.
sub queries {
    my ($self, $name) = @_;
    return scalar grep { $_ eq "$name " . TYPE_A } split /\n/, _slurp("$self->{dir}/queries");
}

sub DESTROY {
    my ($self) = @_;
    $self->SUPER::DESTROY;
    remove_tree($self->{dir}) if $self->{owner} == $$;
    return;
}

# --- the server

sub _serve {
    my ($self, $socket) = @_;
    my $peer = $socket->recv(my $query, 512) // POSIX::_exit(1);
    my ($id, $flags, $questions) = unpack 'nnn', $query;
    return if length $query < 17 || $questions != 1;
    my ($name, $type, $question) = _question(substr $query, 12);
    open my $log, '>>', "$self->{dir}/queries" or POSIX::_exit(1);
    print {$log} "$name $type\n";
    close $log;
    my $state = decode_json(_slurp("$self->{dir}/state"));
    return if $state->{silent};
    my $addresses = $state->{names}{$name};
    my @records = map { _record($_, $type, $state->{ttl}) } @{$addresses // []};
    my $answer = 0x8180 | ($addresses ? 0 : NXDOMAIN);
    $socket->send(pack('n6', $id, $answer, 1, scalar @records, 0, 0) . $question . join('', @records), 0, $peer);
    return;
}

# (the name, the type that is asked for, both in bytes)
sub _question {
    my ($bytes) = @_;
    my ($at, @labels) = (0);
    while (my $size = ord substr $bytes, $at, 1) {
        push @labels, substr $bytes, $at + 1, $size;
        $at += 1 + $size;
    }
    return (lc join('.', @labels), unpack('n', substr $bytes, $at + 1), substr $bytes, 0, $at + 5);
}

# An answer for the name that stands in the question; nothing where the address is of the other type.
sub _record {
    my ($address, $type, $ttl) = @_;
    my $is_6 = $address =~ /:/;
    return if $type != ($is_6 ? TYPE_AAAA : TYPE_A);
    return pack 'n n n N n/a', 0xc00c, $type, CLASS_IN, $ttl, inet_pton($is_6 ? AF_INET6 : AF_INET, $address);
}

# Replaces the file by renaming, so that the server never reads a part.
sub _write_state {
    my ($self) = @_;
    my $path = "$self->{dir}/state";
    open my $file, '>', "$path.new" or croak "$path.new: $!";
    print {$file} encode_json($self->{state});
    close $file or croak "$path.new: $!";
    rename "$path.new", $path or croak "$path: $!";
    return;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

1;
