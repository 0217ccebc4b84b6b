package ModelServer::Steps;

# Turns an answer into what is done on the connection, step by step.
#
# An answer is {status, type, headers, body} or {status, type, headers, pieces}; pieces
# are a list, or a sub that returns one after the other and then nothing.

use strict;
use warnings;

use Exporter qw(import);

use ModelServer::Encoding qw(content_encoding encoder);

our @EXPORT = qw(steps);

# A sub that returns the next step at each call, in the end nothing:
#   [wait => MS], [gate => NAME], [send => BYTES], ['hold'] (for ever), ['close'], ['end']
sub steps {
    my ($request, $answer) = @_;
    my $wishes = $request->{wishes};
    my @begin = (['wait', $wishes->{delay} // 0], defined $wishes->{before} ? ['gate', $wishes->{before}] : ());
    my $head = head($request, $answer);
    return listed(@begin, ['send', "$head\r\n"], ['end']) if ($answer->{status} // 200) == 304;
    return whole_steps($request, $answer, $head, @begin) if !is_chunked($wishes, $answer);
    $head .= "Transfer-Encoding: chunked\r\n" . ($wishes->{trailers} ? "Trailer: X-Checksum\r\n" : '') . "\r\n";
    return listed(@begin, ['send', $head], ['end']) if $request->{method} eq 'HEAD';
    my $pieces = iterator($answer->{pieces} // [$answer->{body}]);
    $pieces = encoded($pieces, encoder($wishes));
    $pieces = split_up($pieces, $wishes->{split}) if $wishes->{split};
    return joined([@begin, ['send', $head]], chunk_steps($wishes, $pieces));
}

sub head {
    my ($request, $answer) = @_;
    my $status = $answer->{status} // 200;
    my $encoding = content_encoding($request->{wishes});
    return join '', "HTTP/1.1 $status " . ($status < 400 ? 'OK' : 'Error') . "\r\n",
        "Content-Type: $answer->{type}\r\n",
        (map { "$_: $answer->{headers}{$_}\r\n" } sort keys %{$answer->{headers} // {}}),
        $encoding ? "Content-Encoding: $encoding\r\n" : '';
}

sub is_chunked {
    my ($wishes, $answer) = @_;
    return $answer->{pieces} || grep { defined $wishes->{$_} } qw(split cut_at hold_at trailers);
}

sub whole_steps {
    my ($request, $answer, $head, @begin) = @_;
    my $body = encoder($request->{wishes})->($answer->{body}, 1);
    $head .= 'Content-Length: ' . length($body) . "\r\n\r\n";
    return listed(@begin, ['send', $head], ['end']) if $request->{method} eq 'HEAD';
    return listed(@begin, ['send', $head . substr $body, 0, length($body) / 2], ['close'])
        if defined $request->{wishes}{cut};
    return listed(@begin, ['send', $head . $body], ['end']);
}

# One chunk for each piece, with what is to happen between them.
sub chunk_steps {
    my ($wishes, $pieces) = @_;
    my ($count, $bytes, $done, @steps) = (0, 0, 0);
    return sub {
        while (!@steps && !$done) {
            my $piece = defined $wishes->{cut} && $count >= $wishes->{cut} ? undef : $pieces->();
            if (!defined $piece) {
                $done = 1;
                @steps = defined $wishes->{cut} ? ['close'] : (['send', last_chunk($wishes)], ['end']);
                last;
            }
            @steps = $count++ ? pause($wishes) : ();
            my $how = stop_within($wishes, $bytes + length $piece);
            $piece = substr $piece, 0, $wishes->{$how} - $bytes if $how;
            $bytes += length $piece;
            push @steps, ['send', sprintf "%x\r\n%s\r\n", length $piece, $piece] if length $piece;
            next if !$how;
            $done = 1;
            push @steps, [$how eq 'cut_at' ? 'close' : 'hold'];
        }
        return shift @steps;
    };
}

sub pause {
    my ($wishes) = @_;
    return (
        $wishes->{chunk_delay} ? ['wait', $wishes->{chunk_delay}] : (),
        defined $wishes->{gate} ? ['gate', $wishes->{gate}] : (),
    );
}

# Returns the wish that ends the body at or before so many bytes.
sub stop_within {
    my ($wishes, $bytes) = @_;
    my ($how) = grep { defined $wishes->{$_} && $wishes->{$_} <= $bytes } qw(cut_at hold_at);
    return $how;
}

sub last_chunk {
    my ($wishes) = @_;
    return "0\r\n" . ($wishes->{trailers} ? "X-Checksum: as-sent\r\n" : '') . "\r\n";
}

# --- iterators

sub listed {
    my (@items) = @_;
    return sub { shift @items };
}

sub iterator { return ref $_[0] eq 'CODE' ? $_[0] : listed(@{$_[0]}) }

sub joined {
    my ($list, $rest) = @_;
    return sub { @$list ? shift @$list : $rest->() };
}

# The encoder wants to know which piece is the last.
sub encoded {
    my ($pieces, $encode) = @_;
    my $next = $pieces->();
    return sub {
        return if !defined $next;
        my $piece = $next;
        $next = $pieces->();
        return $encode->($piece, !defined $next);
    };
}

sub split_up {
    my ($pieces, $size) = @_;
    my ($rest, @parts) = ('');
    return sub {
        while (!@parts) {
            my $piece = $pieces->();
            if (!defined $piece) {
                return if !length $rest;
                @parts = ($rest);
                $rest = '';
                last;
            }
            @parts = unpack "(a$size)*", $rest . $piece;
            $rest = @parts && length $parts[-1] < $size ? pop @parts : '';
        }
        return shift @parts;
    };
}

1;
