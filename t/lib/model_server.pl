#!/usr/bin/perl

# A model server for tests and for trying things out: answers as the APIs of many
# providers do, streams too, from one process and with hundreds of answers under
# way. Perl's core modules only (and the command brotli, where its coding is asked
# for).
#
#   perl model_server.pl [PORT [ADDRESS]]     port 0: any; prints "ready on port N"
#
# OpenAI      /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses, /v1/models
# Azure       /openai/deployments/NAME/chat/completions
# Anthropic   /v1/messages
# Gemini      /v1beta/models/NAME:generateContent, :streamGenerateContent
# Cohere      /v2/chat
# Ollama      /api/chat, /api/generate
# Bedrock     /model/NAME/converse, /converse-stream, /invoke, /invoke-with-response-stream
# TGI         /generate, /generate_stream
#
# /raw       answers with the request's body
# /bytes     answers with size=N bytes, always the same
# /echo      answers with {method, uri, headers, body} of the request
# /last      the same of the last request
# /count     how many requests have been seen so far; none of /count, /last, /account and /next is seen
# /account   {passed, refused} of the account=NAME
# /next      opens the gate=NAME once
#
# What a request can wish for, as an argument or as a header X-Model-NAME:
#   delay=MS         before the answer
#   before=NAME      before the answer, waits for a request /next?gate=NAME
#   account=NAME     it is asked by this account, which has limits (ModelServer::Account): rpm=N, tpm=N, form=NAME,
#                    down=STATUS, retry_after=TEXT, tells=NAME:VALUE
#   status=CODE      an error, if not 200
#   type=TYPE        content type of /raw and /bytes
# what the model says and says it used
#   chunks=N         pieces of a stream (default 5)
#   text=TEXT        what it says
#   size=N           a stream of chat completions of at least N bytes
#   prompt_tokens=N  all of the input, cached_tokens=N and written_tokens=N (into a cache) included
#   completion_tokens=N  all of the output, reasoning_tokens=N included
#   obeys=N          output of N tokens, or as many as the request's limit of output allows if that is lower
#   usage=0          leaves usage out; usage=always tells it at the end of each stream of chat completions,
#                    usage=last in the last piece that has a choice
#   tool=NAME        calls this tool after its text, if the request offers tools and does not end with the result
#                    of one; arguments=JSON for it, tool_pieces=N (default 3) of them in a stream
#   trap=1           texts, tool arguments and other objects hold what looks like usage
#   bad=KIND         an answer that nobody can read (ModelServer::Bad)
# of single APIs
#   answers=NAME     chat completions and others: the model that the answer names
#   tier=NAME        chat completions: the service tier that it names
#   cost=DOLLARS     chat completions, not streamed: what it says that it cost
#   obfuscation=1    chat completions: OpenAI's padding
#   nulls=0          chat completions: no "usage":null in a stream that ends with usage
#   beside=WORD      chat completions: timings, error or citations beside the usage of a stream, or a cost in it
#   running=1        chat completions: usage so far in every piece
#   id=ID            responses: it has this one; background=1 tells no usage yet
#   end=WORD         responses: "incomplete" or "failed" in place of "completed"
#   updates=N        messages: so many events message_delta
#   alt=sse          Gemini: a stream of events; alt=proto a message of Protocol Buffers
#   callback=NAME    Gemini: a script that calls it
# how it is sent
#   encoding=NAME    gzip, deflate, raw-deflate or br; gzip=1 is the first of them
#   claims=NAME      says so, and sends the body as it is
#   sse=FORM,...     other forms of the same events (ModelServer::Sse)
#   split=N          N bytes of the body per piece
#   trailers=1       a trailer behind the body
#   chunk_delay=MS   between pieces
#   gate=NAME        waits between pieces for a request /next?gate=NAME
#   cut=N            closes the connection after N pieces of a stream, or, where
#                    nothing is streamed, in the middle of the body
#   cut_at=N         the same after N bytes of the body
#   hold_at=N        sends nothing more after N bytes of the body

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use ModelServer::Account;
use ModelServer::Anthropic;
use ModelServer::Bad;
use ModelServer::Bedrock;
use ModelServer::Cohere;
use ModelServer::Gemini;
use ModelServer::Ollama;
use ModelServer::OpenAI;
use ModelServer::Request qw(plain wanted_error);
use ModelServer::Steps qw(steps);
use ModelServer::TextGeneration;

# The most of an answer that is made before it is sent, in bytes.
use constant AHEAD => 1_048_576;

my $port = $ARGV[0] // 8081;
my $address = $ARGV[1] // '127.0.0.1';
my $listener = IO::Socket::INET->new(
    Listen => 1024, LocalAddr => $address, LocalPort => $port, ReuseAddr => 1, Blocking => 0
) or die "model server: cannot listen on $address:$port: $!\n";

my %connections;    # by file number
my @timers;         # [when, connection], the soonest first
my %gates;          # by name: {opened => how often, waiting => [connections]}
my $count = 0;
my $last = {};

