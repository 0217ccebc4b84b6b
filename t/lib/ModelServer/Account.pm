package ModelServer::Account;

# The account of a customer at a provider: limits by the minute as token buckets, headers on every
# answer, a 429 with a Retry-After for what is too much. A request uses one by its wish account=NAME. Requests with
# another Authorization use another one of that name.
#
#   rpm=N, tpm=N      requests and tokens a minute; none where it is not said
#   itpm=N, otpm=N    the same for tokens of input and of output, with form=anthropic
#   charges=N         tokens that a request costs when it comes, as OpenAI takes those that it asks for; without it those
#                     that it uses
#   form=NAME         openai (default) or anthropic headers; none: no headers at all
#   down=STATUS       refuses each request with this status: 503 or 529
#   retry_info=TEXT   a refusal has the wait in its body, as Gemini's RetryInfo
#   retry_after=TEXT  in place of the true wait; "none" leaves the header out
#   tells=NAME:VALUE,...  headers in place of the true ones

use strict;
use warnings;

use POSIX qw(ceil strftime);
use Time::HiRes qw(time);

use ModelServer::Request;

my %accounts;    # by name: {requests => bucket, tokens => bucket, refused, passed}

my %FORMS = (openai => \&openai_headers, anthropic => \&anthropic_headers, none => sub { () });

# Counts the request, and returns its answer: `$make`'s, or a refusal.
sub answer {
    my ($request, $make) = @_;
    my $wishes = $request->{wishes};
    my $account = $accounts{$wishes->{account} . ($request->{headers}{authorization} // '')} //= {passed => 0, refused => 0};
    my ($input, $output) = (prompt_tokens($request), completion_tokens($request));
    my %costs = (
        requests => 1, tokens => $wishes->{charges} // $input + $output, 'input-tokens' => $input, 'output-tokens' => $output,
    );
    my %limits = (requests => $wishes->{rpm}, tokens => $wishes->{tpm}, 'input-tokens' => $wishes->{itpm}, 'output-tokens' => $wishes->{otpm});
    my @buckets = map { bucket($account, $_, $limits{$_}, $costs{$_}) } grep { $limits{$_} } sort keys %limits;
    my ($wait) = sort { $b <=> $a } 0, map { wait_of($_) } @buckets;
    my $refuses = $wait > 0 || $wishes->{down};
    $account->{$refuses ? 'refused' : 'passed'}++;
    if (!$refuses) {
        $_->{left} -= $_->{cost} for @buckets;
    }
    my $answer = $refuses ? refusal($request, $wait) : $make->($request);
    my %headers = $wishes->{tells} ? told($wishes->{tells}) : $FORMS{$wishes->{form} // 'openai'}->(@buckets);
    $answer->{headers} = {%{$answer->{headers} // {}}, %headers};
    return $answer;
}

# What the account has counted: {passed, refused}.
sub counts {
    my ($request) = @_;
    my $account = $accounts{$request->{wishes}{account} // ''} // {};
    return {map { $_ => $account->{$_} // 0 } qw(passed refused)};
}

sub bucket {
    my ($account, $name, $limit, $cost) = @_;
    my $now = time;
    my $bucket = $account->{$name} //= {name => $name, left => $limit, at => $now};
    $bucket->{left} += ($now - $bucket->{at}) * $limit / 60;
    $bucket->{left} = $limit if $bucket->{left} > $limit;
    @$bucket{qw(at limit cost)} = ($now, $limit, $cost);
    return $bucket;
}

# Seconds until the request would fit.
sub wait_of {
    my ($bucket) = @_;
    my $missing = $bucket->{cost} - $bucket->{left};
    return $missing > 0 ? $missing * 60 / $bucket->{limit} : 0;
}

sub refusal {
    my ($request, $wait) = @_;
    my $wished = $request->{wishes}{retry_after};
    my $info = $request->{wishes}{retry_info};
    my $error = defined $info
        ? {code => 429, status => 'RESOURCE_EXHAUSTED', message => 'Quota exceeded.',
            details => [{'@type' => 'type.googleapis.com/google.rpc.RetryInfo', retryDelay => $info}]}
        : {message => 'Rate limit reached', type => 'requests', param => undef, code => 'rate_limit_exceeded'};
    my $answer = plain($request, {error => $error}, $request->{wishes}{down} || 429);
    my $after = $wished // ceil($wait || 1);
    $answer->{headers} = {'retry-after' => $after} if $after ne 'none';
    return $answer;
}

sub told { return map { /^([^:]+):(.*)/ ? ($1 => $2) : () } split /,/, $_[0] }

sub left { my $left = int $_[0]{left}; return $left > 0 ? $left : 0 }

sub seconds_to_full { return ($_[0]{limit} - $_[0]{left}) * 60 / $_[0]{limit} }

sub openai_headers {
    return map {
        my ($bucket, $name) = ($_, $_->{name});
        (
            "x-ratelimit-limit-$name"     => $bucket->{limit},
            "x-ratelimit-remaining-$name" => left($bucket),
            "x-ratelimit-reset-$name"     => sprintf('%dms', 1000 * seconds_to_full($bucket)),
        )
    } @_;
}

sub anthropic_headers {
    return map {
        my ($bucket, $name) = ($_, $_->{name});
        (
            "anthropic-ratelimit-$name-limit"     => $bucket->{limit},
            "anthropic-ratelimit-$name-remaining" => left($bucket),
            "anthropic-ratelimit-$name-reset"     =>
                strftime('%Y-%m-%dT%H:%M:%SZ', gmtime ceil(time + seconds_to_full($bucket))),
        )
    } @_;
}

1;
