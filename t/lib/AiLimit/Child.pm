package AiLimit::Child;

# The base class of the servers that a test runs in a process of their own. Its objects are hashes with
#
#   pid      of the process
#   owner    the pid of the test that started it
#
# The process ends with the object, but not with the copy of it that a fork of the test has.

use strict;
use warnings;

sub pid { $_[0]{pid} }

# Kills the process. Returns when it is gone.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    local ($?, $!);
    kill 'KILL', $pid;
    waitpid $pid, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    $self->stop if $self->{owner} == $$;
    return;
}

1;
