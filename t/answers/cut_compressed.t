# Tests that a compressed answer that is cut anywhere costs what could be read of it: the usage that it reported, and a
# quarter of its text.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Compress::Raw::Zlib qw(WANT_GZIP_OR_ZLIB Z_OK Z_STREAM_END);
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

# The number of requests that are in flight at a time.
use constant AT_A_TIME => 32;

my $t = AiLimit::Tokens->start(policies => 'ai_limit_policy tokens key=$http_x_key rate=1t/month burst=1000000000 reserve=max;');

# The model writes the letter Q, which stands nowhere else.
my $wishes = 'prompt_tokens=4321&completion_tokens=987&chunks=3&text=' . 'Q' x 120;
my $gemini = '{"contents":[{"parts":[{"text":"Hi"}]}]}';

# The fields with the whole input and the whole output, as they stand in the answer. Gemini's total decides among its
# numbers.
my %shapes = (
    'OpenAI, whole' => ['/v1/chat/completions', chat(), qr/"prompt_tokens":4321\b./s, qr/"completion_tokens":987\b./s],
    'OpenAI, a stream' => ['/v1/chat/completions', chat(stream => 1, include_usage => 1), qr/"prompt_tokens":4321\b./s,
        qr/"completion_tokens":987\b./s],
    'Anthropic, a stream' => ['/v1/messages', chat(stream => 1), qr/"input_tokens":4321\b./s, qr/"output_tokens":987\b./s],
    'Gemini, an array' => ['/v1beta/models/g:streamGenerateContent', $gemini, qr/"promptTokenCount": 4321\b./s,
        qr/"totalTokenCount": 5308\b./s],
    'Ollama, lines' => ['/api/chat', chat(stream => 1), qr/"prompt_eval_count":4321\b./s, qr/"eval_count":987\b./s],
);
my %codings = (gzip => 1, deflate => 1, br => scalar(qx(brotli --version 2>&1) =~ /brotli/));

# The log's fields of one request for each cut, by the cut.
sub costs_of_cuts {
    my ($path, $body, @cuts) = @_;
    my %ids;
    while (my @some = splice @cuts, 0, AT_A_TIME) {
        my %begun = map { $_ => $t->begin("$path&cut_at=$_", $body) } @some;
        for my $cut (@some) {
            $begun{$cut}->finish;
            $ids{$begun{$cut}{id}} = $cut;
        }
    }
    my ($last) = sort { $b <=> $a } keys %ids;
    $t->logged_id($_) for (sort { $b <=> $a } keys %ids)[0 .. (keys(%ids) < AT_A_TIME ? keys(%ids) : AT_A_TIME) - 1];
    my %costs;
    for my $line (split /\n/, $t->nginx->access_log) {
        my %log = $line =~ /(\w+)=(\S*)/g;
        $costs{$ids{$log{id}}} = \%log if defined $ids{$log{id} // ''};
    }
    return \%costs;
}

# Returns what a client can read of the front of a body. Nothing is known of br, as no core module reads it.
sub inflated {
    my ($front) = @_;
    my ($inflate) = Compress::Raw::Zlib::Inflate->new(-WindowBits => WANT_GZIP_OR_ZLIB, -ConsumeInput => 1);
    my $text = '';
    $inflate->inflate($front, $text);
    return $text;
}

# Returns what is wrong with the cost of an answer of which so much was seen, or nothing if the cost is right.
sub mistake {
    my ($cost, $seen, $told_input, $told_output) = @_;
    my $quarter = int((($seen =~ tr/Q//) + 3) / 4);
    return "out=$cost->{out} for $quarter" if $cost->{out} < $quarter;
    return "out=$cost->{out} for $quarter" if $cost->{out} > $quarter && $cost->{out} > 987;
    return "in=$cost->{in} was reported" if $seen =~ $told_input && $cost->{in} < 4321;
    return "out=$cost->{out} was reported" if $seen =~ $told_output && $cost->{out} < 987;
    return "in=$cost->{in}" if $quarter > 0 && $cost->{in} < 1;
    return;
}

for my $name (sort keys %shapes) {
    my ($path, $body, @told) = @{$shapes{$name}};
    for my $coding (sort keys %codings) {
        subtest "$name, $coding" => sub {
            plan skip_all => 'no command brotli' if !$codings{$coding};
            my $url = "$path?$wishes&encoding=$coding";
            my $whole = post($t->model->port, $url, $body)->{body};
            # Every byte of each shape once; a command makes each answer in br.
            my $step = $coding eq 'gzip' ? 1 : 7;
            my @cuts = grep { $_ % $step == 0 } 1 .. length($whole) - 1;
            my $costs = costs_of_cuts($url, $body, @cuts);
            is scalar(keys %$costs), scalar(@cuts), 'each cut is settled';
            my (@mistakes, $former);
            for my $cut (@cuts) {
                my $cost = $costs->{$cut};
                my $mistake = $coding eq 'br' ? undef : mistake($cost, inflated(substr $whole, 0, $cut), @told);
                push @mistakes, "$cut: $mistake" if $mistake;
                push @mistakes, "$cut: less than before" if $former && ($cost->{out} < $former->{out} || $cost->{in} < $former->{in});
                $former = $cost;
            }
            is "@mistakes", '', 'each costs at least what it reported and its text, and more than the one before';
            cmp_ok $former->{out}, '>=', 30, 'in the end all of the text counts';
        };
    }
}

$t->stop;
done_testing;
