# Tests that each algorithm reserves tokens, charges them, and pays them off.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my %algorithms = (
    bucket  => 'rate=1t/month burst=1000',
    sliding => 'rate=1kt/month algorithm=sliding_window',
    fixed   => 'rate=1000t/12month algorithm=fixed_window',
    zoned   => 'rate=1000t/12month algorithm=fixed_window tz=+09:00',
);
my @names = sort keys %algorithms;
my ($policies, $locations) = ('', "location /all/ { ai_limit @names; proxy_pass http://model/; }\n");
for my $name (@names) {
    $policies .= "ai_limit_policy $name key=\$http_x_key $algorithms{$name} reserve=max;\n"
        . "ai_limit_policy loose_$name key=\$http_x_key $algorithms{$name} reserve=off;\n";
    $locations .= "location /$name/ { ai_limit $name; proxy_pass http://model/; }\n"
        . "location /loose/$name/ { ai_limit loose_$name; proxy_pass http://model/; }\n";
}
my $t = AiLimit::Tokens->start(
    left => [@names, map { "loose_$_" } @names], policies => $policies, locations => $locations,
);
my $chat = 'v1/chat/completions?prompt_tokens=20&completion_tokens=30';
my $whole = estimate() + 100;

for my $name (@names) {
    subtest "$name: $algorithms{$name}" => sub {
        $t->new_client;
        my $stream = $t->begin("/$name/$chat&gate=$name", chat(stream => 1, include_usage => 1, max_tokens => 100));
        is $stream->head, 200, 'a stream begins';
        is $t->left($name), 1000 - $whole, 'and reserves tokens';
        get($t->model->port, "/next?gate=$name") for 1 .. 10;
        $stream->finish;
        is $t->left($name), 950, 'it ends and is charged';
        is $t->ask("/$name/$chat", chat(max_tokens => 937))->{status}, 200, 'all that is left can be had';
        is $t->left($name), 900, 'and is given back';
        my $refused = $t->ask("/$name/$chat", chat(max_tokens => 888));
        is $refused->{status}, 429, 'one more cannot';
        ok $refused->{headers}{'retry-after'} > 0, 'until later';
        is $t->left($name), 900, 'and takes nothing';
        my $large = $t->ask("/$name/$chat", chat(text => 'x' x 4000));
        is $large->{status}, 400, 'a prompt that is larger than all';
        ok !exists $large->{headers}{'retry-after'}, 'never fits';
        my $other = $t->begin("/$name/$chat&gate=never", chat(stream => 1, max_tokens => 100));
        ok $other->wait_for_body(qr/Hello/), 'a stream that is left in its middle';
        $other->abort;
        my $charged = $t->logged($other)->{total};
        ok $charged >= estimate() + 1 && $charged <= estimate() + 2, 'costs what was seen';
        is $t->left_at_last(900 - $charged, $name), 900 - $charged, 'once';
    };

    subtest "$name, reserve=off" => sub {
        $t->new_client;
        my $path = "/loose/$name/v1/chat/completions?prompt_tokens=500&completion_tokens";
        is $t->ask("$path=499", chat())->{status}, 200, 'leaves one token';
        is $t->left("loose_$name"), 1, 'as the headers say';
        is $t->ask("$path=500", chat())->{status}, 200, 'with which another request passes';
        is $t->left("loose_$name"), 0, 'nothing remains';
        is $t->ask("$path=1", chat())->{status}, 429, 'the next is refused';
    };
}

subtest 'all at once' => sub {
    $t->new_client;
    $t->ask("/all/$chat", chat(max_tokens => 100));
    is_deeply [map { $t->left($_) } @names], [(950) x @names], 'are charged the same';
};

$t->stop;
done_testing;
