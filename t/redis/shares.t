# Tests nodes that decide by themselves as far as their share goes, and report to each other what they have counted:
# what waits for Redis and what does not, what Redis gets and when, and what is left when either has lost something.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::FakeRedis;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Redis;
use AiLimit::Shares;
use AiLimit::Tokens qw(chat);

use constant {LIMIT => 100, SHARE => 50, SECRET => 'sk-the-api-key-'};

# It is noon there now: no window of a day ends while this test runs.
my $noon = sprintf '%+03d:00', 12 - (gmtime)[2];
my $model = AiLimit::ModelServer->start;
my $redis = AiLimit::Redis->start;
my $monitor = $redis->monitor;
my $policies = <<"CONF";
    map \$arg_cost \$cost { default \$arg_cost; "" 1; }
    map \$arg_plan \$plan { default ""; free 10r/month; pro 40r/month; }

    ai_limit_policy bucket  key=\$arg_k rate=1r/month burst=100 cost=\$cost;
    ai_limit_policy sliding key=\$arg_k rate=100r/month algorithm=sliding_window;
    ai_limit_policy fixed   key=\$arg_k rate=100r/d algorithm=fixed_window tz=$noon;
    ai_limit_policy many    key=\$arg_k rate=1r/month burst=100000;
    ai_limit_policy plan    key=\$arg_k rate=\$plan;
    ai_limit_policy trial   key=\$arg_k rate=1r/month burst=30 dry_run;
CONF
my $locations = <<'CONF';
        listen 127.0.0.1:%%PORT_0%%;
        location /bucket  { ai_limit bucket;  empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed;   empty_gif; }
        location /layered { ai_limit many bucket sliding fixed; empty_gif; }
        location /many    { ai_limit many;  empty_gif; }
        location /plan    { ai_limit plan;  empty_gif; }
        location /trial   { ai_limit trial; empty_gif; }
