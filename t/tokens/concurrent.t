# Requests at once: with reserve=max and honest max_tokens a limit is never passed, however many there are; with
# reserve=off by no more than what was in flight.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

use constant {REQUESTS => 200, LIMIT => 5000};

my %algorithms = (
    bucket  => 'rate=1t/month burst=' . LIMIT,
    sliding => 'rate=' . LIMIT . 't/month algorithm=sliding_window',
    fixed   => 'rate=' . LIMIT . 't/12month algorithm=fixed_window',
);
my @names = sort keys %algorithms;
my ($policies, $locations) = ('ai_limit_policy slots key=$http_x_key concurrency=50;', '');
for my $name (@names) {
    $policies .= "ai_limit_policy $name key=\$http_x_key $algorithms{$name} reserve=max;\n"
        . "ai_limit_policy loose_$name key=\$http_x_key $algorithms{$name} reserve=off;\n";
    $locations .= "location /$name/ { ai_limit $name; proxy_pass http://model/; }\n"
        . "location /loose/$name/ { ai_limit loose_$name; proxy_pass http://model/; }\n";
}
$locations .= "location /all/ { ai_limit @names slots; proxy_pass http://model/; }\n";
my $t = AiLimit::Tokens->start(
    workers => 3, left => [@names, map { "loose_$_" } @names], policies => $policies, locations => $locations,
);

# Returns the tokens that request i uses, at most the number that it announces.
sub output_of { return 1 + $_[0] * 7 % 100 }

sub all_at_once {
    my ($path, %o) = @_;
    my $first = $t->{serial} + 1;
    $t->{serial} += REQUESTS;
    my $all = many($t->port, requests => REQUESTS, connections => REQUESTS, method => 'POST', keep => 1, deadline => 60,
        path => sub { "$path/v1/chat/completions?delay=100&prompt_tokens=" . estimate() . '&completion_tokens=' . output_of($_[0]) },
        headers => sub { ['X-Key' => $t->key, 'X-Id' => $first + $_[0]] },
        body => sub { chat(max_tokens => $o{max_tokens} // 100, stream => $_[0] % 2, include_usage => 1) });
    is $all->{failed}, 0, 'all are answered';
    my @passed = grep { $all->{responses}[$_]{status} == 200 } 0 .. REQUESTS - 1;
    # Settled before the client had all of it, so what it says is final.
    return map { estimate() + output_of($_) } @passed;
}

for my $name ('bucket', 'all') {
    my @policies = $name eq 'all' ? @names : $name;
    subtest "$name: reserve=max" => sub {
        $t->new_client;
        my $total = 0;
        my $rounds = 0;
        # Requests come until what is left is too little for any.
        while (my @used = all_at_once("/$name")) {
            $total += sum0 @used;
            cmp_ok $total, '<=', LIMIT, 'never more than the limit: ' . @used . ' passed';
            is_deeply [map { $t->left($_) } @policies], [map { LIMIT - $total } @policies], 'all that was used is charged';
            last if ++$rounds == 30;
        }
        cmp_ok LIMIT - $total, '<', 100 + estimate(), 'until the next does not fit';
    };
}

for my $name (@names) {
    subtest "$name: reserve=off" => sub {
        $t->new_client;
        my @used = all_at_once("/loose/$name");
        my $used = sum0 @used;
        cmp_ok $used, '>=', LIMIT, 'all that there is and what is in flight passes';
        is $t->left("loose_$name"), 0, 'and nothing is left';
        is scalar(all_at_once("/loose/$name")), 0, 'then nothing passes';
    };
}

$t->stop;
done_testing;
