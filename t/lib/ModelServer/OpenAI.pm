package ModelServer::OpenAI;

# OpenAI's APIs: chat/completions, completions, embeddings, responses, models; chat/completions
# also on Azure's paths, where the first piece of a stream has no choices.

use strict;
use warnings;

use ModelServer::Request;
use ModelServer::Sse;

# The size of the blocks in which a long stream is sent.
use constant BLOCK => 65_536;

sub usage {
    my ($request) = @_;
    my ($in, $out) = (prompt_tokens($request), completion_tokens($request));
    return {
        prompt_tokens => $in, completion_tokens => $out, total_tokens => $in + $out,
        prompt_tokens_details => {cached_tokens => cached_tokens($request)},
        completion_tokens_details => {reasoning_tokens => reasoning_tokens($request)},
    };
}

sub chat {
    my ($request) = @_;
    return wanted_error($request) // (streams($request) ? chat_stream($request) : chat_whole($request));
}

# The service tier that the answer names, if it is to name one.
sub tier { return defined $_[0]{wishes}{tier} ? (service_tier => $_[0]{wishes}{tier}) : () }

sub chat_whole {
    my ($request) = @_;
    my $call = tool_call($request);
    my @calls = (trap($request) ? odd_call() : (), $call ? function_call($call->{name}, $call->{text}) : ());
    my $message = {role => 'assistant', content => join('', text_pieces($request)), refusal => undef,
        @calls ? (tool_calls => \@calls) : ()};
    return plain($request, {
        id => 'chatcmpl-1', object => 'chat.completion', created => 1_700_000_000, model => model_name($request),
        system_fingerprint => undef, tier($request),
        choices => [{index => 0, finish_reason => $call ? 'tool_calls' : 'stop', logprobs => undef, message => $message}],
        trap($request) ? (a_trap => trap_object(), z_trap => trap_object()) : (),
        has_usage($request) ? (usage => usage_with_cost($request)) : (),
    });
}

# Returns the usage with a cost beside it, as OpenRouter's.
sub usage_with_cost {
    my ($request) = @_;
    my $cost = $request->{wishes}{cost};
    return {%{usage($request)}, defined $cost ? (cost => $cost + 0) : ()};
}

# Returns a call with an object for its arguments. OpenAI has a string there; some others do not.
sub odd_call {
    return {id => 'call_1', index => 0, type => 'function',
        function => {name => 'add', arguments => trap_object()}};
}

sub function_call {
    my ($name, $arguments) = @_;
    return {id => 'call_2', type => 'function', function => {name => $name, arguments => $arguments}};
}

# Returns a call as a stream sends it, piece by piece.
sub call_deltas {
    my ($call) = @_;
    return {tool_calls => [{index => 0, %{function_call($call->{name}, $call->{text})}}]} if @{$call->{pieces}} == 1;
    return (
        {tool_calls => [{index => 0, %{function_call($call->{name}, '')}}]},
        map { {tool_calls => [{index => 0, function => {arguments => $_}}]} } @{$call->{pieces}},
    );
}

# Fields that some servers send beside the usage in the last piece, or in it.
my %BESIDE = (
    timings   => {timings => {prompt_ms => 1.5}},                                 # llama.cpp
    error     => {error => {code => 502, message => 'Provider died'}},            # OpenRouter
    citations => {citations => ['https://example.com/']},                         # xAI
);

