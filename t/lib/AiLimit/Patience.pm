package AiLimit::Patience;

# How long a test waits for what should be instant.
#
#   my $patience = AiLimit::Patience->new(20);
#   until ($condition->()) {
#       croak 'waited in vain' if $patience->is_over;
#       sleep 0.005;
#   }
#
# It counts the time in which the test itself ran. A machine that stops for half a minute, or a wall clock that is
# set, stops what the test waits for as well, or says nothing of it: either costs no more than one step.

use strict;
use warnings;

use List::Util qw(min);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use constant LONGEST_STEP => 0.5;    # seconds between two looks at it that count

sub new {
    my ($class, $seconds) = @_;
    return bless {left => $seconds, last => clock_gettime(CLOCK_MONOTONIC)}, $class;
}

# Returns true when the patience is over. Call it after each look at what the test waits for.
sub is_over {
    my ($self) = @_;
    my $now = clock_gettime(CLOCK_MONOTONIC);
    $self->{left} -= min($now - $self->{last}, LONGEST_STEP);
    $self->{last} = $now;
    return $self->{left} <= 0;
}

1;
