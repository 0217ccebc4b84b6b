package AiLimit::Patience;

# How long a test waits for what should be instant.
#
#   my $patience = AiLimit::Patience->new(20);
#   until ($condition->()) {
#       croak 'waited in vain' if $patience->is_over;
#       sleep 0.005;
#   }
#
#   wait_until(sub { $redis->info('role') eq 'master' }) or die 'no failover';
#
# It counts the time in which the test itself ran. A machine that stops for half a minute, or a wall clock that is
# set, stops what the test waits for as well, or says nothing of it: either costs no more than one step.

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(min);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

our @EXPORT_OK = qw(PATIENCE wait_until);

use constant PATIENCE     => $ENV{AI_LIMIT_PATIENCE} // 20;    # seconds, for what should be instant
use constant LONGEST_STEP => 0.5;                              # seconds between two looks at it that count

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

# Waits for a condition, for PATIENCE seconds if no others are given. Returns true if it came to hold.
sub wait_until {
    my ($condition, $seconds) = @_;
    my $patience = AiLimit::Patience->new($seconds // PATIENCE);
    while (!$condition->()) {
        return 0 if $patience->is_over;
        sleep 0.01;
    }
    return 1;
}

1;
