#!/usr/bin/perl

# A model server for tests and for trying things out: answers like OpenAI's and
# Anthropic's APIs, streams too, from one process and with hundreds of answers
# under way. Perl's core modules only.
#
#   perl model_server.pl [PORT [ADDRESS]]     port 0: any; prints "ready on port N"
#
# POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/messages
# GET  /v1/models
# POST /raw       answers with the request's body
# any  /echo      answers with {method, uri, headers, body} of the request
# GET  /count     how many other requests have been seen so far
#
# What a request can ask for, as an argument or as a header X-Model-NAME:
#   delay=MS         before the answer
#   status=CODE      an error, if not 200
#   chunks=N         pieces of a stream (default 5)
#   chunk_delay=MS   between those
#   cut=N            closes the connection after N pieces of a stream, or, where
#                    nothing is streamed, in the middle of the body
#   prompt_tokens=N, completion_tokens=N, cached_tokens=N
#   usage=0          leaves usage out
#   gzip=1           compresses the answer
#   type=TYPE        content type of /raw
#   split=N          /raw: bytes per piece

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use JSON::PP ();
use Time::HiRes qw(time);

my $json = JSON::PP->new->canonical->utf8;

my $port = $ARGV[0] // 8081;
my $address = $ARGV[1] // '127.0.0.1';
my $listener = IO::Socket::INET->new(
    Listen => 1024, LocalAddr => $address, LocalPort => $port, ReuseAddr => 1, Blocking => 0
) or die "model server: cannot listen on $address:$port: $!\n";

my %connections;    # by file number
my @timers;         # [when, connection], the soonest first
my $count = 0;

my %routes = (
    '/v1/chat/completions' => \&chat,
    '/v1/completions'      => \&chat,
    '/v1/embeddings'       => \&embeddings,
    '/v1/messages'         => \&messages,
    '/v1/models'           => \&models,
    '/raw'                 => \&raw,
    '/echo'                => \&echo,
    '/count'               => sub { plain($_[0], {count => $count}) },
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
        $connections{$fd} = {socket => $socket, fd => $fd, in => '', out => '', steps => []};
    }
    return;
}

