package ModelServer::Gemini;

# Gemini's generateContent and streamGenerateContent: one JSON array in pieces, or with alt=sse a
# stream of events. Each piece repeats the counts so far, but for the first, which lacks them.

use strict;
use warnings;

use ModelServer::Request;
use ModelServer::Sse;

sub generate {
    my ($request) = @_;
    return error($request) // unreadable($request) // {
        type => 'application/json; charset=UTF-8',
        body => json_text(piece($request, join('', text_pieces($request)), 1), 'pretty'),
    };
}

sub stream {
    my ($request) = @_;
    my $error = error($request);
    return $error if $error;
    my @words = text_pieces($request);
    my @pieces = map { piece($request, $words[$_], ($_ + 1) / @words) } 0 .. $#words;
    delete @{$pieces[0]{usageMetadata}}{qw(candidatesTokenCount thoughtsTokenCount totalTokenCount)};
    return sse($request, map { data($_) =~ s/\n/\r\n/gr } @pieces) if ($request->{wishes}{alt} // '') eq 'sse';
    my @texts = map { json_text($_, 'pretty') =~ s/\n\z//r } @pieces;
    $texts[0] = "[$texts[0]";
    $texts[$_] = "\n,\r\n$texts[$_]" for 1 .. $#texts;
    return {type => 'application/json; charset=UTF-8', pieces => [@texts, "\n]\n"]};
}

# Returns a script for callback=NAME, a message of Protocol Buffers for alt=proto (or $alt=proto), otherwise nothing.
sub unreadable {
    my ($request) = @_;
    my $wishes = $request->{wishes};
    my $text = join '', text_pieces($request);
    return {type => 'text/javascript; charset=UTF-8',
        body => "// API callback\n$wishes->{callback}(" . json_text(piece($request, $text, 1), 'pretty') . ");\n"}
        if defined $wishes->{callback};
    return {type => 'application/x-protobuf', body => "\x0a" . pack('w/a*', $text)}
        if ($wishes->{alt} // $wishes->{'$alt'} // '') eq 'proto';
    return;
}

sub error {
    my ($request) = @_;
    return wanted_error($request, sub { {error => {code => $_[0], message => $_[1], status => 'INTERNAL'}} });
}

# Returns a piece of an answer with as much of the output as `part` says.
sub piece {
    my ($request, $text, $part) = @_;
    my @parts = ({text => $text});
    push @parts, {functionCall => {name => 'add', args => trap_object()}} if trap($request);
    my $call = $part == 1 && tool_call($request);
    push @parts, {functionCall => {name => $call->{name}, args => $call->{arguments}}} if $call;
    return {
        candidates => [{content => {parts => \@parts, role => 'model'}, index => 0,
            $part == 1 ? (finishReason => 'STOP') : ()}],
        modelVersion => $request->{path} =~ m{/models/([^:/]+)} ? $1 : 'test-model', responseId => 'r1',
        has_usage($request) ? (usageMetadata => usage($request, $part)) : (),
    };
}

sub usage {
    my ($request, $part) = @_;
    my ($in, $thoughts, $cached) = (prompt_tokens($request), reasoning_tokens($request), cached_tokens($request));
    my $said = int((completion_tokens($request) - $thoughts) * $part);
    return {
        promptTokenCount => $in, candidatesTokenCount => $said, totalTokenCount => $in + $said + $thoughts,
        $thoughts ? (thoughtsTokenCount => $thoughts) : (),
        $cached ? (cachedContentTokenCount => $cached) : (),
        promptTokensDetails => [{modality => 'TEXT', tokenCount => $in}],
    };
}

1;
