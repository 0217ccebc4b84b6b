# Tests wait= with policies in Redis: with sync=strict, requests of all nodes wait in one order, and no newcomer of any
# node goes before them; with a time, each node has queues of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time);

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
my $server = '127.0.0.1:' . $model->port;

# No answer of Redis is late, however busy this machine is.
my $head = 'ai_limit_redis ' . $redis->url . ' sync=strict timeout=30s connect_timeout=30s on_failure=';
my $conf = <<"CONF";
    ai_limit_policy steady key=\$arg_k rate=20r/s burst=1 wait=30s;
    ai_limit_policy slow   key=\$arg_k rate=2r/m  burst=1 wait=40s queue=20;
    ai_limit_policy narrow key=\$arg_k rate=1r/m  burst=1 wait=10m queue=20;
    ai_limit_policy slots  key=\$arg_k concurrency=1 wait=30s;
    ai_limit_policy tokens key=\$arg_k rate=1t/month burst=100 reserve=40 wait=30s;
    ai_limit_policy fair   key=\$arg_k rate=20r/s burst=1 wait=30s queue=100 share=\$arg_t;
    ai_limit_policy rest   key=\$arg_k rate=1t/month burst=100 wait=30s;
    ai_limit_policy here   key=\$arg_k rate=1r/m  burst=1 wait=10m sync=off;
    ai_limit_policy loose  key=\$arg_k rate=20r/s burst=1 wait=30s sync=50ms;
    add_header X-Wait \$ai_limit_wait_time always;
    add_header X-Passed \$msec always;

    server {
        listen 127.0.0.1:%%PORT_0%% backlog=4096;
        location /steady { ai_limit steady; empty_gif; }
        location /slow   { ai_limit slow; empty_gif; }
        location /narrow { ai_limit narrow; empty_gif; }
        location /fair   { ai_limit fair; empty_gif; }
        location /both   { ai_limit steady here; empty_gif; }
        location /loose  { ai_limit loose; empty_gif; }
        location /dry    { ai_limit narrow; ai_limit_dry_run on; empty_gif; }
        location /rest/ { ai_limit rest; ai_limit_max_output remaining; proxy_pass http://$server/; }
        location /tokens/ { ai_limit tokens; proxy_pass http://$server/; }
        location /v1/ { ai_limit slots; proxy_pass http://$server; proxy_buffering off; }
        location /ai_limit/ { ai_limit_api write=on; allow 127.0.0.1; deny all; }
    }
CONF

my @nodes = map { AiLimit::Nginx->start(http => "${head}local;\n$conf", workers => 2) } 1 .. NODES;
my @apis = map { AiLimit::Api->new($_->port) } @nodes;

sub begin { my ($node, $path, %more) = @_; return start_request($nodes[$node]->port, path => $path, %more) }

sub waiting { my ($node, $policy) = @_; return $apis[$node]->policy($policy)->{waits}{now} }

sub wait_for_waiting {
    my ($node, $policy, $count) = @_;
    my $is_so = wait_until(sub { waiting($node, $policy) == $count });
    is waiting($node, $policy), $count, "$count wait by $policy" if !$is_so;
    return $is_so;
}

# Begins requests one after the other on one node and another: each waits when the next one comes.
sub begin_in_turns {
    my ($policy, @asked) = @_;
    my (@requests, @waiting);
    for my $asked (@asked) {
        my ($node, $path, %more) = @$asked;
        push @requests, begin($node, $path, %more);
        wait_for_waiting($node, $policy, ++$waiting[$node]);
    }
    return @requests;
}

# Raises the limit of a key on all nodes, as an operator can.
sub raise {
    my ($policy, $key, $rate) = @_;
    $_->key(PUT => "policy=$policy&key=$key&rate=$rate&ttl=1h") for @apis;
    return;
}

# When it passed, or was answered by a model, by nginx's clock.
sub passed_at { return $_[0]->finish->{headers}{'x-passed'} // 0 }

sub order_of {
    my (@requests) = @_;
    my %at = map { $_ => passed_at($requests[$_]) } 0 .. $#requests;
    return [sort { $at{$a} <=> $at{$b} } keys %at];
}

subtest 'first come, first served, over all nodes' => sub {
    get($nodes[0]->port, '/narrow?k=first');
    my @requests = begin_in_turns('narrow', map { [$_ % NODES, '/narrow?k=first'] } 0 .. 8);
    raise('narrow', 'first', '10r/s');
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 9], 'all pass';
    is_deeply order_of(@requests), [0 .. 8], 'in the order in which they came, whichever node they came to';
};

subtest 'never faster than the limit' => sub {
    my $begun = time;
    my @requests = map { begin($_ % NODES, '/steady?k=rate') } 0 .. 29;
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 30], 'all pass';
    cmp_ok max(map { passed_at($_) } @requests) - $begun, '>=', 29 / 20 - 0.05, 'at the rate of all nodes together';
};

subtest 'one that cannot be served in time is refused at once' => sub {
    get($nodes[0]->port, '/slow?k=late');
    my ($waiting) = begin_in_turns('slow', [0, '/slow?k=late']);
    my $refused = begin(1, '/slow?k=late')->finish;
    is $refused->{status}, 429, 'for it would have its turn behind that of the other node';
    cmp_ok $refused->{headers}{'retry-after'}, '>', 31, 'it is told to come back behind that';
    is $refused->{headers}{'x-wait'}, '0.000', 'it has not waited';
    $waiting->abort;
    wait_for_waiting(0, 'slow', 0);
    ok wait_until(sub { !@{$redis->command('KEYS', '*slow:turns')} }), 'Redis learns that nobody waits there any more';
    my $next = begin(1, '/slow?k=late');
    ok wait_for_waiting(1, 'slow', 1), 'when the other one has gone, another has its place';
    $next->abort;
};

subtest 'a slot that ends on one node goes to the first one that waits on another' => sub {
    my $slots = AiLimit::Slots->new($nodes[0]);
    my $stream = $slots->take('s');
    my @requests = begin_in_turns('slots', map { [$_, '/v1/models?k=s&delay=50'] } 1, 2, 1);
    $stream->abort;
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 3], 'all pass';
    is_deeply order_of(@requests), [0 .. 2], 'in the order in which they came';
};

subtest 'a settlement on one node lets one go that waits on another' => sub {
    my %ask = (method => 'POST', body => '{"model":"m","messages":[{"role":"user","content":"hi"}]}');
    my $path = '/tokens/v1/chat/completions?k=t&prompt_tokens=1&completion_tokens=1&before=tokens';
    my @passing = map { begin($_, $path, %ask) } 0, 1;
    wait_until(sub { my (undef, $key) = $apis[0]->key(GET => 'policy=tokens&key=t'); ($key->{reserved} // 0) == 80 });
    my ($request) = begin_in_turns('tokens', [2, $path, %ask]);
    $model->open_gate('tokens', 3);
    is_deeply [map { $_->finish->{status} } @passing, $request], [(200) x 3], 'all pass';
    cmp_ok $request->finish->{headers}{'x-wait'}, '>', 0, 'after its wait';
};

subtest 'a request whose output is limited to what remains over all nodes' => sub {
    my %ask = (method => 'POST', body => '{"model":"m","max_tokens":5000,"messages":[{"role":"user","content":"hi"}]}');
    my $path = '/rest/v1/chat/completions?k=r&prompt_tokens=1&completion_tokens=1&before=rest';
    my $passing = begin(0, $path, %ask);
    wait_until(sub { my (undef, $key) = $apis[0]->key(GET => 'policy=rest&key=r'); ($key->{reserved} // 0) > 0 });
    my ($request) = begin_in_turns('rest', [1, $path, %ask]);
    $model->open_gate('rest', 2);
    is_deeply [map { $_->finish->{status} } $passing, $request], [200, 200], 'waits while nothing remains';
    cmp_ok $request->finish->{headers}{'x-wait'}, '>', 0, 'and passes when something has come back';
};

subtest 'a dry run' => sub {
    is get($nodes[0]->port, '/narrow?k=dry')->{status}, 200, 'the first one passes';
    is get($nodes[0]->port, '/dry?k=dry')->{headers}{'x-wait'}, '0.000', 'nobody waits on a dry run';
    is $redis->command('KEYS', '*narrow:turns')->[0], undef, 'nor holds up others';
};

subtest 'a reload of a node' => sub {
    my @requests = map { begin(0, '/steady?k=reload') } 0 .. 14;
    ok wait_until(sub { waiting(0, 'steady') > 5 }), 'requests wait';
    $nodes[0]->reload(http => "${head}local;\n$conf");
    push @requests, begin(1, '/steady?k=reload'), begin(0, '/steady?k=reload');
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 17], 'all have their turn';
    cmp_ok passed_at($requests[$_]), '>', max(map { passed_at($_) } @requests[0 .. 14]) - 0.01, 'those that come later at last' for 15, 16;
};

subtest 'a greedy sharer on one node does not hold up another one on another node' => sub {
    my @greedy = map { begin($_ % 2, '/fair?k=f&t=greedy') } 1 .. 30;
    wait_until(sub { waiting(0, 'fair') + waiting(1, 'fair') > 10 });
    my $modest = begin(2, '/fair?k=f&t=modest');
    is $modest->finish->{status}, 200, 'its request passes';
    my $served = passed_at($modest);
    is scalar(grep { $_->finish->{status} == 200 } @greedy), 30, 'all of the other one pass';
    my @between = grep { passed_at($_) > $modest->begun && passed_at($_) < $served } @greedy;
    cmp_ok scalar(@between), '<=', 4, 'a few of them before it';
};

subtest 'a client that leaves, and a node that is killed, hold up nobody' => sub {
    get($nodes[0]->port, '/narrow?k=leaves');
    my @waiting = begin_in_turns('narrow', map { [$_, '/narrow?k=leaves'] } 0, 1, 0);
    $waiting[0]->abort;
    wait_for_waiting(0, 'narrow', 1);
    raise('narrow', 'leaves', '1000r/s');
    is $waiting[$_]->finish->{status}, 200, 'those that have stayed pass' for 1, 2;

    my $other = AiLimit::Nginx->start(http => "${head}local;\n$conf", workers => 1);
    get($other->port, '/steady?k=killed');
    my @dying = map { start_request($other->port, path => '/steady?k=killed') } 1 .. 40;
    wait_until(sub { AiLimit::Api->new($other->port)->policy('steady')->{waits}{now} > 10 });
    $other->kill_all;
    my $next = begin(0, '/steady?k=killed')->finish;
    is $next->{status}, 200, 'a request passes whose forerunners waited on a node that was killed';
    cmp_ok $next->{headers}{'x-wait'}, '<', 5, 'without waiting for all of them';
};

subtest 'beside a policy of this node alone' => sub {
    is get($nodes[0]->port, '/both?k=b')->{status}, 200, 'the first one passes';
    my ($request) = begin_in_turns('here', [0, '/both?k=b']);
    is get($nodes[1]->port, '/both?k=b')->{status}, 200, 'another node has another count';
    $apis[0]->key(PUT => 'policy=here&key=b&rate=1000r/s&ttl=1h');
    is $request->finish->{status}, 200, 'one that waited for this policy is decided on in Redis at its turn';
};

subtest 'with a time as sync=' => sub {
    my @requests = map { begin(0, '/loose?k=l') } 1 .. 12;
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 12], 'requests wait as well';
};

subtest 'Redis goes away while requests wait' => sub {
    my $strict = AiLimit::Nginx->start(http => "${head}reject;\n$conf", workers => 1);
    my $stream = AiLimit::Slots->new($nodes[0])->take('g');
    my @waiting = (begin_in_turns('slots', [0, '/v1/models?k=g']), start_request($strict->port, path => '/v1/models?k=g'));
    wait_until(sub { AiLimit::Api->new($strict->port)->policy('slots')->{waits}{now} == 1 });
    $redis->stop;
    is $waiting[1]->finish->{status}, 503, 'with on_failure=reject a waiting request is refused';
    $stream->abort;
    is $waiting[0]->finish->{status}, 200, 'with on_failure=local the node serves it alone';
};

$_->stop for @nodes;
done_testing;
