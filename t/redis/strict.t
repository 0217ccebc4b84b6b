# Three nginx on one Redis, asked at the same time: exactly what a policy allows passes over all of them, and
# never one more, for each algorithm, alone and layered.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(sum0);
use Test::More;

use AiLimit::Crowd;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(PATIENCE wait_until);
use AiLimit::Redis;

use constant {NODES => 3, CONNECTIONS => 3 * 64, LIMIT => 100, SLOTS => 12, WIDE => 5000};

# It is noon there now: no window of a day ends while this test runs.
my $noon = sprintf '%+03d:00', 12 - (gmtime)[2];

my $model = AiLimit::ModelServer->start;
my $redis = AiLimit::Redis->start;
# No answer of Redis is late, however busy this machine is.
my $shared = 'ai_limit_redis ' . $redis->url . ' sync=strict timeout=30s connect_timeout=30s';

my $http = <<'CONF';
    ai_limit_zone zone=other:4m;
    ai_limit_zone zone=main:8m;

    ai_limit_policy bucket  key=$arg_k rate=1r/h burst=100                                zone=main;
    ai_limit_policy sliding key=$arg_k rate=100r/d algorithm=sliding_window               zone=main;
    ai_limit_policy fixed   key=$arg_k rate=100r/d algorithm=fixed_window tz=NOON         zone=main;
    ai_limit_policy slots   key=$arg_k concurrency=12                                     zone=main;

    # The tests read what is left of these policies by a request that takes nothing.
    map $arg_cost $cost { default $arg_cost; "" 1; }
    ai_limit_policy wide_bucket  key=$arg_k rate=1r/h burst=5000 cost=$cost                          zone=other;
    ai_limit_policy wide_sliding key=$arg_k rate=5kr/d algorithm=sliding_window cost=$cost           zone=main;
    ai_limit_policy wide_fixed   key=$arg_k rate=5kr/d algorithm=fixed_window tz=NOON cost=$cost     zone=main;
    ai_limit_policy wide_slots   key=$arg_k concurrency=5000                                         zone=other;

    ai_limit_policy early key=$arg_k rate=1r/h burst=150 zone=main phase=preaccess;
    ai_limit_policy tight key=$arg_k rate=1r/h burst=20  zone=main phase=preaccess;

    # Two keys in one request.
    ai_limit_policy by_a key=$arg_a rate=1r/h burst=400                  zone=main cost=$cost;
    ai_limit_policy by_b key=$arg_b rate=200r/d algorithm=sliding_window zone=main;

    # These policies belong to each nginx alone.
    ai_limit_policy here_10  key=$arg_k rate=1r/h burst=10  zone=main sync=off;
    ai_limit_policy here_100 key=$arg_k rate=1r/h burst=100 zone=main sync=off cost=$cost;
    ai_limit_policy seats    key=$arg_k concurrency=12      zone=main sync=off;

    ai_limit_policy trial      key=$arg_k rate=1r/h burst=30 zone=main dry_run cost=$cost;
    ai_limit_policy trial_slots key=$arg_k concurrency=12    zone=main dry_run;
    ai_limit_policy here_trial key=$arg_k rate=1r/h burst=10 zone=main dry_run sync=off;

    map $arg_plan $plan_rate  { default ""; free 1r/h; pro 50r/d; bad "many"; }
    map $arg_plan $plan_slots { default ""; free 1; pro 5; }
    ai_limit_policy plan       key=$arg_k rate=$plan_rate                          zone=main;
    ai_limit_policy plan_slots key=$arg_k concurrency=$plan_slots                  zone=main;
    ai_limit_policy priced     key=$arg_k rate=1r/h burst=100 cost=$arg_price      zone=main;
    ai_limit_policy seven      key=$arg_k rate=100r/d algorithm=sliding_window cost=7 zone=main;

    server {
        listen 127.0.0.1:%%PORT_0%% reuseport backlog=1024;
        add_header X-Worker $pid always;
        add_header X-Left "$ai_limit_remaining_wide_bucket $ai_limit_remaining_wide_sliding $ai_limit_remaining_wide_fixed";
        add_header X-Here "$ai_limit_remaining_here_100" always;

        location /bucket  { ai_limit bucket;  empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed;   empty_gif; }
        location /slots   { ai_limit slots;   proxy_pass http://model; }
        location /quick   { ai_limit slots;   empty_gif; }

        location /layered/bucket  { ai_limit wide_bucket wide_sliding bucket wide_fixed wide_slots;  empty_gif; }
        location /layered/sliding { ai_limit wide_slots sliding wide_fixed wide_sliding wide_bucket; empty_gif; }
        location /layered/fixed   { ai_limit fixed wide_bucket wide_slots wide_fixed wide_sliding;   empty_gif; }
        location /layered/slots   { ai_limit wide_bucket wide_fixed wide_slots wide_sliding slots; proxy_pass http://model; }
        location /wide            { ai_limit wide_bucket wide_sliding wide_fixed; empty_gif; }

        location /order/0 { ai_limit bucket sliding fixed; empty_gif; }
        location /order/1 { ai_limit fixed bucket sliding; empty_gif; }
        location /order/2 { ai_limit sliding fixed bucket; empty_gif; }

        location /two { ai_limit by_a by_b; empty_gif; }
        location /a   { ai_limit by_a; empty_gif; }

        location /phases       { ai_limit bucket early; empty_gif; }
        location /phases/tight { ai_limit tight wide_bucket wide_sliding wide_fixed wide_slots; empty_gif; }

        location /here/tight { ai_limit here_10 wide_bucket wide_sliding wide_fixed wide_slots; empty_gif; }
        location /here/wide  { ai_limit bucket here_100; empty_gif; }
        location /here/left  { ai_limit here_100; empty_gif; }
        location /seats      { ai_limit seats; proxy_pass http://model; }

        location /trial       { ai_limit trial wide_bucket; empty_gif; }
        location /trial/left  { ai_limit trial; empty_gif; }
        location /trial/slots { ai_limit trial_slots; empty_gif; }
        location /trial/here  { ai_limit here_trial bucket; empty_gif; }
        location /trial/all   { ai_limit bucket fixed; ai_limit_dry_run on; empty_gif; }

        location /plan   { ai_limit plan; empty_gif; }
        location /held   { ai_limit plan_slots; proxy_pass http://model; }
        location /priced { ai_limit priced; empty_gif; }
        location /seven  { ai_limit seven; empty_gif; }
    }
    upstream model { server 127.0.0.1:MODEL; }
CONF
my $port_of_model = $model->port;
$http =~ s/NOON/$noon/g;
$http =~ s/MODEL/$port_of_model/g;

sub start_node {
    my ($directive) = @_;
    return AiLimit::Nginx->start(http => "$directive;\n$http", workers => 2, log_level => 'notice',
        access_log => '$arg_k $ai_limit_status $ai_limit_policy');
}

my @nodes = map { start_node($shared) } 1 .. NODES;
my @ports = map { $_->port } @nodes;
my $keys = 0;

subtest 'each algorithm alone and among others' => \&test_exact;
subtest 'headers' => \&test_headers;
subtest 'requests in flight' => \&test_in_flight;
subtest 'policies in any order' => \&test_orders;
subtest 'two keys' => \&test_two_keys;
subtest 'two phases' => \&test_phases;
subtest 'another prefix' => \&test_prefixes;
subtest 'beside sync=off' => \&test_beside_local;
subtest 'dry runs' => \&test_dry_runs;
subtest 'rates from variables' => \&test_variables;
subtest 'costs' => \&test_costs;

$_->stop for @nodes;
is scalar(grep { $_->error_log =~ /is lost/ } @nodes), 0, 'all of it was decided in Redis';
done_testing;

# Sends so many requests over all nodes at once, and returns the answers.
sub all_at_once {
    my ($requests, $path, %o) = @_;
    my $all = many(\@ports, requests => $requests, connections => CONNECTIONS, keep => 1, path => $path, %o);
    is $all->{failed}, 0, 'all are answered';
    return $all;
}

sub passed { return grep { $_->{status} == 200 } @{$_[0]{responses}} }

sub remaining { return sort { $b <=> $a } map { $_->{headers}{'x-ratelimit-remaining'} } @_ }

# Returns what remains of the wide policies of a key.
sub left {
    my ($key) = @_;
    return get($ports[rand @ports], "/wide?k=$key&cost=0")->{headers}{'x-left'};
}

sub is_left {
    my ($key, $left, $name) = @_;
    # An nginx that refuses a request after all gives its charge back.
    wait_until(sub { left($key) eq "$left $left $left" });
    is left($key), "$left $left $left", $name;
    return;
}

sub test_exact {
    for my $algorithm (qw(bucket sliding fixed)) {
        my $key = 'k' . ++$keys;
        my $all = all_at_once(900, "/$algorithm?k=$key");
        is_deeply $all->{status}, {200 => LIMIT, 429 => 900 - LIMIT}, $algorithm;
        my %by = map { $_->{headers}{'x-worker'} => 1 } @{$all->{responses}};
        is keys %by, 2 * NODES, 'decided by all workers of all nodes';
        is_deeply [remaining(passed($all))], [reverse 0 .. LIMIT - 1], 'each shows another number that remains';
        my @wrong = grep { $_->{status} == 429 && !($_->{headers}{'x-ratelimit-remaining'} eq '0' && $_->{headers}{'retry-after'} > 0) }
            @{$all->{responses}};
        is scalar(@wrong), 0, 'a refusal shows that none remains, and when to come back';

        my $layered = all_at_once(900, "/layered/$algorithm?k=$key-layered");
        is_deeply $layered->{status}, {200 => LIMIT, 429 => 900 - LIMIT}, "$algorithm among others";
        is_left("$key-layered", WIDE - LIMIT, 'and what it refused took nothing from the others');
    }
    return;
}

sub test_headers {
    my %longest = (bucket => 3600, sliding => 86_400, fixed => 86_400);
    for my $algorithm (qw(bucket sliding fixed)) {
        my $key = 'k' . ++$keys;
        my @said = map { get($ports[$_ % NODES], "/$algorithm?k=$key") } 1 .. LIMIT + NODES;
        is_deeply [map { $_->{status} } @said], [(200) x LIMIT, (429) x NODES], "$algorithm: one node after the other";
        is_deeply [map { $_->{headers}{'x-ratelimit-remaining'} } @said], [reverse(0 .. LIMIT - 1), (0) x NODES],
            'what remains counts down over all nodes';
        is_deeply [grep { $_->{headers}{'x-ratelimit-limit'} ne LIMIT } @said], [], 'each shows the same limit';
        my @waits = map { $_->{headers}{'retry-after'} // 'none' } @said[LIMIT .. $#said];
        is scalar(grep { /^\d+$/ && $_ > $waits[0] - PATIENCE && $_ <= $waits[0] } @waits), NODES,
            'each that refuses tells the same wait';
        cmp_ok $waits[0], '<=', $longest{$algorithm}, 'which is not too long';
    }
    return;
}

# Sends this many requests at once, none of which ends by itself.
sub test_in_flight {
    for my $path ('/slots', '/layered/slots') {
        my $key = 'k' . ++$keys;
        my $before = $model->seen;
        my @sockets = map { send_request($ports[$_ % NODES], "$path?k=$key&delay=600000") } 1 .. CONNECTIONS;
        is statuses(CONNECTIONS - SLOTS, @sockets), 'all 429', "$path: the others are refused";
        wait_until(sub { $model->seen - $before >= SLOTS });
        is $model->seen - $before, SLOTS, 'and as many as there are slots reach the model';
        my ($flights) = grep { $redis->command('ZCARD', $_) == SLOTS } keys_of('slots:flights');
        ok $flights, 'Redis knows of each';
        is_left($key, WIDE - SLOTS, 'what was refused took nothing from the others') if $path ne '/slots';
        close $_ for @sockets;
        ok wait_until(sub { !$redis->command('EXISTS', $flights) }), 'when the clients are gone, it has forgotten all';
        for my $port (@ports) {
            ok wait_until(sub { get($port, "/quick?k=$key")->{headers}{'x-ratelimit-remaining'} == SLOTS - 1 }),
                'and each node has all slots';
        }
    }
    my $key = 'k' . ++$keys;
    my $all = all_at_once(600, "/quick?k=$key");
    is_deeply [sort keys %{$all->{status}}], [200, 429], 'quick requests share the slots';
    ok wait_until(sub { !keys_of('slots:flights') }), 'and give all of them back';
    return;
}

sub test_orders {
    my $key = 'k' . ++$keys;
    my $all = all_at_once(1200, sub { '/order/' . $_[0] % 3 . "?k=$key" });
    is_deeply $all->{status}, {200 => LIMIT, 429 => 1200 - LIMIT}, 'exactly the limit passes';
    return;
}

sub test_two_keys {
    my @pairs = map { my $a = $_; map { [$a, $_] } 0 .. 2 } 0 .. 2;
    my $pair = sub { $pairs[$_[0] * 7 % @pairs] };
    my $all = all_at_once(1200, sub { my ($a, $b) = @{$pair->($_[0])}; "/two?a=x$a&b=x$b" });
    my %passed;
    for my $i (0 .. 1199) {
        next if $all->{responses}[$i]{status} != 200;
        my ($a, $b) = @{$pair->($i)};
        $passed{"a$a"}++;
        $passed{"b$b"}++;
    }
    # Every b has 200 of 400 requests, before an a has had 400.
    is_deeply [@passed{qw(b0 b1 b2)}], [200, 200, 200], 'each key has what it is allowed';
    for my $n (0 .. 2) {
        is get($ports[$n], "/a?a=x$n&cost=0")->{headers}{'x-ratelimit-remaining'}, 400 - $passed{"a$n"},
            'and was charged for what passed only';
    }
    return;
}

sub test_phases {
    my $key = 'k' . ++$keys;
    # 150 more than `early` allows, of which `bucket` allows 100.
    my $all = all_at_once(300, "/phases?k=$key");
    is_deeply $all->{status}, {200 => LIMIT, 429 => 300 - LIMIT}, 'the tighter access phase decides';
    my %by;
    $by{$_}++ for map { $_->{body} =~ /"policy":"(\w+)"/ } @{$all->{responses}};
    is_deeply \%by, {bucket => 50, early => 150}, 'each phase refuses for itself';

    $all = all_at_once(300, "/phases/tight?k=$key");
    is_deeply $all->{status}, {200 => 20, 429 => 280}, 'the tighter preaccess phase decides';
    is_left($key, WIDE - 20, 'and what it refuses takes nothing from the later phase');
    return;
}

sub test_prefixes {
    my $key = 'k' . ++$keys;
    my $other = start_node("$shared prefix=other.one");
    my $all = many([@ports, $other->port], requests => 4 * LIMIT * 2, connections => 64, path => "/bucket?k=$key", keep => 1);
    my %passed;
    $passed{$_->{headers}{'x-worker'}}++ for passed($all);
    my $of_other = sum0 map { $passed{$_} // 0 } $other->workers;
    is_deeply [$of_other, $all->{status}{200}], [LIMIT, 2 * LIMIT], 'each has the whole limit';
    is scalar(grep { /^other\.one:\{/ } @{$redis->command('KEYS', '*')}), 1, 'and keys of its own';
    $other->stop;
    return;
}

sub test_beside_local {
    my $key = 'k' . ++$keys;
    my $all = all_at_once(300, "/here/tight?k=$key");
    is_deeply $all->{status}, {200 => 10 * NODES, 429 => 300 - 10 * NODES}, 'what each node allows for itself passes';
    is_left($key, WIDE - 10 * NODES, 'what a node refuses takes nothing in Redis');
    my $monitor = $redis->monitor;
    is_deeply [map { get($_, "/here/tight?k=$key")->{status} } @ports], [(429) x NODES], 'nothing more passes';
    is_deeply [grep { $_->[0] =~ /EVAL/i && "@$_" !~ /:units:/ } $monitor->commands], [], 'and Redis is not asked';

    $key = 'k' . ++$keys;
    $all = all_at_once(500, "/here/wide?k=$key");
    is_deeply $all->{status}, {200 => LIMIT, 429 => 500 - LIMIT}, 'what all together allow passes';
    my @left = map { get($_, "/here/left?k=$key&cost=0")->{headers}{'x-here'} } @ports;
    is sum0(@left), NODES * 100 - LIMIT, 'what Redis refuses takes nothing from any node';

    $key = 'k' . ++$keys;
    my $before = $model->seen;
    my @sockets = map { send_request($ports[$_ % NODES], "/seats?k=$key&delay=600000") } 1 .. CONNECTIONS;
    is statuses(CONNECTIONS - NODES * SLOTS, @sockets), 'all 429', 'slots of each node are its own';
    ok wait_until(sub { $model->seen - $before == NODES * SLOTS }), 'and all are used';
    is_deeply [keys_of('seats'), keys_of('here_10')], [], 'of which Redis knows nothing';
    return;
}

sub test_dry_runs {
    my $key = 'k' . ++$keys;
    my $all = all_at_once(200, "/trial?k=$key");
    is_deeply $all->{status}, {200 => 200}, 'a policy on a dry run refuses nobody';
    is_deeply said_of($key, 200), {'PASSED trial' => 30, 'REJECTED_DRY_RUN trial' => 170}, 'but says so, over all nodes';
    is((split / /, left($key))[0], WIDE - 200, 'the other one was charged for all');

    $key = 'k' . ++$keys;
    $all = all_at_once(300, "/trial/here?k=$key");
    is_deeply $all->{status}, {200 => LIMIT, 429 => 300 - LIMIT}, 'one that is local on a dry run beside one that is not';

    $key = 'k' . ++$keys;
    $all = all_at_once(300, "/trial/all?k=$key");
    is_deeply $all->{status}, {200 => 300}, 'all on a dry run';
    my %said = %{said_of($key, 300)};
    is sum0(map { $said{$_} } grep { /^PASSED / } keys %said), LIMIT, 'as many as may pass';
    is sum0(map { $said{$_} } grep { /^REJECTED_DRY_RUN / } keys %said), 300 - LIMIT, 'and the others would not have';
    is_deeply [map { get($ports[0], "/$_?k=$key")->{status} } qw(bucket fixed)], [429, 429], 'and all was charged as if they had not';

    $key = 'k' . ++$keys;
    $all = all_at_once(300, "/trial/slots?k=$key");
    is_deeply $all->{status}, {200 => 300}, 'slots on a dry run';
    ok wait_until(sub { !keys_of('trial_slots:flights') }), 'are given back';
    return;
}

sub test_variables {
    my $key = 'k' . ++$keys;
    is_deeply all_at_once(200, "/plan?k=$key&plan=pro")->{status}, {200 => 50, 429 => 150}, 'a rate';
    is_deeply all_at_once(50, "/plan?k=$key")->{status}, {200 => 50}, 'none';
    is_deeply all_at_once(50, "/plan?k=$key&plan=bad")->{status}, {200 => 50}, 'one that is none';
    is_deeply all_at_once(50, "/plan?k=$key-2&plan=free")->{status}, {200 => 1, 429 => 49}, 'another';
    is_deeply all_at_once(50, "/plan?k=$key-2&plan=pro")->{status}, {200 => 49, 429 => 1}, 'the first again, with what was used';

    my @held = map { send_request($ports[$_ % NODES], "/held?k=$key&plan=pro&delay=600000") } 1 .. 30;
    is statuses(25, @held), 'all 429', 'slots';
    is get($ports[0], "/held?k=$key&plan=free")->{status}, 429, 'of which a smaller plan has fewer';
    is get($ports[0], "/held?k=$key")->{status}, 404, 'or which do not apply';
    return;
}

sub test_costs {
    my $key = 'k' . ++$keys;
    is_deeply all_at_once(100, "/priced?k=$key&price=3")->{status}, {200 => 33, 429 => 67}, 'each costs three';
    is get($ports[1], "/priced?k=$key&price=2")->{status}, 429, 'one that costs more than remains';
    is get($ports[2], "/priced?k=$key&price=0")->{headers}{'x-ratelimit-remaining'}, 1, 'one that costs nothing';
    is get($ports[0], "/priced?k=$key&price=1")->{headers}{'x-ratelimit-remaining'}, 0, 'one that takes the last';
    is get($ports[1], "/priced?k=$key&price=101")->{status}, 400, 'one that can never fit';
    is_deeply all_at_once(100, "/seven?k=$key")->{status}, {200 => 14, 429 => 86}, 'each costs seven, in a window';
    return;
}

# {"STATUS policy" => n} of a key, when all of its requests are in the logs.
sub said_of {
    my ($key, $requests) = @_;
    my @lines;
    wait_until(sub { (@lines = map { $_->access_log =~ /^\Q$key\E (.*)$/mg } @nodes) >= $requests });
    my %said;
    $said{$_}++ for @lines;
    return \%said;
}

sub keys_of {
    my ($end) = @_;
    return grep { /:\Q$end\E$/ } @{$redis->command('KEYS', '*')};
}
