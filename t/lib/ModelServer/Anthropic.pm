package ModelServer::Anthropic;

# Anthropic's messages. Their input_tokens are without what a cache gave or took.

use strict;
use warnings;

use Exporter qw(import);

use ModelServer::Request;
use ModelServer::Sse;

our @EXPORT_OK = qw(message message_events);

sub usage {
    my ($request, $output) = @_;
    my ($cached, $written) = (cached_tokens($request), written_tokens($request));
    return {
        input_tokens => prompt_tokens($request) - $cached - $written, output_tokens => $output,
        cache_creation_input_tokens => $written, cache_read_input_tokens => $cached,
    };
}

sub messages {
    my ($request) = @_;
    my $error = wanted_error($request,
        sub { {type => 'error', error => {type => 'api_error', message => $_[1]}} });
    return $error if $error;
    return plain($request, message($request)) if !streams($request);
    return sse($request, map { event($_->{type}, $_) } message_events($request));
}

sub beginning {
    my ($request) = @_;
    return (id => 'msg_1', type => 'message', role => 'assistant', model => model_name($request),
        stop_sequence => undef);
}

sub message {
    my ($request) = @_;
    my @tools = trap($request)
        ? {type => 'tool_use', id => 'toolu_1', name => 'add', input => trap_object()} : ();
    my $call = tool_call($request);
    my @calls = $call ? {type => 'tool_use', id => 'toolu_2', name => $call->{name}, input => $call->{arguments}} : ();
    return {
        beginning($request), stop_reason => $call ? 'tool_use' : 'end_turn',
        content => [@tools, {type => 'text', text => join '', text_pieces($request)}, @calls],
        has_usage($request) ? (usage => usage($request, completion_tokens($request))) : (),
    };
}

# The data of each event of a stream.
sub message_events {
    my ($request) = @_;
    my $usage = has_usage($request);
    return (
        {type => 'message_start', message => {beginning($request), stop_reason => undef, content => [],
            $usage ? (usage => usage($request, 1)) : ()}},
        {type => 'content_block_start', index => 0, content_block => {type => 'text', text => ''}},
        {type => 'ping'},
        (map { {type => 'content_block_delta', index => 0, delta => {type => 'text_delta', text => $_}} }
            text_pieces($request)),
        {type => 'content_block_stop', index => 0},
        trap($request) ? trap_events() : (),
        call_events($request),
        message_deltas($request),
        {type => 'message_stop'},
    );
}

sub call_events {
    my ($request) = @_;
    my $call = tool_call($request) // return;
    my $index = trap($request) ? 2 : 1;
    return (
        {type => 'content_block_start', index => $index,
            content_block => {type => 'tool_use', id => 'toolu_2', name => $call->{name}, input => {}}},
        (map { {type => 'content_block_delta', index => $index,
            delta => {type => 'input_json_delta', partial_json => $_}} } @{$call->{pieces}}),
        {type => 'content_block_stop', index => $index},
    );
}

sub trap_events {
    return (
        {type => 'content_block_start', index => 1, usage_of_tools => trap_object(),
            content_block => {type => 'tool_use', id => 'toolu_1', name => 'add', input => trap_object()}},
        {type => 'content_block_delta', index => 1,
            delta => {type => 'input_json_delta', partial_json => json_text(trap_object())}},
        {type => 'content_block_stop', index => 1},
    );
}

# One, or with updates=N several, whose counts grow; input may be null in them.
sub message_deltas {
    my ($request) = @_;
    my $updates = $request->{wishes}{updates} // 1;
    my $output = completion_tokens($request);
    my $reason = tool_call($request) ? 'tool_use' : 'end_turn';
    return map { {
        type => 'message_delta', delta => {stop_reason => $_ == $updates ? $reason : undef, stop_sequence => undef},
        has_usage($request) ? (usage => {output_tokens => int($output * $_ / $updates),
            $updates > 1 ? (input_tokens => undef) : ()}) : (),
    } } 1 .. $updates;
}

1;
