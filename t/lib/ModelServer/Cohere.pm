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
    my $call = tool_call($request);
    return plain($request, {
        id => 'c1', finish_reason => $call ? 'TOOL_CALL' : 'COMPLETE',
        message => {role => 'assistant', content => [{type => 'text', text => join '', text_pieces($request)}],
            $call ? (tool_calls => [function_call($call->{name}, $call->{text})]) : (),
            trap($request) ? (tool_plan => trap_object()) : ()},
        has_usage($request) ? (usage => usage($request)) : (),
    });
}

sub function_call {
    my ($name, $arguments) = @_;
    return {id => 'add_1', type => 'function', function => {name => $name, arguments => $arguments}};
}

sub call_events {
    my ($call) = @_;
    my $delta = sub { delta => {message => {tool_calls => $_[0]}} };
    return (
        {type => 'tool-call-start', index => 0, $delta->(function_call($call->{name}, ''))},
        (map { {type => 'tool-call-delta', index => 0, $delta->({function => {arguments => $_}})} } @{$call->{pieces}}),
        {type => 'tool-call-end', index => 0},
    );
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
    my $call = tool_call($request);
    my @events = (
        {type => 'message-start', id => 'c1', delta => {message => {role => 'assistant', content => []}}},
        {type => 'content-start', index => 0, delta => {message => {content => {type => 'text', text => ''}}}},
        (map { {type => 'content-delta', index => 0, delta => {message => {content => {text => $_}}}} }
            text_pieces($request)),
        trap($request) ? {type => 'tool-call-start', index => 1,
            delta => {message => {tool_calls => {function => {name => 'add', arguments => trap_object()}}}}} : (),
        {type => 'content-end', index => 0},
        $call ? call_events($call) : (),
        {type => 'message-end', id => 'c1', delta => {finish_reason => $call ? 'TOOL_CALL' : 'COMPLETE',
            has_usage($request) ? (usage => usage($request)) : ()}},
    );
    return sse($request, (map { event($_->{type}, $_) } @events), "data: [DONE]\n\n");
}

1;
