package ModelServer::Bad;

# Answers that no client can read, though their status is 200: bad=
#   garbage     size=N bytes (default 65536) of any value
#   truncated   JSON that ends in the middle of its usage
#   deep        100,000 arrays in one another, never closed
#   longline    size=N bytes (default 10,000,000) without a line end
#   numbers     -5, "many" and [12] for counts
# As a stream of events where the request wants one.

use strict;
use warnings;

use ModelServer::Request;

use constant BLOCK => 65_536;

my %BODIES = (garbage => \&garbage, truncated => \&truncated, deep => \&deep, longline => \&longline,
    numbers => \&numbers);

sub answer {
    my ($request) = @_;
    my $make = $BODIES{$request->{wishes}{bad}} // die "no such bad answer: $request->{wishes}{bad}\n";
    my $streams = streams($request);
    my $type = $streams ? 'text/event-stream' : 'application/json';
    return {type => $type, pieces => $make->($request, $streams ? 'data: ' : '', $streams ? "\n\n" : "\n")};
}

sub garbage {
    my ($request) = @_;
    my $state = 1;
    my $block = pack 'N*', map { $state = ($state * 1_103_515_245 + 12_345) % 2**32 } 1 .. BLOCK / 4;
    return repeated($block, $request->{wishes}{size} // BLOCK);
}

sub truncated {
    my ($request, $begin) = @_;
    return ["$begin\{\"choices\":[{\"index\":0,\"message\":{\"content\":\"Hello fr\"},\"delta\":{}}],\"usage\":{\"prompt_tok"];
}

sub deep {
    my ($request, $begin, $end) = @_;
    return [$begin . '{"choices":' . '[' x 100_000 . $end];
}

sub longline {
    my ($request, $begin) = @_;
    my $lines = repeated('x' x BLOCK, $request->{wishes}{size} // 10_000_000);
    return sub { my $first = $begin; $begin = ''; my $piece = $lines->(); defined $piece ? $first . $piece : undef };
}

sub numbers {
    my ($request, $begin, $end) = @_;
    return ["$begin\{\"choices\":[],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":\"many\",\"total_tokens\":[12]}}$end"];
}

sub repeated {
    my ($block, $size) = @_;
    return sub {
        return if $size <= 0;
        my $piece = substr $block, 0, $size < length $block ? $size : length $block;
        $size -= length $piece;
        return $piece;
    };
}

1;
