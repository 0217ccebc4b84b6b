# Tests share= and weight=: a sharer of a key gets what it asks for up to its part, whatever the others ask for.

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
use AiLimit::Slots;

my $model = AiLimit::ModelServer->start;

# The pools give nothing back while the test runs.
my $conf = <<"CONF";
    ai_limit_zone zone=main:1m;
    ai_limit_policy plain    key=\$arg_pool rate=100r/month algorithm=fixed_window;
    ai_limit_policy pool     key=\$arg_pool rate=100r/month algorithm=fixed_window share=\$arg_k;
    ai_limit_policy bucket   key=\$arg_pool rate=100r/h share=\$arg_k;
    ai_limit_policy weighted key=\$arg_pool rate=100r/month algorithm=fixed_window share=\$arg_k weight=\$arg_weight;
    ai_limit_policy tokens   key=\$arg_pool rate=1000t/month algorithm=fixed_window reserve=100 share=\$arg_k;
    ai_limit_policy slots    key=all concurrency=8 share=\$arg_k;
    upstream model { server 127.0.0.1:@{[$model->port]}; }
    server {
        listen 127.0.0.1:%%PORT_0%%;
        ai_limit_headers x-ratelimit;
        proxy_buffering off;
        location /plain    { ai_limit plain;    empty_gif; }
        location /pool     { ai_limit pool;     empty_gif; }
        location /bucket   { ai_limit bucket;   empty_gif; }
        location /weighted { ai_limit weighted; empty_gif; }
        location /tokens/  { ai_limit tokens;   proxy_pass http://model/; }
        location /v1/      { ai_limit slots;    proxy_pass http://model; }
        location /ai_limit/ { ai_limit_api; }
    }
CONF
my @modest = map { "modest-$_" } 1 .. 4;

for my $workers (1, 2, 4, 8) {
    my $nginx = AiLimit::Nginx->start(http => $conf, workers => $workers);
    my %got = served($nginx, 'plain');
    is $got{greedy}, 96, "$workers workers: without share= a greedy client takes what the others have not yet";
    is $got{$_}, 1, "of which $_ gets nothing more" for @modest;
    %got = served($nginx, 'pool');
    is $got{greedy}, 20, 'with share= it gets its part';
    is $got{$_}, 20, "and $_ all 20 that it asks for" for @modest;
    $nginx->stop;
}

my $nginx = AiLimit::Nginx->start(http => $conf);

$_ = ask($nginx, 'bucket', 'modest', pool => 'lends') for 1 .. 5;
my @lent = map { ask($nginx, 'bucket', 'greedy', pool => 'lends') } 1 .. 100;
my $lent = grep { $_->{status} == 200 } @lent;
cmp_ok $lent, '>=', 90, 'what the others do not use is lent';
my ($refused) = grep { $_->{status} == 429 } @lent;
is $refused->{headers}{'x-ratelimit-remaining'}, 0, 'a refusal says that nothing remains for its sharer';
my $wait = $refused->{headers}{'retry-after'};
ok $wait >= 1 && $wait <= 3600, "and how long it has to wait: $wait seconds";
is ask($nginx, 'bucket', 'modest', pool => 'lends')->{status}, 200, 'while the other still passes';

ask($nginx, 'pool', $_, pool => 'says') for 'a', 'b';
is ask($nginx, 'pool', 'a', pool => 'says')->{headers}{'x-ratelimit-remaining'}, 48, 'an answer says what remains of the part';

ask($nginx, 'weighted', 'light', pool => 'w');
my $heavy = count($nginx, 'weighted', 'heavy', 100, pool => 'w', weight => 3);
is "$heavy of 3, " . (1 + count($nginx, 'weighted', 'light', 100, pool => 'w')) . ' of 1', '75 of 3, 25 of 1',
    'parts follow the weights, which variables may hold';

ask($nginx, 'weighted', 'x', pool => 'm', weight => '5x');
ask($nginx, 'weighted', 'y', pool => 'm', weight => 1);
is count($nginx, 'weighted', 'y', 100, pool => 'm'), 49, 'a malformed weight counts as 1';
my @logged = grep { /invalid weight/ } split /\n/, $nginx->error_log;
is @logged, 1, 'and is logged once';
like $logged[0], qr/invalid weight "5x" of policy "weighted": expected a whole number from 1 to 1000/, 'with what is wrong';

ask($nginx, 'pool', 'named', pool => 'e');
is count($nginx, 'pool', '', 100, pool => 'e'), 50, 'requests whose share= is empty are one sharer together';
is count($nginx, 'pool', 'named', 100, pool => 'e'), 49, 'beside others';

ask($nginx, 'tokens/v1/models', 'modest', pool => 't');
my $spent = 0;
$spent += completion($nginx, 'greedy', 90)->{status} == 200 for 1 .. 10;
is $spent, 5, 'tokens: the answers of a sharer use its part';
is completion($nginx, 'modest', 390)->{status}, 200, 'while the other can use its own';
is completion($nginx, 'modest', 10)->{status}, 200, 'as far as';
is completion($nginx, 'modest', 10)->{status}, 429, 'it goes';

my $api = AiLimit::Api->new($nginx->port);
my %policies = map { $_->{name} => $_ } @{$api->status->{policies}};
is_deeply [@{$policies{weighted}}{qw(share weight)}], ['$arg_k', '$arg_weight'], '/status shows share= and weight=';
is_deeply [@{$policies{pool}}{qw(share weight)}], ['$arg_k', '1'], 'with the preset';
ok !exists $policies{plain}{share}, 'only where there is one';

my $slots = AiLimit::Slots->new($nginx);
my $first = $slots->take('modest');
my @greedy = map { $slots->take('greedy') } 1 .. 7;
is $slots->try('modest'), 429, 'slots that are lent are not called back';
$nginx->reload(http => $conf);
(shift @greedy)->abort;
ok wait_until(sub { $api->policy('slots')->{in_flight} == 7 }), 'one comes back, also over a reload';
is $slots->try('greedy'), 429, 'which is not for the sharer that has its part';
my $second = $slots->take('modest');
ok $second, 'but for the one that needs it';
$_->abort for $first, $second, @greedy;

my @kept = ($slots->take('modest'), map { $slots->take('greedy') } 1 .. 3);
$nginx->kill_worker($nginx->serving_workers);
my $other = $slots->take('modest');
my @again = map { $slots->take('greedy') } 1 .. 4;
is scalar(@again), 4, 'the slots of a killed worker come back to their sharers';
$_->abort for $other, @again, @kept;

$nginx->stop;
done_testing;

sub ask {
    my ($nginx, $place, $sharer, %arguments) = @_;
    my $more = join '', map { "&$_=$arguments{$_}" } sort keys %arguments;
    return get($nginx->port, "/$place?k=$sharer$more");
}

# Returns how many of so many requests pass.
sub count {
    my ($nginx, $place, $sharer, $requests, %arguments) = @_;
    return scalar grep { ask($nginx, $place, $sharer, %arguments)->{status} == 200 } 1 .. $requests;
}

# Lets one sharer ask for all once it knows of four others, who then ask for their parts. Returns what each got.
sub served {
    my ($nginx, $place) = @_;
    my %got = map { $_ => count($nginx, $place, $_, 1, pool => 'all') } @modest;
    $got{greedy} = count($nginx, $place, 'greedy', 150, pool => 'all');
    $got{$_} += count($nginx, $place, $_, 19, pool => 'all') for @modest;
    return %got;
}

sub completion {
    my ($nginx, $sharer, $output) = @_;
    return post($nginx->port, "/tokens/v1/chat/completions?pool=t&k=$sharer&prompt_tokens=10&completion_tokens=$output",
        '{"model":"m","messages":[{"role":"user","content":"Hi"}]}');
}