CONF
my $http = <<"CONF";
$policies
    ai_limit_policy strict key=\$arg_k rate=1r/month burst=100 sync=strict;
    ai_limit_policy here   key=\$arg_k rate=1r/month burst=100 sync=off;
    ai_limit_policy quick  key=\$arg_k rate=1r/month burst=100 sync=1ms;
    ai_limit_policy later  key=\$arg_k rate=1r/month burst=100 sync=1s;
    ai_limit_policy slow   key=\$arg_k rate=1r/month burst=100 sync=10s;
    ai_limit_policy slots  key=\$arg_k concurrency=5;
    ai_limit_policy held   key=\$arg_k rate=1t/month burst=1000 reserve=max;
    ai_limit_policy counted key=\$arg_k rate=1t/month burst=1000 reserve=off;
    server {
$locations
        location /strict { ai_limit strict; empty_gif; }
        location /here   { ai_limit here;   empty_gif; }
        location /quick  { ai_limit quick;  empty_gif; }
        location /later  { ai_limit later;  empty_gif; }
        location /slow   { ai_limit slow;   empty_gif; }
        location /both   { ai_limit many strict; empty_gif; }
        location /seats  { ai_limit bucket slots; empty_gif; }
        location /slots/   { ai_limit slots;   proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /held/    { ai_limit held;    proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /counted/ { ai_limit counted; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
    }
CONF

my @proxies = map { AiLimit::FakeRedis->start(upstream => $redis) } 1, 2;
my @nodes = map { start_node($_->url, $http) } @proxies;
my ($proxy) = @proxies;
my ($one, $two) = @nodes;
my $keys = 0;
wait_for_shares($redis, 'ai_limit', '/many?k=first', map { $_->port } @nodes);

subtest "without waiting: $_" => sub { test_share($_) } for qw(bucket sliding fixed layered);
subtest 'what is reported' => \&test_telling;
subtest 'headers' => \&test_headers;
subtest 'requests that Redis decides' => \&test_strict;
subtest 'requests in flight' => \&test_in_flight;
subtest 'tokens that are counted when they are used' => \&test_counted;
subtest 'rates and costs from variables' => \&test_variables;
subtest 'a dry run' => \&test_dry_run;
subtest 'intervals' => \&test_intervals;
subtest 'a client that goes away while Redis is asked' => \&test_gone;
subtest 'a repeated report' => \&test_told_twice;
subtest 'SCRIPT FLUSH' => \&test_script_flush;
subtest "FLUSHALL: $_" => sub { test_flush($_) } for qw(bucket sliding fixed layered);
subtest 'a node that has just begun' => \&test_new_node;
subtest 'what Redis shows' => \&test_seen;
$_->stop for @nodes;

subtest "Redis is not there: $_" => sub { test_without($_) } for qw(local allow reject);
subtest "Redis comes back $_" => sub { test_back($_) } for 'with its data', 'without';
done_testing;

sub start_node {
    my ($url, $conf, %o) = @_;
    # No answer of Redis is late, however busy this machine is.
    my $parameters = $o{parameters} // 'timeout=60s connect_timeout=60s';
    return AiLimit::Nginx->start(http => "ai_limit_redis $url $parameters;\n$conf", workers => $o{workers} // 1,
        log_level => 'info', access_log => '$arg_k $ai_limit_status $ai_limit_policy');
}

sub new_key { return SECRET . ++$keys }

# Sends `count` requests, one after the other, and returns how many pass.
sub passes {
    my ($node, $policy, $key, $count) = @_;
    return sum0(map { get($node->port, "/$policy?k=$key")->{status} == 200 } 1 .. $count);
}

sub exhausts {
    my ($node, $policy, $key) = @_;
    my $passed = 0;
    $passed++ while get($node->port, "/$policy?k=$key")->{status} == 200;
    return $passed;
}

sub takes { return $proxy->count('EVALSHA', 'take') }

sub test_share {
    my ($policy) = @_;
    my $key = new_key();
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    is passes($one, $policy, $key, SHARE), SHARE, 'its share passes while Redis has answered nothing';
    is takes(), 0, 'and is not asked for';
    my $next = start_request($one->port, path => "/$policy?k=$key");
    $proxy->wait_for_commands('EVALSHA', 1, 'take');
    is length $next->{in}, 0, 'the next one waits for Redis';
    my $name = $policy eq 'layered' ? 'bucket' : $policy;
    is wait_for_used($redis, $name, $key, SHARE + 1), SHARE + 1, 'which knows of it, and has let it pass';
    $proxy->clear;
    $proxy->release;
    is $next->finish->{status}, 200, 'and lets it pass';
    is exhausts($one, $policy, $key), LIMIT - SHARE - 1, 'then all the rest passes, none at the other node';
    return;
}

sub test_telling {
    my $key = new_key();
    is passes($one, 'bucket', $key, 1), 1, 'a request passes';
    is wait_for_used($redis, 'bucket', $key, 1), 1, 'and is reported';
    is passes($one, 'slow', "$key-other", 1), 1, 'where the interval is long';
    is wait_for_used($redis, 'slow', "$key-other", 1), 1, 'the first one is reported soon';
    is passes($one, 'slow', "$key-other", 2), 2, 'others later';
    is passes($one, 'slow', $key, SHARE - 5), SHARE - 5, 'but where half of the share has gone';
    $redis->wait_for(sub { used($redis, 'slow', $key) >= SHARE / 2 }, 'the half to be reported');
    is used($redis, 'slow', "$key-other"), 1, 'it is reported before';
    is passes($two, 'bucket', $key, 2), 2, 'another node counts, too';
    is wait_for_used($redis, 'bucket', $key, 3), 3, 'and reports';
    $redis->wait_for(sub { left($two, $key) == LIMIT - 3 }, 'that node to hear');
    is left($one, $key), LIMIT - 1, 'this node learns of it with its next report';
    passes($one, 'bucket', $key, 1);
    $redis->wait_for(sub { left($one, $key) == LIMIT - 4 }, 'this node to hear');
    is left($one, $key), LIMIT - 4, 'as it does';
    is passes($one, 'layered', $key = new_key(), 5), 5, 'several policies';
    is wait_for_used($redis, $_, $key, 5), 5, "$_ is reported" for qw(many bucket sliding fixed);
    return;
}

# Returns what is left of the bucket as far as a node knows.
sub left {
    my ($node, $key) = @_;
    return get($node->port, "/bucket?k=$key&cost=0")->{headers}{'x-ratelimit-remaining'};
}

sub test_headers {
    for my $policy (qw(bucket sliding fixed)) {
        my $key = new_key();
        my @said = map { get($one->port, "/$policy?k=$key") } 1 .. LIMIT + 2;
        is_deeply [map { $_->{status} } @said], [(200) x LIMIT, (429) x 2], "$policy: all pass at one node";
        is_deeply [map { $_->{headers}{'x-ratelimit-remaining'} } @said], [reverse(0 .. LIMIT - 1), 0, 0],
            'what remains counts down, whoever has decided';
        is_deeply [grep { $_->{headers}{'x-ratelimit-limit'} ne LIMIT } @said], [], 'the limit is the whole one';
        is_deeply [map { $_->{headers}{'retry-after'} > 0 } @said[LIMIT, LIMIT + 1]], [1, 1], 'a refusal says when to come back';
    }
    return;
}

sub test_strict {
    my $key = new_key();
    for my $path (qw(strict both)) {
        $proxy->forget;
        is passes($one, $path, $key, 5), 5, "$path: requests pass";
        is takes(), 5, 'Redis is asked for each';
    }
    is_deeply [used($redis, 'strict', $key), used($redis, 'many', $key)], [10, 5], 'and has counted each when it is answered';
    $key = new_key();
    is sum0(map { passes($nodes[$_ % 2], 'both', $key, 1) } 1 .. LIMIT + 4), LIMIT, 'exactly the limit passes';
    is used($redis, 'many', $key), LIMIT, 'what is refused takes nothing from the policy by share';
    # The share decides on requests of `many` alone.
    is passes($one, 'many', $key, 3), 3, 'which is decided by share where it is alone';
    is wait_for_used($redis, 'many', $key, LIMIT + 3), LIMIT + 3, 'and counted with the rest';
    return;
}

sub test_in_flight {
    my $key = new_key();
    my @running = map { stream($nodes[$_ % 2], 'slots', $key) } 1 .. 5;
    is_deeply [map { $_->head } @running], [(200) x 5], 'as many run as there are slots';
    is_deeply [map { stream($_, 'slots', $key)->head } @nodes], [429, 429], 'and not one more at any node';
    $_->abort for @running;
    $redis->wait_for(sub { !grep { /slots:flights/ } keys_of($redis) }, 'the slots to be free');
    is passes($one, 'seats', $key, 3), 3, 'slots beside a policy by share';
    is used($redis, 'bucket', $key), 3, 'are decided in Redis, both';

    # Each reserves 13 for what it sends, and 200.
    $key = new_key();
    my @held = map { stream($nodes[$_ % 2], 'held', $key) } 1 .. 4;
    is_deeply [map { $_->head } @held], [(200) x 4], 'tokens are reserved for as many requests as there are tokens for';
    is_deeply [map { stream($_, 'held', $key)->head } @nodes], [429, 429], 'and not for one more at any node';
    $_->abort for @held;
    return;
}

sub stream {
    my ($node, $policy, $key) = @_;
    return start_request($node->port, method => 'POST', headers => ['Content-Type' => 'application/json'],
        body => chat(stream => 1, max_tokens => 237),
        path => "/$policy/v1/chat/completions?gate=$key&prompt_tokens=20&completion_tokens=22&k=$key");
}

sub test_counted {
    my $key = new_key();
    my $path = "/counted/v1/chat/completions?prompt_tokens=20&completion_tokens=22&k=$key";
    my $ask = sub { post($_[0]->port, $path, chat(), 'Content-Type' => 'application/json')->{status} };
    $proxy->forget;
    is $ask->($one), 200, 'an answer';
    is wait_for_used($redis, 'counted:t', $key, 42), 42, 'whose tokens are reported when it ends';
    is $ask->($two), 200, 'another node\'s';
    is wait_for_used($redis, 'counted:t', $key, 84), 84, 'are reported as well';
    is takes(), 0, 'without asking';
    my $passed = 2;
    $passed++ while $passed < 50 && $ask->($nodes[$passed % 2]) == 200;
    cmp_ok $passed, '>=', 24, 'requests pass while tokens are left';
    cmp_ok $passed, '<', 50, 'and then not any more';
    is wait_for_used($redis, 'counted:t', $key, 42 * $passed), 42 * $passed, 'everything used is reported';
    return;
}

sub test_variables {
    my $key = new_key();
    my $plan = sub { my ($node, $name) = @_; return get($node->port, "/plan?k=$key&plan=$name")->{status} };
    is_deeply [map { $plan->($one, 'pro') } 1 .. 41], [(200) x 40, 429], 'a rate';
    is wait_for_used($redis, 'plan', $key, 40), 40, 'which is reported';
    is $plan->($one, 'free'), 429, 'another one, with what was used';
    is $plan->($one, ''), 200, 'none';
    $key = new_key();
    is_deeply [map { $plan->($one, 'free') } 1 .. 11], [(200) x 10, 429], 'the smaller one';
    is_deeply [map { $plan->($one, 'pro') } 1 .. 31], [(200) x 30, 429], 'and then the larger one';
    is wait_for_used($redis, 'plan', $key, 40), 40, 'everything is reported';

    $key = new_key();
    my $cost = sub { my ($cost) = @_; return get($one->port, "/bucket?k=$key&cost=$cost")->{status} };
    is_deeply [map { $cost->(3) } 1 .. 34], [(200) x 33, 429], 'each costs three';
    is_deeply [map { $cost->($_) } 0, 2, 1, 0, 1], [200, 429, 200, 200, 429], 'and the last one one';
    is wait_for_used($redis, 'bucket', $key, LIMIT), LIMIT, 'everything is reported';
    $key = new_key();
    is_deeply [map { $cost->($_) } SHARE + 1, 101, LIMIT - SHARE - 1, 1], [200, 400, 200, 429], 'more than a share at once';
    is wait_for_used($redis, 'bucket', $key, LIMIT), LIMIT, 'reported as well';
    return;
}

sub test_dry_run {
    my $key = new_key();
    $proxy->forget;
    is passes($nodes[$_ % 2], 'trial', $key, 1), 1, 'nobody is refused' for 1 .. 100;
    my @lines;
    $redis->wait_for(sub { (@lines = map { $_->access_log =~ /^\Q$key\E (.*)$/mg } @nodes) >= 100 }, 'the logs');
    my $passed = grep { $_ eq 'PASSED trial' } @lines;
    is $passed + grep({ $_ eq 'REJECTED_DRY_RUN trial' } @lines), 100, 'but the log says which would be';
    cmp_ok $passed, '>=', 30, 'not before the limit';
    cmp_ok $passed, '<=', 60, 'and not long after';
    is takes(), 0, 'nobody waits for that';
    is wait_for_used($redis, 'trial', $key, $passed), $passed, 'what would have passed is reported';
    return;
}

sub test_intervals {
    my $key = new_key();
    is passes($one, $_, $key, 10), 10, "$_ lets pass" for qw(here quick later);
    is wait_for_used($redis, $_, $key, 10), 10, "$_ is reported" for qw(quick later);
    is_deeply [grep { /:here/ } keys_of($redis)], [], 'what each has for itself is not';
    is passes($two, 'here', $key, LIMIT), LIMIT, 'of which the other one knows nothing';
    return;
}

# It does not know how many there are.
# While Redis may pass what it is asked for, that is in no share.
sub test_gone {
    my $key = new_key();
    $proxy->when('EVALSHA', hold => 1);
    $proxy->forget;
    my $seen = length $one->error_log;
    my $request = start_request($one->port, path => "/bucket?k=$key&cost=60");
    $proxy->wait_for_commands('EVALSHA', 1, 'take');
    $request->abort;
    $one->wait_for_log(qr/client .*?closed connection/, $seen);
    $proxy->clear;
    $proxy->release;
    is wait_for_used($redis, 'bucket', $key, 60), 60, 'Redis has let it pass';
    is passes($one, 'bucket', $key, 1), 1, 'the next one passes';
    $redis->wait_for(sub { left($one, $key) == LIMIT - 61 }, 'this node to hear of both');
    $proxy->forget;
    is get($one->port, "/bucket?k=$key&cost=15")->{status}, 200, 'and then one that costs less than the share of the rest';
    is takes(), 0, 'without Redis, which is not asked any more for the one that is gone';
    return;
}

sub test_new_node {
    my $key = new_key();
    my $other = AiLimit::FakeRedis->start(upstream => $redis);
    $other->when('EVALSHA', word => 'heartbeat', hold => 1);
    my $node = start_node("redis://127.0.0.1:" . $other->port . '/0', $http);
    $other->wait_for_commands('EVALSHA', 1, 'heartbeat');
    my $first = start_request($node->port, path => "/bucket?k=$key");
    # The answer comes behind that to the heartbeat, on the same connection.
    $other->wait_for_commands('EVALSHA', 1, 'take');
    is length $first->{in}, 0, 'it asks Redis, and waits';
    $other->clear;
    $other->release;
    is $first->finish->{status}, 200, 'and then lets pass';
    is used($redis, 'bucket', $key), 1, 'what Redis has counted';
    $node->stop;
    return;
}

# Redis has executed the report, and the answer is lost.
sub test_told_twice {
    my ($key, $passed) = (new_key(), 0);
    for my $round (1 .. 3) {
        my $seen = length $one->error_log;
        my $heard = $proxy->count('EVALSHA', 'sync');
        $proxy->when('EVALSHA', word => 'sync', pass => 1, silent => 1, close => 1, times => 1);
        $passed += passes($one, 'many', $key, 20);
        $one->wait_for_log(qr/is lost/, $seen);
        is wait_for_used($redis, 'many', $key, $passed) > 0, 1, "round $round: Redis has the report";
        $proxy->clear;
        $redis->wait_for(sub { $passed += passes($one, 'many', $key, 1); substr($one->error_log, $seen) =~ /is back/ },
            'Redis to be found');
        is wait_for_used($redis, 'many', $key, $passed), $passed, 'and counts nothing twice';
    }
    $passed += passes($one, 'many', $key, 10);
    is wait_for_used($redis, 'many', $key, $passed), $passed, 'nor later';
    return;
}

sub test_script_flush {
    my ($key, $passed) = (new_key(), 0);
    for (1 .. 8) {
        my $all = many([map { $_->port } @nodes], requests => 200, connections => 8, path => "/many?k=$key");
        $passed += $all->{status}{200};
        $redis->command('SCRIPT', 'FLUSH');
    }
    is $passed, 1600, 'all pass';
    is wait_for_used($redis, 'many', $key, $passed), $passed, 'and each is counted once';
    unlike $_->error_log, qr/EVALSHA.*lost|NOSCRIPT/, 'without a word' for @nodes;
    return;
}

sub test_flush {
    my ($policy) = @_;
    my $key = new_key();
    my $name = $policy eq 'layered' ? 'sliding' : $policy;
    is passes($one, $policy, $key, 30), 30, 'one node uses 30';
    is wait_for_used($redis, $name, $key, 30), 30, 'which are reported';
    is passes($two, $policy, $key, 10), 10, 'the other one 10';
    is wait_for_used($redis, $name, $key, 40), 40, 'too';
    # Neither knows of more; the first one not of what the other one has used.
    my $passed = 40;
    for my $round (1 .. 2) {
        $redis->command('FLUSHALL');
        $passed += passes($one, $policy, $key, 1);
        $redis->wait_for(sub { used($redis, $name, $key) > 30 }, 'it to be seeded');
        $passed += passes($two, $policy, $key, 1);
        $redis->wait_for(sub { used($redis, $name, $key) > 40 }, 'the other one to tell what it knows');
    }
    # Redis loses its data in mid-load.
    for my $node (@nodes, @nodes) {
        my $all = many($node->port, requests => 10, connections => 4, path => "/$policy?k=$key");
        $passed += $all->{status}{200} // 0;
        $redis->command('FLUSHALL');
    }
    $passed += exhausts($_, $policy, $key) for @nodes, @nodes;
    note $passed - LIMIT, ' beyond the limit, of ', bound(LIMIT, 2);
    cmp_ok $passed, '>=', LIMIT, 'all that is allowed passes';
    cmp_ok $passed, '<=', LIMIT + bound(LIMIT, 2), 'and no more beyond it than if nothing had been lost';
    return;
}

sub test_seen {
    my @all = keys_of($redis);
    is_deeply [grep { $redis->command('PTTL', $_) <= 0 && $redis->command('EXISTS', $_) } @all], [], 'each key ends by itself';
    is_deeply [grep { !m{^ai_limit:(?:nodes|units:\{all\}:\w+:[rtc]|\{[A-Za-z0-9+/]{22}\}:\w+(?::t)?(?::nodes|:flights)?)$} } @all], [], 'keys are hashed';
    my $seen = join "\n", map { join ' ', @$_ } $monitor->commands;
    like $seen, qr/ sync /, 'the nodes have reported';
    is index($seen, SECRET), -1, 'but no key of any client';
    is index($_->error_log =~ s/(?:request|client sent|"GET|"POST)[^\n]*//gr, SECRET), -1, 'nor was the log' for @nodes;
    return;
}

sub server { return "$policies server { $locations }" }

sub test_without {
    my ($on_failure) = @_;
    my $other = AiLimit::Redis->start;
    my $parameters = "timeout=60s connect_timeout=60s on_failure=$on_failure";
    my %expected = (local => [(200) x LIMIT, 429, 429], allow => [(200) x (LIMIT + 2)], reject => [(503) x (LIMIT + 2)]);
    my $asks = sub { my ($node, $key) = @_; return [map { get($node->port, "/layered?k=$key")->{status} } 1 .. LIMIT + 2] };
    my $later = start_node($other->url, server(), parameters => $parameters);
    wait_for_shares($other, 'ai_limit', '/many?k=first', $later->port);
    is passes($later, 'layered', 'before', 10), 10, 'requests pass';
    $other->stop;
    my $first = start_node($other->url, server(), parameters => $parameters);
    for my $node ($first, $later) {
        # A node that does not know yet that Redis is lost finds out.
        $other->wait_for(sub { get($node->port, '/many?k=wait'); $node->error_log =~ /is lost/ }, 'the loss to be noticed');
        is_deeply $asks->($node, 'k'), $expected{$on_failure}, $node == $first ? 'from the start' : 'and later';
        is scalar(() = $node->error_log =~ /is lost/g), 1, 'which is said once';
    }
    is_deeply [@{$asks->($later, 'before')}[LIMIT - 12 .. LIMIT - 10]], [200, 200, 429], 'what was counted before is kept' if $on_failure eq 'local';
    $_->stop for $first, $later;
    return;
}

sub test_back {
    my ($how) = @_;
    my $keeps = $how eq 'with its data';
    my $other = AiLimit::Redis->start;
    my @two = map { start_node($other->url, server(), workers => 2) } 1, 2;
    wait_for_shares($other, 'ai_limit', '/many?k=first', map { $_->port } @two);
    is passes($two[0], 'layered', 'k', 10), 10, 'one uses 10';
    is wait_for_used($other, $_, 'k', 10), 10, "$_: which are reported" for qw(bucket sliding fixed);
    $other->stop(keep => $keeps);
    is_deeply [passes($two[0], 'layered', 'k', 30), passes($two[1], 'layered', 'k', 40)], [30, 40], 'without Redis they use 30 and 40';
    $other->launch;
    for my $node (@two) {
        $other->wait_for(sub { get($node->port, '/many?k=wait'); $node->error_log !~ /is lost(?!.*is back)/s }, 'Redis to be found');
    }
    for my $policy (qw(bucket sliding fixed)) {
        # One of the nodes knows what Redis has lost.
        $other->wait_for(sub { used($other, $policy, 'k') >= ($keeps ? 80 : 70) }, 'everything to be reported');
        my $used = used($other, $policy, 'k');
        $keeps ? is $used, 80, "$policy: everything is reported when Redis is back" : cmp_ok $used, '<=', 80, "$policy: everything is reported, and no more";
    }
    my $passed = 80 + sum0(map { exhausts($_, 'layered', 'k') } @two, @two);
    cmp_ok $passed, '>=', LIMIT, 'the rest passes';
    cmp_ok $passed, '<=', LIMIT + bound(LIMIT, 2), 'and little more';
    $_->stop for @two;
    return;
}
