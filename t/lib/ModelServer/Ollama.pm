package ModelServer::Ollama;

# Ollama's api/chat and api/generate: a JSON document on each line, unless "stream" is false.

use strict;
use warnings;

use ModelServer::Request;

sub chat { return answer($_[0], sub { (message => {role => 'assistant', content => $_[0], @_[1 .. $#_]}) }) }

sub generate { return answer($_[0], sub { (response => $_[0], thinking => undef) }) }

# `said` makes the members that hold a text.
sub answer {
    my ($request, $said) = @_;
    my $error = wanted_error($request, sub { {error => $_[1]} });
    return $error if $error;
    my %common = (model => model_name($request), created_at => '2026-01-02T03:04:05.678901Z');
    my @words = text_pieces($request);
    my $streams = asked($request)->{stream} // 1;
    my $call = tool_call($request);
    my @calls = (trap($request) ? {function => {name => 'add', arguments => trap_object()}} : (),
        $call ? {function => {name => $call->{name}, arguments => $call->{arguments}}} : ());
    my @tools = @calls ? (tool_calls => \@calls) : ();
    return {type => 'application/json; charset=utf-8',
        body => json_text({%common, $said->(join('', @words), @tools), counts($request)})} if !$streams;
    my @lines = map { {%common, $said->($_), done => JSON::PP::false} } @words;
    push @lines, {%common, $said->('', @tools), done => JSON::PP::false} if @tools;
    push @lines, {%common, $said->(''), counts($request)};
    return {type => 'application/x-ndjson', pieces => [map { json_text($_) . "\n" } @lines]};
}

sub counts {
    my ($request) = @_;
    return (
        done => JSON::PP::true, done_reason => 'stop', total_duration => 4_883_583_458,
        load_duration => 1_334_875, prompt_eval_duration => 342_546_000, eval_duration => 4_535_599_000,
        has_usage($request) ? (prompt_eval_count => prompt_tokens($request),
            eval_count => completion_tokens($request)) : (),
    );
}

1;
