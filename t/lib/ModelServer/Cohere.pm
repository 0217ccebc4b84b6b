package ModelServer::Cohere;

# Cohere's v2/chat. Beside the tokens it says how many are billed, which are fewer.

use strict;
use warnings;

use ModelServer::Request;
use ModelServer::Sse;

sub chat {
    my ($request) = @_;
    my $error = wanted_error($request, sub { {message => $_[1]} });
    return $error if $error;
    return stream($request) if streams($request);
    return plain($request, {
        id => 'c1', finish_reason => 'COMPLETE',
        message => {role => 'assistant', content => [{type => 'text', text => join '', text_pieces($request)}],
            trap($request) ? (tool_plan => trap_object()) : ()},
        has_usage($request) ? (usage => usage($request)) : (),
    });
}

sub usage {
    my ($request) = @_;
    my ($in, $out) = (prompt_tokens($request), completion_tokens($request));
    return {
        billed_units => {input_tokens => int($in / 2), output_tokens => $out},
        tokens => {input_tokens => $in, output_tokens => $out},
    };
}

sub stream {
    my ($request) = @_;
    my @events = (
        {type => 'message-start', id => 'c1', delta => {message => {role => 'assistant', content => []}}},
        {type => 'content-start', index => 0, delta => {message => {content => {type => 'text', text => ''}}}},
        (map { {type => 'content-delta', index => 0, delta => {message => {content => {text => $_}}}} }
            text_pieces($request)),
        trap($request) ? {type => 'tool-call-start', index => 1,
            delta => {message => {tool_calls => {function => {name => 'add', arguments => trap_object()}}}}} : (),
        {type => 'content-end', index => 0},
        {type => 'message-end', id => 'c1', delta => {finish_reason => 'COMPLETE',
            has_usage($request) ? (usage => usage($request)) : ()}},
    );
    return sse($request, (map { event($_->{type}, $_) } @events), "data: [DONE]\n\n");
}

1;
