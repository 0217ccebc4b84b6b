package AiLimit::FakeRedis;

# Runs t/lib/fake_redis.pl for a test, on a port of its own: a Redis that fails
# when it is told to. It stands in front of a real one, or answers +OK by itself.
#
#   my $proxy = AiLimit::FakeRedis->start(upstream => $redis);
#   ... 'ai_limit_redis ' . $proxy->url . ';'
#   $proxy->when('EVALSHA', error => 'NOSCRIPT', times => 1);
#   $proxy->when('*', delay => 200);
#   $proxy->at_connect(error => 'MAXCLIENTS', close => 1);
#   $proxy->clear;
#   $proxy->commands('EVALSHA')               # what came: [words], ...
#
# It ends with the object. Each method is back when what it asks for is in place.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Open2 qw(open2);
use JSON::PP;
use Time::HiRes qw(sleep);

use parent 'AiLimit::Child';

use AiLimit::Patience qw(PATIENCE);

my $SCRIPT = abs_path(dirname(__FILE__) . '/../fake_redis.pl');
my $json = JSON::PP->new->ascii->allow_nonref;

# Errors that Redis answers, by their first word.
our %ERRORS = map { /^(\w+)/ ? ($1 => $_) : () } (
    'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
    'CLUSTERDOWN The cluster is down',
    'CROSSSLOT Keys in request don\'t hash to the same slot',
    'LOADING Redis is loading the dataset in memory',
    'MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.',
    'MISCONF Redis is configured to save RDB snapshots, but it\'s currently unable to persist to disk.',
    'NOAUTH Authentication required.',
    'NOPERM this user has no permissions to run the \'evalsha\' command',
    'NOREPLICAS Not enough good replicas to write.',
    'NOSCRIPT No matching script. Please use EVAL.',
    'OOM command not allowed when used memory > \'maxmemory\'.',
    'READONLY You can\'t write against a read only replica.',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    'WRONGPASS invalid username-password pair or user is disabled.',
);
$ERRORS{MAXCLIENTS} = 'ERR max number of clients reached';

# Answers that no Redis gives.
our %BAD = (
    garbage   => "\x00\xff\x16garbage\r\n",
    http      => "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    huge_list => "*1000000000\r\n",
    huge_text => "\$1000000000\r\n",
    long_line => '+' . 'x' x 160_000,
    nested    => "*1\r\n" x 5_000,
    number    => ":12x4\r\n",
    size      => "\$-7\r\n",
);

# Options: upstream, an AiLimit::Redis or a port.
sub start {
    my ($class, %options) = @_;
    my $pid = open2(my $answers, my $orders, $^X, $SCRIPT);
    $orders->autoflush(1);
    my $self = bless {pid => $pid, orders => $orders, answers => $answers, owner => $$}, $class;
    $self->upstream($options{upstream}) if defined $options{upstream};
    $self->{port} = $self->_order('port');
    return $self;
}

# One in front of each node of a cluster, which from then on sends clients there.
sub start_cluster {
    my ($class, @nodes) = @_;
    my @proxies = map { $class->start(upstream => $_) } @nodes;
    $nodes[$_]->command('CONFIG', 'SET', 'cluster-announce-port', $proxies[$_]->port) for 0 .. $#nodes;
    my %known = map { $_->port => 1 } @proxies;
    for my $node (@nodes) {
        $node->wait_for(sub {
            my @masters = map { $_->[2] } @{$node->command('CLUSTER', 'SLOTS')};
            return !grep { !$known{$_->[1]} } @masters;
        }, 'the cluster to tell of the proxies');
    }
    return @proxies;
}

sub port { $_[0]{port} }
sub pid  { $_[0]{pid} }
sub url  { my ($self, $db) = @_; return "redis://127.0.0.1:$self->{port}/" . ($db // 0) }

# Sets the real Redis that new connections lead to; undef for none.
sub upstream {
    my ($self, $to) = @_;
    return $self->_order('upstream', ref $to ? $to->port : $to);
}

# when($command, %fault): does something to every such command, or to every one at
# all where $command is '*'. Of several rules that fit, the first one counts.
#
# Which of them:
#   word        only those with this word, such as a call of the script
#   connection  only on the nth connection since the start
#   nth         only the nth that is so far right, counted from 1
#   times       only so many of them
# What they are answered:
#   error       one of %ERRORS by its name, or a text such as 'MOVED 1 127.0.0.1:7000'
#   bad         one of %BAD
#   reply       these bytes
#   silent      1: nothing
#   pass        1: with one of those, the real Redis has the command all the same
# How that is sent:
#   delay       ms; what comes behind it waits as well
#   hold        1: not before release()
#   extra       these bytes behind it: a reply too many
#   cut         only so many bytes of it, and nothing more after that
#   bytewise    1: each byte by itself
#   close       1: then the connection is closed; 'reset': by RST
sub when {
    my ($self, $command, %fault) = @_;
    return $self->_rule(at => 'command', command => $command eq '*' ? undef : $command, %fault);
}

# The same for connections, of which one can say which, and what they are sent
# before they have asked. Nothing is read from one during its delay.
sub at_connect {
    my ($self, %fault) = @_;
    return $self->_rule(at => 'connect', %fault);
}

# Ends all rules. Replies that are held or delayed stay so.
sub clear { $_[0]->_order('clear') }

# Releases all replies that are held at this time, or the first `most` on each connection.
sub release { my ($self, $most) = @_; return $self->_order('release', $most) }

# Closes what is open ('reset': by RST), and sends bytes on all that is open.
sub close_all { my ($self, $how) = @_; return $self->_order('close', $how) }
sub send_all  { my ($self, $bytes) = @_; return $self->_order('send', $bytes) }

# New connections: refused (the port is closed), unanswered by the kernel, or
# welcome again. Those that are open stay so.
sub refuse  { $_[0]->_order('refuse') }
sub stall   { $_[0]->_order('stall') }
sub welcome { $_[0]->_order('open') }

# Returns the commands that have come so far, or since forget(): {connection => n, words => [...]}, ...
sub log    { @{$_[0]->_order('log')} }
sub forget { $_[0]->_order('forget') }

# The words of each, or of each of that name.
sub commands {
    my ($self, $name) = @_;
    return grep { !defined $name || uc $_->[0] eq uc $name } map { $_->{words} } $self->log;
}

# count() returns how many commands of that name have come, with that word if it is given; the other waits for so many.
sub count { my ($self, $name, $word) = @_; return $self->_order('count', $name, $word) }

sub wait_for_commands {
    my ($self, $name, $count, $word) = @_;
    my $patience = AiLimit::Patience->new(PATIENCE);
    while ((my $found = $self->count($name, $word)) < $count) {
        croak "waited in vain for $count of $name, had $found" if $patience->is_over;
        sleep 0.005;
    }
    return;
}

# Return how many connections there have been, and how many are open.
sub accepted { $_[0]->_order('counts')->{accepted} }
sub open     { $_[0]->_order('counts')->{open} }

sub _rule {
    my ($self, %rule) = @_;
    my ($error, $bad) = delete @rule{qw(error bad)};
    croak "no such bad answer: $bad" if defined $bad && !$BAD{$bad};
    $rule{reply} = '-' . ($ERRORS{$error} // $error) . "\r\n" if defined $error;
    $rule{reply} = $BAD{$bad} if defined $bad;
    return $self->_order('rule', \%rule);
}

sub _order {
    my ($self, @order) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print {$self->{orders}} $json->encode(\@order), "\n";
    return $json->decode(readline($self->{answers}) // croak 'the fake Redis has ended');
}

1;
