package ModelServer::TextGeneration;

# Hugging Face's text generation server: the counts are in headers; a stream has none.

use strict;
use warnings;

use ModelServer::Request;
use ModelServer::Sse;

sub generate {
    my ($request) = @_;
    my $error = wanted_error($request, sub { {error => $_[1], error_type => 'generation'} });
    return $error if $error;
    my $answer = plain($request, {generated_text => join '', text_pieces($request)});
    my ($in, $out) = (prompt_tokens($request), completion_tokens($request));
    $answer->{headers} = {'X-Compute-Type' => 'cpu', 'X-Prompt-Tokens' => $in, 'X-Generated-Tokens' => $out}
        if has_usage($request);
    return $answer;
}

sub stream {
    my ($request) = @_;
    my @words = text_pieces($request);
    my $id = 0;
    my @events = map { data({index => $id, token => {id => $id++, text => $_, logprob => -0.5, special => JSON::PP::false},
        generated_text => $id == @words ? join('', @words) : undef}) =~ s/^data: /data:/r } @words;
    return sse($request, @events);
}

1;
