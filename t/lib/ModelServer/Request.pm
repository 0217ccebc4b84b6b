package ModelServer::Request;

# A request to the model server and what it wishes: {method, uri, path, headers, body, wishes}.

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP ();

our @EXPORT = qw(
    asked cached_tokens completion_tokens has_usage json_text model_name plain prompt_tokens
    reasoning_tokens streams text_pieces tool_call trap trap_object wanted_error written_tokens
);

my $json = JSON::PP->new->canonical->utf8;
my $pretty = JSON::PP->new->canonical->utf8->indent->space_after->indent_length(2);

# Fields of a text that wants to be taken for usage.
my %TRAP = (
    prompt_tokens => 1, completion_tokens => 1, total_tokens => 1, input_tokens => 1, output_tokens => 1,
    inputTokens => 1, outputTokens => 1, promptTokenCount => 1, candidatesTokenCount => 1,
    totalTokenCount => 1, prompt_eval_count => 1, eval_count => 1,
);

sub json_text {
    my ($data, $how) = @_;
    return ($how // '') eq 'pretty' ? $pretty->encode($data) : $json->encode($data);
}

# The request's body as data; {} where it is no object.
sub asked {
    my ($request) = @_;
    my $data = $request->{json} //= eval { $json->decode($request->{body}) } // {};
    return ref $data eq 'HASH' ? $data : {};
}

sub model_name { return $_[0]{wishes}{answers} // asked($_[0])->{model} // 'test-model' }

sub streams {
    my ($request) = @_;
    return asked($request)->{stream};
}

sub plain {
    my ($request, $data, $status) = @_;
    return {status => $status, type => 'application/json', body => json_text($data) . "\n"};
}

# The answer with an error status that was wished for, or nothing. `make` turns
# (status, message) into an API's own body.
sub wanted_error {
    my ($request, $make) = @_;
    my $status = $request->{wishes}{status} // 200;
    return if $status < 300;
    my $message = "status $status as asked for";
    return plain($request, $make->($status, $message), $status) if $make;
    return plain($request,
        {error => {message => $message, type => 'server_error', param => undef, code => undef}}, $status);
}

# --- what the answer says it used

sub has_usage { return $_[0]{wishes}{usage} // 1 }

# All of the input, what came from a cache or went into one included.
sub prompt_tokens {
    my ($request) = @_;
    my $asked = asked($request);
    my ($prompt) = grep { defined } @$asked{qw(messages prompt input contents inputs)};
    return wished($request, 'prompt_tokens', 1 + int(length(json_text($prompt // [])) / 4));
}

# All of the output, reasoning included.
sub completion_tokens {
    my ($request) = @_;
    return obedient_tokens($request) if defined $request->{wishes}{obeys};
    return wished($request, 'completion_tokens', scalar(() = text_pieces($request)));
}

# The output of a server that obeys the limits of output in a request: n answers, or one for each prompt.
sub obedient_tokens {
    my ($request) = @_;
    my $asked = asked($request);
    my @limits = (@$asked{qw(max_tokens max_completion_tokens max_output_tokens)},
        ($asked->{generationConfig} // {})->{maxOutputTokens}, ($asked->{options} // {})->{num_predict},
        ($asked->{inferenceConfig} // {})->{maxTokens});
    my ($least) = sort { $a <=> $b } $request->{wishes}{obeys}, grep { defined } @limits;
    my $prompts = ref $asked->{prompt} eq 'ARRAY' ? @{$asked->{prompt}} : 1;
    return $least * $prompts * ($asked->{n} // 1);
}

sub cached_tokens    { return wished($_[0], 'cached_tokens', 0) }
sub written_tokens   { return wished($_[0], 'written_tokens', 0) }
sub reasoning_tokens { return wished($_[0], 'reasoning_tokens', 0) }

sub wished {
    my ($request, $name, $default) = @_;
    no warnings 'numeric';    # whoever wishes for "many" gets 0
    return int($request->{wishes}{$name} // $default);
}

# --- what the model says

# The text in pieces, as a stream has them.
sub text_pieces {
    my ($request) = @_;
    my $wishes = $request->{wishes};
    return cut_evenly($wishes->{text}, $wishes->{chunks} // 5) if defined $wishes->{text};
    my @words = ('Hello', ' from', ' the', ' model', ' server.');
    my @pieces = map { $words[$_ % @words] } 0 .. ($wishes->{chunks} // @words) - 1;
    push @pieces, '"usage":' . json_text(\%TRAP) if $wishes->{trap};
    return @pieces;
}

sub cut_evenly {
    my ($text, $pieces) = @_;
    my $size = int((length($text) + $pieces - 1) / $pieces) || 1;
    return unpack "(a$size)*", $text;
}

# Returns the call for tool=NAME: {name, arguments, text, pieces}. The arguments are data, the text is the same as JSON,
# and the pieces are the text as a stream has it. Returns nothing if the request offers no tools or brings the result of
# one.
sub tool_call {
    my ($request) = @_;
    my $name = $request->{wishes}{tool};
    my $asked = asked($request);
    return if !defined $name || !($asked->{tools} || $asked->{toolConfig}) || brings_result($asked);
    my $arguments = eval { $json->decode($request->{wishes}{arguments} // '') }
        // {city => 'Paris', days => 3, usage => {%TRAP}};
    my $text = json_text($arguments);
    return {name => $name, arguments => $arguments, text => $text, pieces => [cut_evenly($text, $request->{wishes}{tool_pieces} // 3)]};
}

# True if the last message is the result of a tool, in the shape of any API.
sub brings_result {
    my ($asked) = @_;
    my ($list) = grep { ref eq 'ARRAY' } @$asked{qw(messages input contents)};
    my $last = ($list // [])->[-1];
    return 0 if ref $last ne 'HASH';
    return 1 if ($last->{role} // '') eq 'tool' || ($last->{type} // '') eq 'function_call_output';
    my ($parts) = grep { ref eq 'ARRAY' } @$last{qw(content parts)};
    return scalar grep { ref eq 'HASH' && (($_->{type} // '') eq 'tool_result' || $_->{toolResult} || $_->{functionResponse}) }
        @{$parts // []};
}

# Returns what trap=1 adds: arguments of a tool, or anything else that the model may write, which hold usage.
sub trap_object {
    return {usage => {%TRAP}, usageMetadata => {%TRAP}, amount => 3,
        message => {usage => {%TRAP}}, response => {usage => {%TRAP}}, delta => {usage => {%TRAP}}, %TRAP};
}

sub trap { return $_[0]{wishes}{trap} }

1;
