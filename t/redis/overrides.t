# Tests that another limit of a key, which an operator sets on one nginx, is in force on all that share the policy within
# a second, is taken back there as well, and is known to one that was down meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;

my $redis = AiLimit::Redis->start;
my $head = 'ai_limit_redis ' . $redis->url . ' timeout=30s connect_timeout=30s sync=';
my $conf = <<'CONF';
    ai_limit_policy bucket key=$http_x_key rate=100kr/h;
    ai_limit_policy window key=$http_x_key rate=100kr/h algorithm=fixed_window;
    ai_limit_policy plan   key=$http_x_key rate=$http_x_rate;
    ai_limit_policy slots  key=$http_x_key concurrency=5;
    ai_limit_policy waits  key=$http_x_key rate=1r/5m burst=1 wait=10m;
    ai_limit_policy fair   key=all rate=100r/h share=$http_x_key;
    ai_limit_policy own    key=$http_x_key rate=100kr/h sync=off;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /bucket { ai_limit bucket; empty_gif; }
        location /window { ai_limit window; empty_gif; }
        location /plan   { ai_limit plan; empty_gif; }
        location /slots  { ai_limit slots; empty_gif; }
        location /waits  { ai_limit waits; empty_gif; }
        location /fair   { ai_limit fair; empty_gif; }
        location /own    { ai_limit own; empty_gif; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
my @nodes = map { start_node(sync => $_) } qw(strict 100ms strict);
my @apis = map { AiLimit::Api->new($_->port) } @nodes;
my @took;

for my $policy (qw(bucket window plan slots)) {
    subtest "a key of $policy is blocked" => sub {
        my $rate = $policy eq 'slots' ? 0 : '0r/m';
        my $query = "policy=$policy&key=sk-1234567890";
        is statuses($policy), '200 200 200', 'before';
        is +($apis[0]->key(PUT => "$query&rate=$rate&ttl=1h"))[0], 200, 'one node is asked';
        is status_of($nodes[0], $policy), 403, 'and blocks the key at once';
        comes(sub { statuses($policy) eq '403 403 403' }, 'all do');
        is status_of($nodes[1], $policy, 'sk-other'), 200, 'no other key is';
        is_deeply [map { shown($_, $policy) } @apis], [("sk-1\x{2026}7890 $rate") x 3], 'all show it, with the key shortened';
        is +($apis[2]->key(DELETE => $query))[0], 200, 'another node takes it back';
        is status_of($nodes[2], $policy), 200, 'and lets the key pass at once';
        comes(sub { statuses($policy) eq '200 200 200' }, 'all do');
        is_deeply [map { shown($_, $policy) } @apis], [], 'none shows it';
    };
}

subtest 'a key has more, then less, for a while' => sub {
    my $query = 'policy=bucket&key=more';
    is +($apis[1]->key(PUT => "$query&rate=500r/h&ttl=1h"))[0], 200, 'more';
    comes(sub { limits('bucket', 'more') eq '500 500 500' }, 'all know');
    is +($apis[2]->key(PUT => "$query&rate=7r/h&ttl=3s"))[0], 200, 'less';
    comes(sub { limits('bucket', 'more') eq '7 7 7' }, 'all know');
    ok wait_until(sub { join(' ', map { ($_->key(GET => $query))[0] } @apis) eq '404 404 404' }), 'its time ends everywhere';
    is_deeply [map { shown($_, 'bucket') } @apis], [], 'and what was before does not come back';
};

subtest 'a request that waits on another node' => sub {
    is status_of($nodes[1], 'waits'), 200, 'the first passes';
    my $waiting = start_request($nodes[1]->port, path => '/waits', headers => ['X-Key' => 'sk-1234567890']);
    ok wait_until(sub { $apis[1]->policy('waits')->{waits}{now} == 1 }), 'the next one waits for minutes';
    is +($apis[0]->key(PUT => 'policy=waits&key=sk-1234567890&rate=100r/s&ttl=1h'))[0], 200, 'with more room';
    is $waiting->finish->{status}, 200, 'it passes';
};

subtest 'who shares a key' => sub {
    my $part = sub { $apis[2]->policy('fair')->{sharers}[0]{part} // 'none' };
    is status_of($nodes[2], 'fair', 'somebody'), 200, 'a sharer is active';
    is $part->(), 100, 'and has the whole limit';
    is +($apis[0]->key(PUT => 'policy=fair&key=all&rate=10r/h&ttl=1h'))[0], 200, 'which is less now';
    comes(sub { $part->() == 10 }, 'as the other node shows');
};

subtest 'a policy that is not in Redis' => sub {
    is +($apis[0]->key(PUT => 'policy=own&key=sk-1234567890&rate=0r/m&ttl=1h'))[0], 200, 'one node blocks a key';
    is +($apis[0]->key(PUT => 'policy=bucket&key=mark&rate=0r/m&ttl=1h'))[0], 200, 'and one that is in Redis';
    comes(sub { join(' ', map { status_of($_, 'bucket', 'mark') } @nodes) eq '403 403 403' }, 'which all know');
    is statuses('own'), '403 200 200', 'it alone does';
};

subtest 'nodes that come and go' => sub {
    $nodes[2]->stop;
    is +($apis[0]->key(PUT => 'policy=bucket&key=down&rate=0r/m&ttl=1h'))[0], 200, 'a key is blocked while one is down';
    is +($apis[0]->key(DELETE => 'policy=bucket&key=mark'))[0], 200, 'and another one is not any more';
    $nodes[2]->launch;
    comes(sub { status_of($nodes[2], 'bucket', 'down') == 403 }, 'it knows when it comes back');
    is status_of($nodes[2], 'bucket', 'mark'), 200, 'what was taken back does not come back';
    comes(sub { status_of($nodes[1], 'bucket', 'down') == 403 }, 'as does one that was there');
    $nodes[1]->reload;
    is status_of($nodes[1], 'bucket', 'down'), 403, 'a reload forgets nothing';
    my $new = start_node(sync => 'strict');
    comes(sub { status_of($new, 'bucket', 'down') == 403 }, 'one that is new knows');
    is status_of($new, 'bucket', 'mark'), 200, 'all of it';
    $new->stop;
};

subtest 'a node with a state file' => sub {
    my $saved = start_node(sync => 'strict', zone => 'ai_limit_zone zone=default:4m state=%%DIR%%/state;');
    comes(sub { status_of($saved, 'bucket', 'down') == 403 }, 'knows of a key that is blocked');
    $saved->stop(graceful => 1);
    is +($apis[1]->key(DELETE => 'policy=bucket&key=down'))[0], 200, 'which is taken back while it is down';
    $saved->launch;
    comes(sub { status_of($saved, 'bucket', 'down') == 200 }, 'it learns of that, whatever its file says');
    $saved->stop;
};

subtest 'a user of Redis with few rights' => sub {
    my ($rights) = slurp("$FindBin::Bin/../../docs/redis-server.md") =~ /^user ai_limit on >PASSWORD (.*?)^```/ms;
    $redis->command('ACL', 'SETUSER', 'few', 'on', '>few', split ' ', $rights);
    $redis->command('ACL', 'LOG', 'RESET');
    my $few = AiLimit::Nginx->start(http => $head =~ s/sync=$/ user=few password=few sync=strict;/r . $conf);
    my $api = AiLimit::Api->new($few->port);
    is +($api->key(PUT => "policy=bucket&key=$_&rate=0r/m&ttl=1s"))[0], 200, "may block a key" for qw(one two);
    sleep 1.1;
    my @before = @{$redis->command('HKEYS', 'ai_limit:overrides:{all}')};
    is +($api->key(PUT => 'policy=bucket&key=three&rate=0r/m&ttl=1s'))[0], 200, 'and again';
    cmp_ok $redis->command('HLEN', 'ai_limit:overrides:{all}'), '<', @before, 'which clears away what is over';
    is +($api->key(DELETE => 'policy=bucket&key=three'))[0], 200, 'and take it back';
    is_deeply [grep { !/^script/ } map { my %entry = @$_; $entry{object} } @{$redis->command('ACL', 'LOG')}], [], 'with the rights that the documentation names';
    $few->stop;
};

subtest 'many keys' => sub {
    # Of its own, so that it has less room for what all have.
    $apis[1]->key(PUT => "policy=own&key=own-$_&rate=5r/h&ttl=1h") for 1 .. 9;
    my @keys = map { "many-$_" } 1 .. 200;
    for my $key (@keys) {
        my ($code) = $apis[0]->key(PUT => "policy=window&key=$key&rate=0r/m&ttl=1h");
        $code == 200 or return fail "$key: $code";
    }
    comes(sub { join(' ', map { scalar shown($_, 'window') } @apis) eq '200 200 200' }, 'more than one answer of Redis has');
    my $new = start_node(sync => 'strict');
    comes(sub { shown(AiLimit::Api->new($new->port), 'window') == 200 }, 'a new node learns all of them');
    is status_of($new, 'window', $_), 403, "$_ is blocked" for @keys[0, 99, 199];
    $new->stop;
    $apis[0]->key(PUT => "policy=window&key=$_&rate=0r/m&ttl=1h") for map { "more-$_" } 1 .. 100;
    my $known = $redis->command('HLEN', 'ai_limit:overrides:{all}');
    is +($apis[0]->key(PUT => 'policy=window&key=late&rate=0r/m&ttl=1h'))[0], 409, 'there is an end of them';
    is $redis->command('HLEN', 'ai_limit:overrides:{all}'), $known, 'and nothing is half done';
    ok wait_until(sub { shown($apis[2], 'window') > 240 }), 'another node knows the others';
    $nodes[1]->wait_for_log(qr/zone "\w+" has no room for the limit of a key of policy "window" that was set for all nginx: .*delete some/);
    my $lines = () = $nodes[1]->error_log =~ /has no room for the limit/g;
    cmp_ok $lines, '<=', 2, 'one that has less room says so, once a worker';
    for my $shown ('many', 'more') {
        $apis[2]->key(DELETE => "policy=window&key=$shown-$_") for 1 .. 200;
    }
    comes(sub { !grep { shown($_, 'window') } @apis }, 'all are taken back everywhere');
};

subtest 'Redis has no key, no secret and nothing for ever' => sub {
    is +($apis[0]->key(PUT => 'policy=bucket&key=sk-secret-of-ours&rate=0r/m&ttl=1h'))[0], 200, 'a key is blocked';
    my @texts = map { @{$redis->command('HGETALL', $_)} } 'ai_limit:overrides:{all}';
    is scalar(grep { /secret/ } @texts), 0, 'its text is not there';
    is scalar(grep { /sk-s.*ours/ } @texts), 1, 'but as the log shows it';
    is_deeply [grep { $redis->command('PTTL', $_) <= 0 } grep { /overrides/ } @{$redis->command('KEYS', '*')}], [], 'and all has an end';
};

subtest 'nonsense in Redis' => sub {
    my $now = $redis->command('TIME')->[0] * 1000;
    my $ends = $now + 3_600_000;
    my $hash = 'A' x 22;
    my $n = 0;
    for my $row (['', 'x'], ["$hash:r:bucket", ''], ["$hash:r:bucket", "$ends $ends"], ["$hash:r:nobody", "$ends $ends 0r/m x"],
        ["$hash:r:bucket", "$ends $ends 0r/m \xff\n5"], ["$hash:r:window", "$ends $ends 5t/h x"], ["$hash:x:bucket", "$ends $ends 0r/m x"],
        ["$hash:r:bucket" . 'y' x 5000, "$ends $ends 0r/m x"], ["$hash:r:plan", "99999999999999999999 $ends nonsense x"]) {
        $redis->command('HSET', 'ai_limit:overrides:{all}', @$row);
        $redis->command('ZADD', 'ai_limit:overrides:{all}:log', $now + 60_000 + $n++, $row->[0]);
    }
    is +($apis[0]->key(PUT => 'policy=bucket&key=behind&rate=0r/m&ttl=1h'))[0], 200, 'a key is blocked behind it';
    comes(sub { join(' ', map { status_of($_, 'bucket', 'behind') } @nodes) eq '403 403 403' }, 'all nodes know');
    for my $type (['SET', 'ai_limit:overrides:{all}:log', 'x'], ['SET', 'ai_limit:overrides:{all}', 'x']) {
        $redis->command('DEL', $type->[1]);
        $redis->command(@$type);
        my ($code, $said) = $apis[0]->key(PUT => 'policy=bucket&key=never&rate=0r/m&ttl=1h');
        is $code, 503, 'a change that Redis refuses is none';
        is status_of($nodes[0], 'bucket', 'never'), 200, 'here as well';
    }
    sleep 0.6;
    is statuses('bucket', 'behind'), '403 403 403', 'what the nodes know stays in force';
    $redis->command('DEL', 'ai_limit:overrides:{all}', 'ai_limit:overrides:{all}:log');
    is +($apis[2]->key(DELETE => 'policy=bucket&key=behind'))[0], 200, 'what Redis has lost can be taken back';
    comes(sub { statuses('bucket', 'behind') eq '200 200 200' }, 'on all nodes');
};

subtest 'Redis restarts' => sub {
    is +($apis[0]->key(PUT => 'policy=bucket&key=kept&rate=0r/m&ttl=1h'))[0], 200, 'a key is blocked';
    $redis->restart(keep => 1);
    my $new = start_node(sync => 'strict');
    comes(sub { status_of($new, 'bucket', 'kept') == 403 }, 'a Redis that persists tells new nodes');
    $new->stop;
};

subtest 'Redis is away' => sub {
    my %was = map { $_ => statuses('bucket', $_) } qw(kept away);
    $redis->stop(keep => 1);
    ok wait_until(sub { !grep { $_->status->{redis}{up} } @apis }), 'all notice';
    for my $query ('PUT policy=bucket&key=away&rate=0r/m&ttl=1h', 'DELETE policy=bucket&key=kept') {
        my ($method, $rest) = split / /, $query;
        my ($code, $said) = $apis[0]->key($method => $rest);
        is $code, 503, "$method is refused";
        like $said->{error}, qr/^Redis is not there: try again, nothing has changed$/, 'with the reason';
    }
    is_deeply {map { $_ => statuses('bucket', $_) } qw(kept away)}, \%was, 'nothing has changed';
    is +($apis[0]->key(PUT => 'policy=own&key=away&rate=0r/m&ttl=1h'))[0], 200, 'a policy that is not in Redis does not need it';
    $redis->launch;
    ok wait_until(sub { ($apis[0]->key(PUT => 'policy=bucket&key=away&rate=0r/m&ttl=1h'))[0] == 200 }), 'it is back';
    comes(sub { statuses('bucket', 'away') eq '403 403 403' }, 'and so is what it does');
};

subtest 'Redis hangs' => sub {
    my $quick = AiLimit::Nginx->start(http => ($head =~ s/(\w*timeout)=30s/$1=100ms/gr) . "strict;\n$conf");
    my $api = AiLimit::Api->new($quick->port);
    comes(sub { status_of($quick, 'bucket', 'away') == 403 }, 'a node that waits for a moment only');
    $redis->freeze;
    my ($code, $said) = $api->key(PUT => 'policy=bucket&key=hangs&rate=0r/m&ttl=1h');
    is $code, 503, 'refuses the change';
    like $said->{error}, qr/^Redis (?:does not answer: try again, the change is in force on all .* or on none|is not there: try again, nothing has changed)$/, 'and says what that means';
    $redis->thaw;
    sleep 0.6;
    comes(sub { statuses('bucket', 'hangs') eq join ' ', (status_of($quick, 'bucket', 'hangs')) x 3 }, 'all nodes have it, or none');
    $quick->stop;
};

$_->stop for @nodes;

subtest 'eight nodes' => sub {
    @nodes = map { start_node(sync => 'strict', workers => 1) } 1 .. 8;
    my $api = AiLimit::Api->new($nodes[0]->port);
    for my $try (1 .. 3) {
        $api->key(PUT => "policy=bucket&key=eight&rate=0r/m&ttl=1h");
        comes(sub { statuses('bucket', 'eight') eq join ' ', (403) x 8 }, 'a key is blocked on all');
        $api->key(DELETE => 'policy=bucket&key=eight');
        comes(sub { statuses('bucket', 'eight') eq join ' ', (200) x 8 }, 'and is not any more');
    }
    $_->stop for @nodes;
};

note sprintf '%d changes were in force on all nodes within %.0f ms', scalar @took, 1000 * max @took;
cmp_ok +(sort { $a <=> $b } @took)[@took / 2], '<', 1, 'half of the changes take less than a second, however busy this machine is';
done_testing;

sub start_node {
    my (%options) = @_;
    my $zone = $options{zone} // '';
    return AiLimit::Nginx->start(workers => $options{workers} // 2, http => "$head$options{sync};\n$zone\n$conf");
}

sub status_of {
    my ($nginx, $policy, $key) = @_;
    return get($nginx->port, "/$policy", Connection => 'close', 'X-Key' => $key // 'sk-1234567890', 'X-Rate' => '100kr/h')->{status};
}

# Of a key on each node.
sub statuses {
    my ($policy, $key) = @_;
    return join ' ', map { status_of($_, $policy, $key) } @nodes;
}

sub limits {
    my ($policy, $key) = @_;
    return join ' ', map { ($_->key(GET => "policy=$policy&key=$key"))[1]{limit} // 'none' } @apis;
}

sub slurp {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$file>;
}

# The overrides of a policy that a node shows.
sub shown {
    my ($api, $policy) = @_;
    return map { "$_->{key} $_->{rate}" } grep { $_->{policy} eq $policy } @{$api->status->{overrides}};
}

# Waits until that is true, and notes how long it takes.
sub comes {
    my ($condition, $name) = @_;
    my $begin = time;
    my $came = ok wait_until($condition), $name;
    push @took, time - $begin;
    return $came;
}
