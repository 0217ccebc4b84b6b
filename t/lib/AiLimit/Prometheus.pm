package AiLimit::Prometheus;

# Runs a Prometheus of a test's own.
#
#   my $prometheus = AiLimit::Prometheus->start($config) // plan skip_all => 'there is none';
#   my $samples = $prometheus->query('up');    # [[{label => value}, value], ...]

use strict;
use warnings;

use Carp qw(croak);
use File::Temp ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use parent 'AiLimit::Child';

use AiLimit::Http;
use AiLimit::Patience qw(PATIENCE);

# Returns the paths of the two programs that Debian's package installs, or nothing if one is missing.
sub programs {
    my @found;
    for my $name (qw(prometheus promtool)) {
        my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH} // '';
        push @found, $path // return;
    }
    return @found;
}

# `config` is a path; `port` is free.
sub start {
    my ($class, $config, $port) = @_;
    my ($program) = programs() or return;
    my $self = bless {dir => File::Temp->newdir, port => $port, owner => $$}, $class;
    $self->{pid} = fork() // croak "fork: $!";
    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;
        exec {$program} $program, "--config.file=$config", "--storage.tsdb.path=$self->{dir}/data",
            "--web.listen-address=127.0.0.1:$port" or POSIX::_exit(127);
    }
    $self->wait_for(sub { get($port, '/-/ready', Connection => 'close')->{status} == 200 })
        or croak "Prometheus does not start: " . qx(tail -n 5 '$self->{dir}/log');
    return $self;
}

# Returns the present result of a PromQL expression as [[labels, value], ...]; dies if it does not parse.
sub query {
    my ($self, $promql) = @_;
    my $escaped = $promql =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
    my $answer = get($self->{port}, "/api/v1/query?query=$escaped", Connection => 'close');
    my $said = JSON::PP->new->utf8->decode($answer->{body});
    croak "$promql: $said->{error}" if $said->{status} ne 'success';
    return [map { [$_->{metric}, $_->{value}[1]] } @{$said->{data}{result}}];
}

# Waits for a condition. Returns true if it comes to hold.
sub wait_for {
    my ($self, $is_so) = @_;
    my $deadline = time + PATIENCE;
    until ($is_so->()) {
        return 0 if time > $deadline || waitpid($self->{pid}, POSIX::WNOHANG()) > 0;
        sleep 0.1;
    }
    return 1;
}

1;
