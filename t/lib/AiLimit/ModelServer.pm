package AiLimit::ModelServer;

# Runs t/lib/model_server.pl for a test, on a port of its own.
#
#   my $model = AiLimit::ModelServer->start;
#   ... "proxy_pass http://127.0.0.1:" . $model->port
#
# It ends with the object.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use POSIX ();

use parent 'AiLimit::Child';

use AiLimit::Http;

my $SCRIPT = abs_path(dirname(__FILE__) . '/../model_server.pl');

sub start {
    my ($class) = @_;
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        exec {$^X} $^X, $SCRIPT, 0 or POSIX::_exit(127);
    }
    my ($port) = (readline($out) // '') =~ /^ready on port (\d+)/ or croak 'the model server does not start';
    return bless {pid => $pid, port => $port, out => $out, owner => $$}, $class;
}

sub port { $_[0]{port} }

# Counts the requests that have come, without this one.
sub seen {
    my ($self) = @_;
    return get($self->{port}, '/count')->{body} =~ /(\d+)/ ? $1 : croak 'the model server does not count';
}

# Lets so many requests of before=NAME or gate=NAME go on, that wait or will come.
sub open_gate {
    my ($self, $name, $times) = @_;
    get($self->{port}, "/next?gate=$name") for 1 .. $times // 1;
    return;
}

1;