sub chat_stream {
    my ($request) = @_;
    my $wishes = $request->{wishes};
    my $azure = $request->{path} =~ m{^/openai/deployments/};
    my $asks = asked($request)->{stream_options}{include_usage};
    my $unasked = $wishes->{usage} // '';
    my $with_usage = has_usage($request) && $unasked ne 'last' && ($asks || $unasked eq 'always');
    my $nulls = has_usage($request) && $asks && ($wishes->{nulls} // 1);
    my %common = (id => 'chatcmpl-1', object => 'chat.completion.chunk', created => 1_700_000_000,
        model => model_name($request), tier($request), $nulls ? (usage => undef) : ());
    my $serial = 0;
    my $chunk = sub {
        $serial++;
        return data({%common, @_, $wishes->{obfuscation} ? (obfuscation => 'x' x ($serial * 7 % 11)) : ()});
    };
    my $delta = sub {
        my ($delta) = @_;
        my $so_far = $wishes->{running} ? (running_usage($request, $serial)) : undef;
        return $chunk->(choices => [{index => 0, finish_reason => undef, delta => $delta}],
            $so_far ? (usage => $so_far) : ());
    };
    my @events;
    push @events, data({choices => [], created => 0, id => '', model => '', object => '',
        prompt_filter_results => [{prompt_index => 0, content_filter_results => {}}]}) if $azure;
    push @events, map { $delta->({role => 'assistant', content => $_}) } text_pieces($request);
    push @events, $delta->({tool_calls => [odd_call()]}) if trap($request);
    my $call = tool_call($request);
    push @events, map { $delta->($_) } call_deltas($call) if $call;
    my @end = $chunk->(choices => [{index => 0, finish_reason => $call ? 'tool_calls' : 'stop', delta => {}}],
        $unasked eq 'last' ? (usage => usage($request)) : ());
    my $beside = $wishes->{beside} // '';
    my $usage = {%{usage($request)}, $beside eq 'cost' ? (cost => 0.0125) : ()};
    push @end, $chunk->(choices => [], usage => $usage, %{$BESIDE{$beside} // {}}) if $with_usage;
    push @end, "data: [DONE]\n\n";
    return long_stream($wishes->{size}, $events[-1], \@end) if $wishes->{size};
    return sse($request, @events, @end);
}

# Counts that grow from piece to piece, as vLLM gives them when asked.
sub running_usage {
    my ($request, $pieces) = @_;
    my $in = prompt_tokens($request);
    return {prompt_tokens => $in, completion_tokens => $pieces, total_tokens => $in + $pieces};
}

# Returns a stream of the same event over and over, until it has so many bytes.
sub long_stream {
    my ($size, $event, $end) = @_;
    my $repeat = int(BLOCK / length $event) || 1;
    my $block = $event x $repeat;
    my $blocks = int(($size + length($block) - 1) / length $block);
    return {type => 'text/event-stream', pieces => sub { $blocks-- > 0 ? $block : shift @$end }};
}

sub completions {
    my ($request) = @_;
    my $error = wanted_error($request);
    return $error if $error;
    my %common = (id => 'cmpl-1', object => 'text_completion', created => 1_700_000_000, model => model_name($request));
    my $choice = sub { {index => 0, text => $_[0], logprobs => undef, finish_reason => $_[1]} };
    my @words = text_pieces($request);
    return plain($request, {%common, choices => [$choice->(join('', @words), 'stop')],
        has_usage($request) ? (usage => usage($request)) : ()}) if !streams($request);
    my $with_usage = has_usage($request) && asked($request)->{stream_options}{include_usage};
    return sse($request, (map { data({%common, choices => [$choice->($_, undef)]}) } @words),
        data({%common, choices => [$choice->('', 'stop')]}),
        $with_usage ? data({%common, choices => [], usage => usage($request)}) : (), "data: [DONE]\n\n");
}

sub embeddings {
    my ($request) = @_;
    my $error = wanted_error($request);
    return $error if $error;
    my $tokens = prompt_tokens($request);
    return plain($request, {
        object => 'list', model => model_name($request),
        data => [{object => 'embedding', index => 0, embedding => [0.25, -0.5]}],
        has_usage($request) ? (usage => {prompt_tokens => $tokens, total_tokens => $tokens}) : (),
    });
}

sub models {
    my ($request) = @_;
    return wanted_error($request) // plain($request, {object => 'list', data => [
        {id => 'test-model', object => 'model', created => 1_700_000_000, owned_by => 'nginx-ai-limit'}
    ]});
}

# --- the Responses API

sub responses_usage {
    my ($request) = @_;
    my ($in, $out) = (prompt_tokens($request), completion_tokens($request));
    return {
        input_tokens => $in, output_tokens => $out, total_tokens => $in + $out,
        input_tokens_details => {cached_tokens => cached_tokens($request)},
        output_tokens_details => {reasoning_tokens => reasoning_tokens($request)},
    };
}

