package ModelServer::Bedrock;

# Amazon Bedrock: converse and converse-stream; invoke with the counts in headers, and
# invoke-with-response-stream, whose events hold a model's own events in base64.

use strict;
use warnings;

use Compress::Raw::Zlib qw(crc32);
use MIME::Base64 qw(encode_base64);

use ModelServer::Anthropic qw(message_events);
use ModelServer::Request;

use constant STREAM_TYPE => 'application/vnd.amazon.eventstream';

sub converse {
    my ($request) = @_;
    my $call = tool_call($request);
    return error($request) // plain($request, {
        metrics => {latencyMs => 1}, stopReason => $call ? 'tool_use' : 'end_turn',
        output => {message => {role => 'assistant', content => [
            trap($request) ? {toolUse => {name => 'add', toolUseId => 't1', input => trap_object()}} : (),
            {text => join '', text_pieces($request)},
            $call ? {toolUse => {name => $call->{name}, toolUseId => 't2', input => $call->{arguments}}} : (),
        ]}},
        has_usage($request) ? (usage => usage($request)) : (),
    });
}

# inputTokens are without what a cache gave or took.
sub usage {
    my ($request) = @_;
    my ($in, $out) = (prompt_tokens($request), completion_tokens($request));
    my ($cached, $written) = (cached_tokens($request), written_tokens($request));
    return {
        inputTokens => $in - $cached - $written, outputTokens => $out, totalTokens => $in + $out,
        cacheReadInputTokens => $cached, cacheWriteInputTokens => $written,
    };
}

sub converse_stream {
    my ($request) = @_;
    my $call = tool_call($request);
    my @messages = (
        ['messageStart', {p => 'ab', role => 'assistant'}],
        (map { ['contentBlockDelta', {contentBlockIndex => 0, delta => {text => $_}, p => 'abcdefg'}] }
            text_pieces($request)),
        trap($request) ? ['contentBlockDelta', {contentBlockIndex => 1,
            delta => {toolUse => {input => json_text(trap_object())}}, metadata => trap_object()}] : (),
        ['contentBlockStop', {contentBlockIndex => 0}],
        $call ? call_messages($call) : (),
        ['messageStop', {stopReason => $call ? 'tool_use' : 'end_turn'}],
        has_usage($request) ? ['metadata', {metrics => {latencyMs => 1}, p => 'abc', usage => usage($request)}] : (),
    );
    return error($request)
        // {type => STREAM_TYPE, pieces => [map { message($_->[0], json_text($_->[1])) } @messages]};
}

sub call_messages {
    my ($call) = @_;
    return (
        ['contentBlockStart', {contentBlockIndex => 1, start => {toolUse => {name => $call->{name}, toolUseId => 't2'}}}],
        (map { ['contentBlockDelta', {contentBlockIndex => 1, delta => {toolUse => {input => $_}}}] } @{$call->{pieces}}),
        ['contentBlockStop', {contentBlockIndex => 1}],
    );
}

sub invoke {
    my ($request) = @_;
    my $error = error($request);
    return $error if $error;
    my $answer = plain($request, {generation => join('', text_pieces($request)), stop_reason => 'stop'});
    $answer->{headers} = {
        'X-Amzn-Bedrock-Input-Token-Count' => prompt_tokens($request),
        'X-Amzn-Bedrock-Output-Token-Count' => completion_tokens($request),
    } if has_usage($request);
    return $answer;
}

sub invoke_stream {
    my ($request) = @_;
    my $error = error($request);
    return $error if $error;
    my @events = message_events($request);
    $events[-1]{'amazon-bedrock-invocationMetrics'} = {
        inputTokenCount => prompt_tokens($request), outputTokenCount => completion_tokens($request),
        invocationLatency => 1, firstByteLatency => 1,
    } if has_usage($request);
    return {type => STREAM_TYPE, pieces => [map {
        message('chunk', json_text({bytes => encode_base64(json_text($_), ''), p => 'abcd'}))
    } @events]};
}

sub error { return wanted_error($_[0], sub { {message => $_[1]} }) }

# One message of a binary event stream.
sub message {
    my ($type, $payload) = @_;
    my %headers = (':event-type' => $type, ':content-type' => 'application/json', ':message-type' => 'event');
    my $headers = join '', map { pack 'C/a C n/a', $_, 7, $headers{$_} } sort keys %headers;
    my $prelude = pack 'N N', 16 + length($headers) + length($payload), length $headers;
    my $message = $prelude . pack('N', crc32($prelude)) . $headers . $payload;
    return $message . pack 'N', crc32($message);
}

1;