sub receive {
    my ($c) = @_;
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
    leave($c) if $c->{closing} && !length $c->{out};
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

# Answers whole requests in their order, one after the other.
sub serve {
    my ($c) = @_;
    while (!$c->{gone} && !$c->{busy} && (my $request = take_request($c))) {
        $c->{busy} = 1;
        $count++ if $request->{path} ne '/count';
        my $route = $routes{$request->{path}};
        $c->{steps} = [steps($request, $route ? $route->($request) : not_found($request))];
        proceed($c);
    }
    return;
}

# Each step is a time to wait, bytes to send, or a word: "close", "end".
sub proceed {
    my ($c) = @_;
    while (!$c->{gone} && !$c->{waiting} && (my $step = shift @{$c->{steps}})) {
        my ($what, $value) = @$step;
        if    ($what eq 'wait')  { sleep_for($c, $value) if $value > 0 }
        elsif ($what eq 'send')  { $c->{out} .= $value; send_some($c) }
        elsif ($what eq 'close') { $c->{closing} = 1; leave($c) if !length $c->{out} }
        elsif ($what eq 'end')   { $c->{busy} = 0; serve($c) if length $c->{in} }
    }
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
        $wishes{$name} = ($value // 1) =~ s/%([0-9a-fA-F]{2})/chr hex $1/ger;
    }
    return {
        method => $method, uri => $uri, path => $path, headers => \%headers, body => $body,
        wishes => \%wishes, json => eval { $json->decode($body) } // {},
    };
}

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

# An answer is {status, type, body} or {status, type, pieces}.
sub steps {
    my ($request, $answer) = @_;
    my $wishes = $request->{wishes};
    my $status = $answer->{status} // 200;
    my $head = "HTTP/1.1 $status " . ($status < 400 ? 'OK' : 'Error') . "\r\n"
        . "Content-Type: $answer->{type}\r\n";
    my @begin = (['wait', $wishes->{delay} // 0]);
    my $pack = $wishes->{gzip} ? compressor() : sub { $_[0] };
    $head .= "Content-Encoding: gzip\r\n" if $wishes->{gzip};
    if (!$answer->{pieces}) {
        my $body = $pack->($answer->{body}, 1);
        $head .= 'Content-Length: ' . length($body) . "\r\n\r\n";
        return (@begin, ['send', $head . substr $body, 0, length($body) / 2], ['close'])
            if defined $wishes->{cut};
        return (@begin, ['send', $head . $body], ['end']);
    }
    return (@begin, ['send', "${head}Transfer-Encoding: chunked\r\n\r\n"],
        stream_steps($request, $answer->{pieces}, $pack));
}

sub stream_steps {
    my ($request, $pieces, $pack) = @_;
    my $wishes = $request->{wishes};
    my @steps;
    for my $i (0 .. $#$pieces) {
        return (@steps, ['close']) if defined $wishes->{cut} && $i >= $wishes->{cut};
        push @steps, ['wait', $wishes->{chunk_delay}] if $i && $wishes->{chunk_delay};
        my $data = $pack->($pieces->[$i], $i == $#$pieces);
        push @steps, ['send', sprintf "%x\r\n%s\r\n", length $data, $data] if length $data;
    }
    return (@steps, ['send', "0\r\n\r\n"], ['end']);
}

# A sub that compresses piece by piece, each readable as soon as it arrives.
sub compressor {
    require Compress::Raw::Zlib;
    my ($deflate) = Compress::Raw::Zlib::Deflate->new(
        -WindowBits => Compress::Raw::Zlib::WANT_GZIP(), -AppendOutput => 1
    );
    return sub {
        my ($data, $last) = @_;
        my $out = '';
        $deflate->deflate($data, $out);
        $deflate->flush($out,
            $last ? Compress::Raw::Zlib::Z_FINISH() : Compress::Raw::Zlib::Z_SYNC_FLUSH());
        return $out;
    };
}

# --- answers

sub plain {
    my ($request, $data, $status) = @_;
    return {status => $status, type => 'application/json', body => $json->encode($data) . "\n"};
}

sub not_found {
    my ($request) = @_;
    return plain($request, {error => {message => "no such path: $request->{path}",
        type => 'invalid_request_error', param => undef, code => 'not_found'}}, 404);
}

# The answer with an error status that was asked for, or nothing.
sub wanted_error {
    my ($request) = @_;
    my $status = $request->{wishes}{status} // 200;
    return if $status < 300;
    my %error = (message => "status $status as asked for", type => 'server_error');
    return plain($request, {type => 'error', error => {%error}}, $status)
        if $request->{path} eq '/v1/messages';
    return plain($request, {error => {%error, param => undef, code => undef}}, $status);
}

sub words {
    my ($request) = @_;
    my @words = ('Hello', ' from', ' the', ' model', ' server.');
    my $chunks = $request->{wishes}{chunks} // @words;
    return map { $words[$_ % @words] } 0 .. $chunks - 1;
}

sub tokens {
    my ($request, $kind, $default) = @_;
    return int($request->{wishes}{$kind} // $default);
}

sub prompt_tokens {
    my ($request) = @_;
    my $text = $json->encode($request->{json}{messages} // $request->{json}{prompt}
        // $request->{json}{input} // []);
    return tokens($request, 'prompt_tokens', 1 + int length($text) / 4);
}

sub openai_usage {
    my ($request, @words) = @_;
    my ($in, $out) = (prompt_tokens($request), tokens($request, 'completion_tokens', scalar @words));
    return {
        prompt_tokens => $in, completion_tokens => $out, total_tokens => $in + $out,
        prompt_tokens_details => {cached_tokens => tokens($request, 'cached_tokens', 0)},
        completion_tokens_details => {reasoning_tokens => 0},
    };
}

sub has_usage { return $_[0]{wishes}{usage} // 1 }

sub chat {
    my ($request) = @_;
    my $error = wanted_error($request);
    return $error if $error;
    return chat_stream($request) if $request->{json}{stream};
    my @words = words($request);
    return plain($request, {
        id => 'chatcmpl-1', object => 'chat.completion', created => int time,
        model => $request->{json}{model} // 'test-model',
        choices => [{index => 0, finish_reason => 'stop', logprobs => undef,
            message => {role => 'assistant', content => join('', @words), refusal => undef}}],
        has_usage($request) ? (usage => openai_usage($request, @words)) : (),
    });
}

sub chat_stream {
    my ($request) = @_;
    my @words = words($request);
    my $with_usage = has_usage($request) && $request->{json}{stream_options}{include_usage};
    my %common = (id => 'chatcmpl-1', object => 'chat.completion.chunk', created => int time,
        model => $request->{json}{model} // 'test-model', $with_usage ? (usage => undef) : ());
    my $chunk = sub { 'data: ' . $json->encode({%common, @_}) . "\n\n" };
    my @pieces = map { $chunk->(choices => [{index => 0, finish_reason => undef,
        delta => {role => 'assistant', content => $_}}]) } @words;
    push @pieces, $chunk->(choices => [{index => 0, finish_reason => 'stop', delta => {}}]);
    push @pieces, $chunk->(choices => [], usage => openai_usage($request, @words)) if $with_usage;
    return {type => 'text/event-stream', pieces => [@pieces, "data: [DONE]\n\n"]};
}

sub embeddings {
    my ($request) = @_;
    my $error = wanted_error($request);
    return $error if $error;
    my $tokens = prompt_tokens($request);
    return plain($request, {
        object => 'list', model => $request->{json}{model} // 'test-model',
        data => [{object => 'embedding', index => 0, embedding => [0.25, -0.5]}],
        has_usage($request) ? (usage => {prompt_tokens => $tokens, total_tokens => $tokens}) : (),
    });
}

sub anthropic_usage {
    my ($request, $output) = @_;
    return {
        input_tokens => prompt_tokens($request), output_tokens => $output,
        cache_creation_input_tokens => 0,
        cache_read_input_tokens => tokens($request, 'cached_tokens', 0),
    };
}

sub messages {
    my ($request) = @_;
    my $error = wanted_error($request);
    return $error if $error;
    my @words = words($request);
    my $output = tokens($request, 'completion_tokens', scalar @words);
    my %message = (id => 'msg_1', type => 'message', role => 'assistant',
        model => $request->{json}{model} // 'test-model', stop_sequence => undef);
    return messages_stream($request, \%message, $output, @words) if $request->{json}{stream};
    return plain($request, {
        %message, stop_reason => 'end_turn', content => [{type => 'text', text => join '', @words}],
        has_usage($request) ? (usage => anthropic_usage($request, $output)) : (),
    });
}

sub messages_stream {
    my ($request, $message, $output, @words) = @_;
    my $event = sub { my %e = @_; "event: $e{type}\ndata: " . $json->encode(\%e) . "\n\n" };
    my $usage = has_usage($request);
    my @pieces = (
        $event->(type => 'message_start', message => {%$message, stop_reason => undef, content => [],
            $usage ? (usage => anthropic_usage($request, 1)) : ()}),
        $event->(type => 'content_block_start', index => 0, content_block => {type => 'text', text => ''}),
        (map { $event->(type => 'content_block_delta', index => 0,
            delta => {type => 'text_delta', text => $_}) } @words),
        $event->(type => 'content_block_stop', index => 0),
        $event->(type => 'message_delta', delta => {stop_reason => 'end_turn', stop_sequence => undef},
            $usage ? (usage => {output_tokens => $output}) : ()),
        $event->(type => 'message_stop'),
    );
    return {type => 'text/event-stream', pieces => \@pieces};
}

sub models {
    my ($request) = @_;
    return wanted_error($request) // plain($request, {object => 'list', data => [
        {id => 'test-model', object => 'model', created => 1_700_000_000, owned_by => 'nginx-ai-limit'}
    ]});
}

sub raw {
    my ($request) = @_;
    my %common = (status => $request->{wishes}{status}, type => $request->{wishes}{type} // 'application/json');
    my $size = $request->{wishes}{split};
    return {%common, body => $request->{body}} if !$size;
    return {%common, pieces => [unpack "(a$size)*", $request->{body}]};
}

sub echo {
    my ($request) = @_;
    return wanted_error($request)
        // plain($request, {map { $_ => $request->{$_} } qw(method uri headers body)});
}
