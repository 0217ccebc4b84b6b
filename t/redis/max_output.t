# Tests `ai_limit_max_output remaining` over two nginx on one Redis: Redis says what remains, and no policy is ever
# exceeded by a server that obeys. Without Redis a node goes by what it knows itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use List::Util qw(sum0);
use Test::More;

use AiLimit::Http;
use AiLimit::Redis;
use AiLimit::Tokens;

use constant LIMIT => 2000;

my $redis = AiLimit::Redis->start;
my $policies = 'ai_limit_redis ' . $redis->url . " timeout=30s connect_timeout=30s on_failure=local;\n"
    . 'ai_limit_policy bucket key=$http_x_key rate=1t/month burst=' . LIMIT . " sync=strict reserve=max;\n"
    . 'ai_limit_policy fixed  key=$http_x_key rate=' . LIMIT . "t/12month algorithm=fixed_window sync=strict reserve=max;\n"
    . 'ai_limit_policy shared key=$http_x_key rate=1t/month burst=' . LIMIT . " sync=1s reserve=max;\n"
    . 'ai_limit_policy here   key=$http_x_key rate=1t/month burst=' . LIMIT . " sync=off reserve=max;\n";
my @names = qw(bucket fixed shared here);
my @nodes = map { AiLimit::Tokens->start(
    workers => 2,
    left => \@names,
    policies => $policies,
    server => 'ai_limit_max_output remaining;',
    locations => join('', map { "location /$_/ { ai_limit $_; proxy_pass http://model/; }\n" } @names)
        . 'location /all/ { ai_limit here bucket fixed; proxy_pass http://model/; }',
) } 1, 2;
my $chat = '/v1/chat/completions';

for my $name (qw(bucket fixed shared all)) {
    my $policy = $name eq 'all' ? 'bucket' : $name;
    subtest "$name: what another node has used" => sub {
        $_->new_client for @nodes;
        $nodes[0]->ask("/$name$chat?prompt_tokens=13&completion_tokens=387", chat(max_tokens => 387));
        # The other node is not asked, so that it knows nothing of the key.
        is $nodes[0]->left_at_last(LIMIT - 400, $policy), LIMIT - 400, 'is charged';
        my $answer = $nodes[1]->ask("/$name$chat?prompt_tokens=13&obeys=99999", chat());
        is $answer->{status}, 200, 'a request without a limit passes';
        is limit_sent($nodes[1]), LIMIT - 400 - estimate(), 'with what Redis says that remains';
        is $nodes[0]->left_at_last(0, $policy), 0, 'so that nothing is left';
        is $nodes[0]->ask("/$name$chat", chat())->{status}, 429, 'and the next one is refused';
    };
}

subtest 'many at once' => sub {
    for my $name (qw(bucket all)) {
        $_->new_client for @nodes;
        my $used = 0;
        for my $round (1 .. 6) {
            my $all = many([map { $_->port } @nodes], requests => 20, connections => 20, method => 'POST', keep => 1, deadline => 60,
                path => "/$name$chat?delay=50&prompt_tokens=13&obeys=4010",
                headers => ['X-Key' => $nodes[0]->key, 'Content-Type' => 'application/json'],
                body => sub { chat($_[0] % 3 ? (max_tokens => 200) : ()) });
            is $all->{failed}, 0, 'all are answered';
            $used += sum0 map { decode_json($_->{body})->{usage}{total_tokens} } grep { $_->{status} == 200 } @{$all->{responses}};
            cmp_ok $used, '<=', LIMIT, "$name: never use more than the limit";
            is $nodes[0]->left_at_last(LIMIT - $used, 'bucket'), LIMIT - $used, 'all that was used is charged';
        }
        is $used, LIMIT, 'until nothing is left';
    }
};

subtest 'without Redis' => sub {
    $redis->stop;
    $_->new_client for @nodes;
    my $answer = $nodes[0]->ask("/bucket$chat?prompt_tokens=13&obeys=700", chat());
    is $answer->{status}, 200, 'a request passes';
    is limit_sent($nodes[0]), LIMIT - estimate(), 'with what remains by the count of its node';
    $nodes[0]->ask("/bucket$chat?prompt_tokens=13&obeys=99999", chat());
    is limit_sent($nodes[0]), LIMIT - 713 - estimate(), 'and so does the next one';
    is $nodes[0]->ask("/bucket$chat", chat())->{status}, 429, 'until nothing is left';
};

$_->nginx->stop for @nodes;
done_testing;

sub limit_sent {
    my ($node) = @_;
    return decode_json(decode_json(get($node->model->port, '/last')->{body})->{body})->{max_completion_tokens};
}
