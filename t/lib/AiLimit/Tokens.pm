package AiLimit::Tokens;

# nginx that limits LLM tokens, in front of a model server, and what it says of each request.
#
#   my $t = AiLimit::Tokens->start(policies => 'ai_limit_policy tokens key=$http_x_key rate=1t/month burst=1000;');
#   my $answer = $t->ask('/v1/chat/completions?completion_tokens=7', chat(max_tokens => 10));
#   is $answer->{log}{out}, 7;
#   is $t->left, 980;
#
# Every request is of the client that new_client() began last, by X-Key. A rate of 1t/month gives
# nothing back while a test runs.

use strict;
use warnings;

use Carp qw(croak);
use Digest::SHA;
use Exporter qw(import);
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use AiLimit::Http qw(get request start_request);
use AiLimit::ModelServer;
use AiLimit::Nginx;

our @EXPORT = qw(chat estimate usage_of);

my $json = JSON::PP->new->canonical->utf8;
my @LOGGED = qw(in out cached total reserved source);
my $LOG = 'id=$http_x_id status=$status result=$ai_limit_status policy=$ai_limit_policy model=$ai_limit_model'
    . ' stream=$ai_limit_stream in=$ai_limit_input_tokens out=$ai_limit_output_tokens'
    . ' cached=$ai_limit_cached_tokens total=$ai_limit_total_tokens reserved=$ai_limit_reserved_tokens'
    . ' source=$ai_limit_usage_source cost=$ai_limit_cost';

# Options, beside those of AiLimit::Nginx->start:
#   policies   in http{}
#   locations  in server{}; in them, http://model is the model server. Default: all of it, limited by `tokens`
#   server     in server{}, too
#   left       names of the policies that left() knows; default: tokens
sub start {
    my ($class, %o) = @_;
    my $model = AiLimit::ModelServer->start;
    my $self = bless {model => $model, client => 0, serial => 0, options => \%o}, $class;
    my %rest = map { $_ => $o{$_} } grep { !/^(?:policies|locations|server|left|http)$/ } keys %o;
    $self->{nginx} = AiLimit::Nginx->start(access_log => $LOG, %rest, http => $self->conf(%o));
    return $self->new_client;
}

sub conf {
    my ($self, %o) = @_;
    my @names = @{$o{left} // ['tokens']};
    my $left = join ' ', map { "$_=\$ai_limit_remaining_$_" } @names;
    my $locations = $o{locations} // 'location / { ai_limit tokens; proxy_pass http://model; }';
    return join '', $o{policies} // '', $o{http} // '', <<"CONF";

    upstream model { server 127.0.0.1:@{[$self->{model}->port]}; keepalive 16; }
    server {
        listen 127.0.0.1:%%PORT_0%%;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_buffering off;
        @{[$o{server} // '']}
        location = /left { ai_limit @names; add_header X-Left "$left" always; empty_gif; }
        $locations
    }
CONF
}

sub nginx { $_[0]{nginx} }
sub model { $_[0]{model} }
sub port  { $_[0]{nginx}->port($_[1] // 0) }
sub stop  { my ($self, @how) = @_; return $self->{nginx}->stop(@how) }

# Makes the following requests those of another client, of whom nothing is known.
sub new_client {
    my ($self) = @_;
    $self->{client}++;
    return $self;
}

sub key { return "client-$_[0]{client}" }

# A whole request -> its response, which has `log`: what the access log says of it, by the names in
# $LOG. Options as for AiLimit::Http::request; POST where there is a body.
sub ask {
    my ($self, $path, $body, %o) = @_;
    my $pending = $self->begin($path, $body, %o);
    my $response = $pending->finish;
    $response->{log} = $self->logged($pending);
    return $response;
}

# The same, without waiting: AiLimit::Http::start_request(). logged() may be asked about it.
sub begin {
    my ($self, $path, $body, %o) = @_;
    my $id = ++$self->{serial};
    my @headers = ('X-Key' => $self->key, 'X-Id' => $id,
        defined $body ? ('Content-Type' => 'application/json') : (), @{delete $o{headers} // []});
    my $pending = start_request($o{port} // $self->port, path => $path, headers => \@headers,
        defined $body ? (method => 'POST', body => $body) : (), %o);
    $pending->{id} = $id;
    return $pending;
}

# A request whose answer is too large for Perl to read: {id, status, size, digest}, with the SHA-256 of the body.
sub by_curl {
    my ($self, $port, $path, $body) = @_;
    my $id = ++$self->{serial};
    my @post = defined $body ? ('-d', $body, '-H', 'Content-Type: application/json') : ();
    my $notes = "$self->{nginx}{dir}/curl.$id";
    my $pid = open(my $pipe, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>', $notes;
        exec 'curl', '-s', '--max-time', 60, '-H', 'X-Key: ' . $self->key, '-H', "X-Id: $id", @post,
            '-w', '%{stderr}%{http_code} %{size_download} %{exitcode}', "http://127.0.0.1:$port$path"
            or POSIX::_exit(127);
    }
    my $digest = Digest::SHA->new(256)->addfile($pipe)->hexdigest;
    close $pipe;
    open my $file, '<', $notes or croak "$notes: $!";
    my ($status, $size, $error) = split / /, scalar(<$file>) // '0 0 1';
    return {id => $id, status => $status, size => $size, digest => $digest, complete => !$error};
}

# Returns what the access log says of a request that begin() began; waits until it ends.
sub logged {
    my ($self, $pending) = @_;
    return $self->logged_id($pending->{id});
}

sub logged_id {
    my ($self, $id) = @_;
    my $line;
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    until (($line) = $self->{nginx}->access_log =~ /^(id=$id .*)\n/m) {
        croak "request $id is not in the access log" if time > $deadline;
        sleep 0.005;
    }
    my %log = $line =~ /(\w+)=(\S*)/g;
    return \%log;
}

# Returns what remains of a policy for this client.
sub left {
    my ($self, $policy) = @_;
    my $response = get($self->port, '/left', 'X-Key' => $self->key);
    my %left = ($response->{headers}{'x-left'} // '') =~ /(\w+)=([\d.]*)/g;
    return $left{$policy // 'tokens'} // "nothing said, status $response->{status}";
}

# The same, once it is what is expected, for what is settled after the client has gone.
sub left_at_last {
    my ($self, $expected, $policy) = @_;
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    my $left;
    while (($left = $self->left($policy)) ne $expected && time < $deadline) { sleep 0.02 }
    return $left;
}

# --- functions

# The body of an OpenAI-style chat. Options: text (default: 40 characters), and any member.
sub chat {
    my (%o) = @_;
    my $text = delete $o{text} // 'x' x 40;
    my $stream = delete $o{stream};
    $o{stream_options}{include_usage} = JSON::PP::true if delete $o{include_usage};
    return $json->encode({
        model => 'test-model', messages => [{role => 'user', content => $text}],
        $stream ? (stream => JSON::PP::true) : (), %o,
    });
}

# Returns the estimated tokens of such a chat with one message of `characters` characters (default: 40).
sub estimate {
    my ($characters) = @_;
    return int(($characters // 40) / 4) + 1 + 2;
}

# in, out, cached and total of a response's log, and where they are from, in one line.
sub usage_of {
    my ($response) = @_;
    return join ' ', map { "$_=$response->{log}{$_}" } grep { $_ ne 'reserved' } @LOGGED;
}

1;
