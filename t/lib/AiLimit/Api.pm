package AiLimit::Api;

# Asks the API of an nginx (ai_limit_api), under a path of its own.
#
#   my $api = AiLimit::Api->new($nginx->port, '/ai_limit/');
#   $api->policy('user')->{requests}{passed};

use strict;
use warnings;

use JSON::PP ();
use Test::More ();

use AiLimit::Http;

sub new {
    my ($class, $port, $path) = @_;
    return bless { port => $port, path => $path // '/ai_limit/' }, $class;
}

# Returns the contents of /status.
sub status {
    my ($self) = @_;
    my $answer = get($self->{port}, "$self->{path}status", Connection => 'close');
    return JSON::PP->new->utf8->decode($answer->{body}) if $answer->{status} == 200;
    die "/status: $answer->{status}\n";
}

# Return the status of one policy, or of one zone.
sub policy { my ($self, $name) = @_; return _named($self->status->{policies}, $name) }
sub zone   { my ($self, $name) = @_; return _named($self->status->{zones}, $name) }

# Requests of a policy as [passed, rejected, rejected on a dry run].
sub requests {
    my ($self, $name) = @_;
    return [@{$self->policy($name)->{requests}}{qw(passed rejected rejected_dry_run)}];
}

# {key as shown => count} of the keys of a policy that stand out by `measure`.
sub top {
    my ($self, $name, $measure) = @_;
    return { map { $_->{key} => $_->{count} } @{$self->policy($name)->{top_keys}{$measure}} };
}

# {name{labels} => value}.
sub metrics {
    my ($self) = @_;
    my $answer = get($self->{port}, "$self->{path}metrics", Connection => 'close');
    return { map { /^([^#].*) (\S+)$/ ? ($1 => $2) : () } split /\n/, $answer->{body} };
}

# Asks for a key: (status, what its JSON says).
sub key {
    my ($self, $method, $query, @headers) = @_;
    my $answer = request($self->{port}, method => $method, path => "$self->{path}keys?$query",
        headers => ['Connection' => 'close', @headers]);
    my $said = eval { JSON::PP->new->utf8->decode($answer->{body}) };
    Test::More::diag("$method $query: no JSON: $answer->{body}") if !$said;
    return ($answer->{status}, $said);
}

sub _named {
    my ($all, $name) = @_;
    my ($one) = grep { $_->{name} eq $name } @$all;
    return $one;
}

1;
