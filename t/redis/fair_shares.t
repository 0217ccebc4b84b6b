# Tests share= with policies in Redis: with sync=strict a sharer has one part over all nodes; with a time each node
# divides what it may pass by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;
use AiLimit::Slots;

use constant NODES => 3;

my $model = AiLimit::ModelServer->start;
my $redis = AiLimit::Redis->start;

# The pools give nothing back while the test runs.
my $http = <<"CONF";
    ai_limit_redis @{[$redis->url]} sync=strict timeout=30s connect_timeout=30s on_failure=local;
    ai_limit_zone zone=main:1m;
    ai_limit_policy plain    key=\$arg_pool rate=100r/month algorithm=fixed_window;
    ai_limit_policy pool     key=\$arg_pool rate=100r/month algorithm=fixed_window share=\$arg_k;
    ai_limit_policy sliding  key=\$arg_pool rate=100r/month algorithm=sliding_window share=\$arg_k;
    ai_limit_policy bucket   key=\$arg_pool rate=100r/h share=\$arg_k;
    ai_limit_policy weighted key=\$arg_pool rate=100r/month algorithm=fixed_window share=\$arg_k weight=\$arg_weight;
    ai_limit_policy tokens   key=\$arg_pool rate=1000t/month algorithm=fixed_window reserve=100 share=\$arg_k;
    ai_limit_policy slots    key=all concurrency=8 share=\$arg_k;
    ai_limit_policy layer    key=all rate=1000r/h;
    ai_limit_policy loose    key=\$arg_pool rate=300r/month algorithm=fixed_window share=\$arg_k sync=50ms;
    upstream model { server 127.0.0.1:@{[$model->port]}; }
    server {
        listen 127.0.0.1:%%PORT_0%%;
        ai_limit_headers x-ratelimit;
        proxy_buffering off;
        location /plain    { ai_limit plain;    empty_gif; }
        location /pool     { ai_limit pool layer; empty_gif; }
        location /sliding  { ai_limit sliding;  empty_gif; }
        location /bucket   { ai_limit bucket;   empty_gif; }
        location /weighted { ai_limit weighted; empty_gif; }
        location /loose    { ai_limit loose;    empty_gif; }
        location /tokens/  { ai_limit tokens;   proxy_pass http://model/; }
        location /v1/      { ai_limit slots;    proxy_pass http://model; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
my @nodes = map { AiLimit::Nginx->start(http => $http, workers => 2) } 1 .. NODES;
my @modest = map { "modest-$_" } 1 .. 4;
my $turn = 0;

for my $place (qw(plain pool sliding)) {
    my %got = map { $_ => count($place, $_, 1) } @modest;
    $got{greedy} = count($place, 'greedy', 150);
    $got{$_} += count($place, $_, 19) for @modest;
    if ($place eq 'plain') {
        is $got{greedy}, 96, 'without share= a greedy client takes what the others have not yet';
        next;
    }
    cmp_ok $got{greedy}, '<=', 20, "$place: with share= it gets its part over all nodes";
    is $got{$_}, 20, "and $_ all 20 that it asks for" for @modest;
}

ask('bucket', 'modest', pool => 'lends') for 1 .. 5;
my @lent = map { ask('bucket', 'greedy', pool => 'lends') } 1 .. 100;
cmp_ok scalar(grep { $_->{status} == 200 } @lent), '>=', 90, 'what the others do not use is lent';
my ($refused) = grep { $_->{status} == 429 } @lent;
is $refused->{headers}{'x-ratelimit-remaining'}, 0, 'a refusal says that nothing remains for its sharer';
my $wait = $refused->{headers}{'retry-after'};
ok $wait >= 1 && $wait <= 3600, "and how long it has to wait: $wait seconds";
is ask('bucket', 'modest', pool => 'lends')->{status}, 200, 'while the other still passes';

ask('pool', $_, pool => 'says') for 'a', 'b';
is ask('pool', 'a', pool => 'says')->{headers}{'x-ratelimit-remaining'}, 48, 'an answer says what remains of the part';

ask('weighted', 'light', pool => 'w');
my $heavy = count('weighted', 'heavy', 100, pool => 'w', weight => 3);
is "$heavy of 3, " . (1 + count('weighted', 'light', 100, pool => 'w')) . ' of 1', '75 of 3, 25 of 1', 'parts follow the weights';

ask('tokens/v1/models', 'modest', pool => 't');
my $spent = 0;
$spent += completion('greedy', 90)->{status} == 200 for 1 .. 10;
is $spent, 5, 'tokens: the answers of a sharer use its part';
is completion('modest', 390)->{status}, 200, 'while the other can use its own';

my @slots = map { AiLimit::Slots->new($_) } @nodes;
my $first = $slots[0]->take('modest');
my @greedy = map { $slots[$_ % NODES]->take('greedy') } 1 .. 7;
is $slots[1]->try('modest'), 429, 'slots that are lent are not called back';
(shift @greedy)->abort;
my $second;
ok wait_until(sub { $second = $slots[2]->try('greedy') == 429 && try_slot('modest') }), 'one that comes back is for the sharer that needs it';
$_->abort for $first, $second, @greedy;

for my $node (@nodes) {
    my $api = AiLimit::Api->new($node->port);
    ok wait_until(sub { $api->status->{redis}{nodes} == NODES }), 'a node learns how many there are';
}
count('loose', $_, 3, pool => 'loose') for @modest;
my $taken = count('loose', 'greedy', 400, pool => 'loose');
my %rest = map { $_ => count('loose', $_, 40, pool => 'loose') } @modest;
cmp_ok $taken, '<', 200, "with a time as sync=: the greedy one gets $taken of 300";
cmp_ok $rest{$_}, '>=', 15, "and $_ $rest{$_} of 40 more" for @modest;

$redis->stop;
is ask_on(0, 'pool', 'greedy', pool => 'alone')->{status}, 200, 'without Redis each node goes on';

$_->stop for @nodes;
done_testing;

sub try_slot {
    my ($sharer) = @_;
    my $answer = eval { $slots[0]->take($sharer) };
    return $answer;
}

sub ask_on {
    my ($node, $place, $sharer, %arguments) = @_;
    my $more = join '', map { "&$_=$arguments{$_}" } sort keys %arguments;
    return get($nodes[$node]->port, "/$place?k=$sharer$more");
}

sub ask { return ask_on($turn++ % NODES, @_) }

# Returns how many of so many requests pass, of the pool `all` if no other one is named.
sub count {
    my ($place, $sharer, $requests, %arguments) = @_;
    return scalar grep { ask($place, $sharer, pool => 'all', %arguments)->{status} == 200 } 1 .. $requests;
}

# An answer that uses so many tokens.
sub completion {
    my ($sharer, $tokens) = @_;
    my $port = $nodes[$turn++ % NODES]->port;
    return post($port, "/tokens/v1/chat/completions?pool=t&k=$sharer&prompt_tokens=10&completion_tokens=$tokens",
        '{"model":"m","messages":[{"role":"user","content":"hi"}]}');
}