my %routes = (
    '/v1/chat/completions' => \&ModelServer::OpenAI::chat,
    '/v1/completions'      => \&ModelServer::OpenAI::completions,
    '/v1/embeddings'       => \&ModelServer::OpenAI::embeddings,
    '/v1/responses'        => \&ModelServer::OpenAI::responses,
    '/v1/models'           => \&ModelServer::OpenAI::models,
    '/v1/messages'         => \&ModelServer::Anthropic::messages,
    '/v2/chat'             => \&ModelServer::Cohere::chat,
    '/api/chat'            => \&ModelServer::Ollama::chat,
    '/api/generate'        => \&ModelServer::Ollama::generate,
    '/generate'            => \&ModelServer::TextGeneration::generate,
    '/generate_stream'     => \&ModelServer::TextGeneration::stream,
    '/raw'                 => \&raw,
    '/bytes'               => \&bytes,
    '/echo'                => sub { wanted_error($_[0]) // told($_[0], $_[0]) },
    '/last'                => sub { told($_[0], $last) },
    '/count'               => sub { plain($_[0], {count => $count}) },
    '/account'             => sub { plain($_[0], ModelServer::Account::counts($_[0])) },
    '/next'                => \&open_gate,
);
my %is_aside = map { $_ => 1 } qw(/last /count /account /next);

# Those that have a name in their path.
my @patterns = (
    [qr{^/openai/deployments/[^/]+/chat/completions$}, \&ModelServer::OpenAI::chat],
    [qr{^/v1/responses/[^/]+$},                        \&ModelServer::OpenAI::stored_response],
    [qr{/models/[^/]+:generateContent$},               \&ModelServer::Gemini::generate],
    [qr{/models/[^/]+:streamGenerateContent$},         \&ModelServer::Gemini::stream],
    [qr{^/model/.+/converse$},                         \&ModelServer::Bedrock::converse],
    [qr{^/model/.+/converse-stream$},                  \&ModelServer::Bedrock::converse_stream],
    [qr{^/model/.+/invoke$},                           \&ModelServer::Bedrock::invoke],
    [qr{^/model/.+/invoke-with-response-stream$},      \&ModelServer::Bedrock::invoke_stream],
);

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$| = 1;
print 'ready on port ', $listener->sockport, "\n";
turn() while 1;

# --- the loop

sub turn {
    my ($r, $w) = ('', '');
    vec($r, fileno $listener, 1) = 1;
    for my $c (values %connections) {
        vec($r, $c->{fd}, 1) = 1;
        vec($w, $c->{fd}, 1) = 1 if length $c->{out};
    }
    my $wait = @timers ? $timers[0][0] - time : 60;
    my $ready = select $r, $w, undef, $wait > 0 ? $wait : 0;
    ring();
    return if $ready <= 0;
    for my $c (values %connections) {
        send_some($c) if vec($w, $c->{fd}, 1);
        receive($c) if vec($r, $c->{fd}, 1);
    }
    welcome() if vec($r, fileno $listener, 1);
    return;
}

sub welcome {
    while (my $socket = $listener->accept) {
        $socket->blocking(0);
        setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
        my $fd = fileno $socket;
        $connections{$fd} = {socket => $socket, fd => $fd, in => '', out => '', steps => undef};
    }
    return;
}

sub receive {
    my ($c) = @_;
    return if !$c->{socket}->opened;    # answered and closed since it was found readable
    my $got = sysread $c->{socket}, $c->{in}, 262_144, length $c->{in};
    return if !defined $got && ($!{EAGAIN} || $!{EINTR});
    return leave($c) if !$got;
    serve($c);
    return;
}

sub send_some {
    my ($c) = @_;
    return if $c->{gone} || !length $c->{out};
    my $sent = syswrite $c->{socket}, $c->{out};
    if (defined $sent) {
        substr($c->{out}, 0, $sent) = '';
    } elsif (!$!{EAGAIN} && !$!{EINTR}) {
        return leave($c);
    }
    return leave($c) if $c->{closing} && !length $c->{out};
    proceed($c) if !length $c->{out};
    return;
}

sub leave {
    my ($c) = @_;
    return if $c->{gone}++;
    delete $connections{$c->{fd}};
    close $c->{socket};
    @timers = grep { $_->[1] != $c } @timers;
    return;
}

sub ring {
    while (@timers && $timers[0][0] <= time) {
        my $c = (shift @timers)->[1];
        $c->{waiting} = 0;
        proceed($c);
    }
    return;
}

sub sleep_for {
    my ($c, $milliseconds) = @_;
    my $when = time + $milliseconds / 1000;
    my $at = @timers;
    $at-- while $at > 0 && $timers[$at - 1][0] > $when;
    splice @timers, $at, 0, [$when, $c];
    $c->{waiting} = 1;
    return;
}

# Waits until the gate was opened once more than connections have come through.
sub wait_at_gate {
    my ($c, $name) = @_;
    my $gate = $gates{$name} //= {opened => 0, waiting => []};
    return if $gate->{opened} && $gate->{opened}--;
    push @{$gate->{waiting}}, $c;
    $c->{waiting} = 1;
    return;
}

sub open_gate {
    my ($request) = @_;
    my $gate = $gates{$request->{wishes}{gate} // ''} //= {opened => 0, waiting => []};
    @{$gate->{waiting}} = grep { !$_->{gone} } @{$gate->{waiting}};
    if (my $c = shift @{$gate->{waiting}}) {
        $c->{waiting} = 0;
        proceed($c);
    } else {
        $gate->{opened}++;
    }
    return plain($request, {});
}

# Answers whole requests in their order, one after the other.
sub serve {
    my ($c) = @_;
    while (!$c->{gone} && !$c->{busy} && (my $request = take_request($c))) {
        $c->{busy} = 1;
        if (!$is_aside{$request->{path}}) {
            $count++;
            $last = $request;
        }
        $c->{steps} = steps($request, answer($request));
        proceed($c);
    }
    return;
}

sub answer {
    my ($request) = @_;
    return ModelServer::Bad::answer($request) if $request->{wishes}{bad};
    return ModelServer::Account::answer($request, \&answer_of_model)
        if defined $request->{wishes}{account} && !$is_aside{$request->{path}};
    return answer_of_model($request);
}

sub answer_of_model {
    my ($request) = @_;
    my $path = $request->{path};
    my ($route) = $routes{$path} // map { $_->[1] } grep { $path =~ $_->[0] } @patterns;
    return $route ? $route->($request) : not_found($request);
}

# Goes on with the answer as far as it can (ModelServer::Steps says what it is made of).
sub proceed {
    my ($c) = @_;
    while (!$c->{gone} && !$c->{waiting} && length $c->{out} < AHEAD && $c->{steps}) {
        my ($what, $value) = @{$c->{steps}->() // last};
        if    ($what eq 'wait')  { sleep_for($c, $value) if $value > 0 }
        elsif ($what eq 'gate')  { wait_at_gate($c, $value) }
        elsif ($what eq 'send')  { put($c, $value) }
        elsif ($what eq 'hold')  { $c->{waiting} = 1 }
        elsif ($what eq 'close') { $c->{closing} = 1; leave($c) if !length $c->{out} }
        elsif ($what eq 'end')   { $c->{busy} = 0; $c->{steps} = undef; serve($c) if length $c->{in} }
    }
    return;
}

# Sends as much as can leave at once; the rest waits.
sub put {
    my ($c, $bytes) = @_;
    $c->{out} .= $bytes;
    my $sent = syswrite $c->{socket}, $c->{out};
    substr($c->{out}, 0, $sent) = '' if defined $sent;
    leave($c) if !defined $sent && !$!{EAGAIN} && !$!{EINTR};
    return;
}

# --- HTTP

sub take_request {
    my ($c) = @_;
    my $end = index $c->{in}, "\r\n\r\n";
    return if $end < 0;
    my ($line, @lines) = split /\r\n/, substr $c->{in}, 0, $end;
    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () } @lines;
    my ($body, $after) = request_body($c, $end + 4, \%headers);
    return if !defined $after;
    substr($c->{in}, 0, $after) = '';
    my ($method, $uri) = split / /, $line;
    my ($path, $args) = split /\?/, $uri, 2;
    my %wishes = map { /^x-model-(.*)/ ? ($1 =~ tr/-/_/r, $headers{$_}) : () } keys %headers;
    for (split /&/, $args // '') {
        my ($name, $value) = split /=/, $_, 2;
        $wishes{$name} = unescaped($value // 1);
    }
    return {
        method => $method, uri => $uri, path => unescaped($path), headers => \%headers, body => $body,
        wishes => \%wishes,
    };
}

sub unescaped { return $_[0] =~ s/%([0-9a-fA-F]{2})/chr hex $1/ger }

sub request_body {
    my ($c, $at, $headers) = @_;
    if (($headers->{'transfer-encoding'} // '') !~ /chunked/i) {
        my $length = $headers->{'content-length'} // 0;
        return if length $c->{in} < $at + $length;
        return (substr($c->{in}, $at, $length), $at + $length);
    }
    my $body = '';
    while (1) {
        pos($c->{in}) = $at;
        $c->{in} =~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/gc or return;
        my ($size, $data) = (hex $1, pos $c->{in});
        return if length $c->{in} < $data + $size + 2;
        return ($body, $data + 2) if $size == 0;
        $body .= substr $c->{in}, $data, $size;
        $at = $data + $size + 2;
    }
}

# --- answers of no API

sub not_found {
    my ($request) = @_;
    return plain($request, {error => {message => "no such path: $request->{path}",
        type => 'invalid_request_error', param => undef, code => 'not_found'}}, 404);
}

sub raw {
    my ($request) = @_;
    return {status => $request->{wishes}{status}, body => $request->{body},
        type => $request->{wishes}{type} // 'application/json'};
}

sub bytes {
    my ($request) = @_;
    return {%{ModelServer::Bad::answer({%$request, wishes => {%{$request->{wishes}}, bad => 'garbage'}})},
        type => $request->{wishes}{type} // 'application/octet-stream'};
}

sub told {
    my ($request, $other) = @_;
    return plain($request, {map { $_ => $other->{$_} } qw(method uri headers body)});
}
