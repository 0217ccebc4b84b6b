package AiLimit::Slots;

# Streams that occupy the slots of a concurrency= until the test aborts them. The nginx proxies /v1/ to a model server,
# limits it by the key $arg_k, and has a policy with that key.
#
#   my $slots = AiLimit::Slots->new($nginx);
#   my $stream = $slots->take('a');    # see start_request() of AiLimit::Http
#   is $slots->try('a'), 429;
#   $stream->abort;
#   is $slots->wait_for('a'), 200;

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Patience qw(PATIENCE wait_until);

sub new {
    my ($class, $nginx) = @_;
    return bless {nginx => $nginx}, $class;
}

# Returns the status of a request that ends at once.
sub try {
    my ($self, $key) = @_;
    return get($self->{nginx}->port, "/v1/models?k=$key", Connection => 'close')->{status};
}

# Starts a stream that sends nothing for a minute. Returns it when its head is there, whatever its status.
sub start {
    my ($self, $key) = @_;
    my $stream = start_request($self->{nginx}->port, method => 'POST', body => '{"stream":true}', deadline => 120,
        path => "/v1/chat/completions?chunk_delay=60000&k=$key");
    $stream->head;
    return $stream;
}

# Starts a stream once there is a slot: the last request's slot is given back just after its answer.
sub take {
    my ($self, $key) = @_;
    my $stream;
    wait_until(sub { ($stream = $self->start($key))->head == 200 });
    return $stream;
}

# Waits until there is a slot. Returns the status of the last request that was tried.
sub wait_for {
    my ($self, $key) = @_;
    my $status = 0;
    wait_until(sub { ($status = $self->try($key)) == 200 });
    return $status;
}

1;