sub responses {
    my ($request) = @_;
    my $error = wanted_error($request);
    return $error if $error;
    return responses_stream($request) if streams($request);
    # A response in the background is queued at first, and tells nothing.
    return plain($request, response($request, 'queued')) if $request->{wishes}{background};
    return plain($request, response($request, 'completed', text_pieces($request)));
}

# One that is fetched by its id.
sub stored_response {
    my ($request) = @_;
    my ($id) = $request->{path} =~ m{([^/?]+)(?:\?|$)};
    local $request->{wishes} = {%{$request->{wishes}}, id => $id};
    return responses_stream($request) if $request->{path} =~ /[?&]stream=true/;
    return responses($request);
}

# Returns a response. Without words it has only begun.
sub response {
    my ($request, $status, @words) = @_;
    my @output;
    push @output, {id => 'fc_1', type => 'function_call', call_id => 'call_1', name => 'add', status => 'completed',
        arguments => json_text(trap_object()), parsed_arguments => trap_object()} if @words && trap($request);
    push @output, {id => 'msg_1', type => 'message', role => 'assistant', status => $status,
        content => [{type => 'output_text', text => join('', @words), annotations => []}]} if @words;
    my $call = tool_call($request);
    push @output, response_call($call, 'completed') if @words && $call;
    return {
        id => $request->{wishes}{id} // 'resp_1', object => 'response', created_at => 1_700_000_000, status => $status, error => undef,
        incomplete_details => undef, model => model_name($request), output => \@output,
        tools => [], metadata => trap($request) ? trap_object() : {},
        usage => @words && has_usage($request) ? responses_usage($request) : undef,
    };
}

sub response_call {
    my ($call, $status) = @_;
    return {id => 'fc_2', type => 'function_call', call_id => 'call_2', name => $call->{name}, status => $status,
        arguments => $status eq 'completed' ? $call->{text} : ''};
}

# The events of a call, as the second item of the output.
sub response_call_events {
    my ($call, $event) = @_;
    my %part = (item_id => 'fc_2', output_index => 1);
    return (
        $event->(type => 'response.output_item.added', output_index => 1, item => response_call($call, 'in_progress')),
        (map { $event->(type => 'response.function_call_arguments.delta', %part, delta => $_) } @{$call->{pieces}}),
        $event->(type => 'response.function_call_arguments.done', %part, name => $call->{name}, arguments => $call->{text}),
        $event->(type => 'response.output_item.done', output_index => 1, item => response_call($call, 'completed')),
    );
}

sub responses_stream {
    my ($request) = @_;
    my @words = text_pieces($request);
    my $serial = 0;
    my $event = sub { my %e = @_; event($e{type}, {%e, sequence_number => $serial++}) };
    my %part = (item_id => 'msg_1', output_index => 0, content_index => 0);
    my $content = sub { {type => 'output_text', text => $_[0], annotations => [], logprobs => []} };
    my $item = sub { {id => 'msg_1', type => 'message', role => 'assistant', status => shift, content => [@_]} };
    my $text = join '', @words;
    # "incomplete" and "failed" are ends as well.
    my $end = $request->{wishes}{end} // 'completed';
    my $call = tool_call($request);
    return sse($request,
        $event->(type => 'response.created', response => response($request, 'in_progress')),
        $event->(type => 'response.in_progress', response => response($request, 'in_progress')),
        $event->(type => 'response.output_item.added', output_index => 0, item => $item->('in_progress')),
        $event->(type => 'response.content_part.added', %part, part => $content->('')),
        (map { $event->(type => 'response.output_text.delta', %part, delta => $_, logprobs => []) } @words),
        $event->(type => 'response.output_text.done', %part, text => $text, logprobs => []),
        $event->(type => 'response.content_part.done', %part, part => $content->($text)),
        $event->(type => 'response.output_item.done', output_index => 0, item => $item->('completed', $content->($text))),
        $call ? response_call_events($call, $event) : (),
        $event->(type => "response.$end", response => response($request, $end, @words)),
    );
}

1;
