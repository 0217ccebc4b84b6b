package AiLimit::RedisFaults;

# nginx that share their limits through a Redis to which something happens under load.
#
#   my $t = AiLimit::RedisFaults->start(sync => '100ms', redis => $redis, proxy => $proxy, timeout => '10s');
#   $t->survives('LOADING', sub { $proxy->when('EVALSHA', error => 'LOADING') }, sub { $proxy->clear });
#
# Each is a subtest: requests come over keepalive connections all the while. With sync=strict there is one nginx, of
# which Redis decides on each request; with a time two that decide by their share.

use strict;
use warnings;

use Carp qw(croak);
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Load;
use AiLimit::Nginx;
use AiLimit::Patience;
use AiLimit::Shares;

# No test waits for it, but nobody who has it waits for long. TIGHT is used up.
use constant {BURST => 1_000_000, TIGHT => 100, WORKERS => 2};

my $rounds = 0;

# Options: redis, the AiLimit::Redis in the end; proxy, an AiLimit::FakeRedis before it; and of ai_limit_redis:
#   sync        strict or a time
#   url         where not the proxy's
#   timeout     of commands and of connecting
#   on_failure  local, if not said
#   parameters  more of them
#   http        more lines in http{}
#   locations   more of them
#   lost        1: it does not find Redis
sub start {
    my ($class, %o) = @_;
    my $prefix = 'ai_limit:' . ++$rounds;
    my $self = bless {on_failure => 'local', prefix => $prefix, %o}, $class;
    my $url = $o{url} // $o{proxy}->url;
    my $redis = "ai_limit_redis $url sync=$o{sync} prefix=$prefix timeout=$o{timeout} connect_timeout=$o{timeout}"
        . " on_failure=$self->{on_failure} " . ($o{parameters} // '');
    my $http = <<"CONF";
        $redis;
        ai_limit_policy quota key=\$arg_k rate=1r/month burst=@{[BURST]};
        ai_limit_policy tight key=\$arg_k rate=1r/month burst=@{[TIGHT]};
        ai_limit_log_level info;
        @{[$o{http} // '']}
        server {
            listen 127.0.0.1:%%PORT_0%%;
            add_header X-Worker \$pid always;
            location /limited { ai_limit quota; empty_gif; }
            location /tight { ai_limit tight; empty_gif; }
            location /free { empty_gif; }
            @{[$o{locations} // '']}
        }
CONF
    my $count = $self->by_share ? 2 : 1;
    $self->{nodes} = [map { AiLimit::Nginx->start(workers => WORKERS, log_level => 'notice', http => $http) } 1 .. $count];
    wait_for_shares($o{redis}, $prefix, '/limited?k=first', $self->ports) if $self->by_share && !$o{lost};
    return $self;
}

sub by_share { $_[0]{sync} ne 'strict' }
sub nodes    { @{$_[0]{nodes}} }
sub nginx    { $_[0]{nodes}[0] }
sub port     { $_[0]{nodes}[0]->port }
sub ports    { map { $_->port } $_[0]->nodes }
sub workers  { map { sort $_->workers } $_[0]->nodes }
sub stop     { my ($self, @how) = @_; $_->stop(@how) for $self->nodes; return }

# Redis is lost when on() is done, and back when off() is. Options:
#   lost    a regex of what the warning says
#   tried   1: it seems to be back now and then, and some ask in vain
#   forgets 1: Redis has lost its data
sub survives {
    my ($self, $name, $on, $off, %o) = @_;
    subtest $self->title($name) => sub {
        my @workers = $self->workers;
        my $seen = $self->seen;
        my $load = $self->start_load;
        my $tight = $self->use_some;

        $on->();
        $self->wait_for_log(qr/\[error\].* is lost/, $seen);
        $self->decides_alone(%o);
        $self->use_more($tight);

        my $connections = $self->connections;
        my $begin = time;
        $off->();
        $self->wait_for_log(qr/\[error\].* is back/, $seen);
        my $seconds = time - $begin;
        note sprintf 'back after %.2f s', $seconds;
        cmp_ok $seconds, '<', AiLimit::Nginx::PATIENCE / 2, 'Redis is found again when it is back';
        my $sent = $self->end_load($load);
        cmp_ok $self->connections - $connections, '<=', (2 + WORKERS + 4 * $seconds) * $self->nodes, 'without a herd'
            if $self->{proxy};
        $self->decides_in_redis;
        $self->has_counted($load, $sent) if !$o{forgets};
        $self->is_used_up($tight, %o);

        for my $lines ($self->lines($seen)) {
            is grep({ /\[error\].*Redis \S+ is lost: / } @$lines), 1, 'one line';
            is grep({ /\[error\].*Redis \S+ is back/ } @$lines), 1, 'one line says that it is back';
            is @$lines, 2, 'and nothing else is logged' or diag join "\n", @$lines;
            like join("\n", @$lines), $o{lost}, 'the warning says why' if $o{lost};
        }
        is_deeply [$self->workers], \@workers, 'no worker has ended';
    };
    return;
}

# Checks that the nodes report all requests to Redis whatever is done, and that nobody notices.
sub ignores {
    my ($self, $name, $what, %o) = @_;
    subtest $self->title($name) => sub {
        my @workers = $self->workers;
        my $seen = $self->seen;
        my $load = $self->start_load;
        $what->();
        my $sent = $self->end_load($load);
        is wait_for_used($self->{redis}, 'quota', $load->{key}, $sent, $self->{prefix}), $sent, 'each request is counted once';
        $self->decides_in_redis;
        is_deeply [map { @$_ } $self->lines($seen)], [], 'nothing is logged';
        is_deeply [$self->workers], \@workers, 'no worker has ended';
    };
    return;
}

sub title {
    my ($self, $name) = @_;
    return "$name, sync=$self->{sync}";
}

# Waits until Redis is called so often, or ten times that where it is asked for each request.
sub wait_for_calls {
    my ($self, $count) = @_;
    my $proxy = $self->{proxy};
    $count *= 10 if !$self->by_share;
    $proxy->wait_for_commands('EVALSHA', $proxy->count('EVALSHA') + $count);
    return;
}

# Checks that requests do not wait while Redis is lost: none of them asks Redis or reports to it.
sub decides_alone {
    my ($self, %o) = @_;
    my $status = $self->{on_failure} eq 'reject' ? 503 : 200;
    my $proxy = $self->{proxy};
    if ($proxy) {
        $self->ask(20);    # What was sent before has come.
        $proxy->forget for 1, 2;
    }
    my $connections = $self->connections;
    my $begin = time;
    my $result = $self->ask(200);
    my $seconds = time - $begin;
    is_deeply $result->{status}, {$status => 200}, "without Redis each request is answered by $status";
    is $result->{failed}, 0, 'and none fails';
    cmp_ok $seconds, '<', AiLimit::Nginx::PATIENCE / 2, 'soon';
    return if !$proxy || $o{tried};
    is $self->calls($_), 0, "none of them: $_" for qw(take tell);
    cmp_ok $self->calls('probe'), '<=', (4 + 4 * $seconds) * $self->nodes, 'Redis is looked for now and then';
    cmp_ok $self->connections - $connections, '<=', (4 + 4 * $seconds) * $self->nodes, 'by few connections';
    return;
}

# Checks that Redis decides on each request, or gets a report of it.
sub decides_in_redis {
    my ($self) = @_;
    my $proxy = $self->{proxy};
    $proxy->forget if $proxy;
    my $key = 'in-redis-' . ++$rounds;
    my $result = $self->ask(40, $key);
    is_deeply [@$result{qw(status failed)}], [{200 => 40}, 0], 'requests pass with Redis';
    is $self->calls('take'), $self->by_share ? 0 : 40, 'it is asked for each of them, or for none by share' if $proxy;
    is wait_for_used($self->{redis}, 'quota', $key, 40, $self->{prefix}), 40, 'and they are counted there';
    return;
}

# Redis decides again, where it was lost.
sub wait_until_back {
    my ($self, $seen) = @_;
    my $patience = AiLimit::Patience->new(AiLimit::Nginx::PATIENCE);
    while (1) {
        $self->ask(4);
        my @last = map { $_->[-1] // '' } $self->lines($seen);
        return if !grep { / is lost/ } @last;
        croak 'Redis is not found again' if $patience->is_over;
        sleep 0.01;
    }
}

# All nodes have found that it is lost.
sub wait_until_lost {
    my ($self, $seen) = @_;
    $self->{redis}->wait_for(sub {
        get($_, '/limited?k=wait') for $self->ports;
        return !grep { ($_->[-1] // '') !~ / is lost/ } $self->lines($seen);
    }, 'Redis to be lost');
    return;
}

# Sends `count` requests.
sub ask {
    my ($self, $count, $key) = @_;
    $key //= 'ask';
    return many([$self->ports], requests => $count, connections => 4, path => "/limited?k=$key");
}

# Returns the present size of each node's log.
sub seen {
    my ($self) = @_;
    return [map { length $_->error_log } $self->nodes];
}

sub wait_for_log {
    my ($self, $regex, $seen) = @_;
    my @nodes = $self->nodes;
    $nodes[$_]->wait_for_log($regex, $seen->[$_]) for 0 .. $#nodes;
    return;
}

# Returns the lines of each log since then that are worth a notice, without those of nginx itself about its processes.
sub lines {
    my ($self, $seen) = @_;
    my @nodes = $self->nodes;
    return map {
        my $text = substr $nodes[$_]->error_log, $seen ? $seen->[$_] : 0;
        [grep { /\[(?:warn|error|crit|alert|emerg)\]/ || /Redis/ } split /\n/, $text];
    } 0 .. $#nodes;
}

# Returns how often the proxy was called for that.
sub calls {
    my ($self, $word) = @_;
    return $self->{proxy}->count('EVALSHA', $word);
}

sub connections {
    my ($self) = @_;
    return $self->{proxy} ? $self->{proxy}->accepted : 0;
}

# --- what is counted

# Checks that the nodes have reported to Redis all that passed under load. A decision whose answer was lost is made once
# more at the node, so Redis has it twice; it has what nodes report by share once.
sub has_counted {
    my ($self, $load, $passed) = @_;
    my $exact = $self->by_share && $self->{on_failure} ne 'allow';
    my $used = sub { used($self->{redis}, 'quota', $load->{key}, $self->{prefix}) };
    if ($self->{on_failure} eq 'allow') {
        cmp_ok $used->(), '<=', $passed, 'of what passed, no more is counted';
    } else {
        $self->{redis}->wait_for(sub { $used->() >= $passed }, 'everything that passed to be reported');
        $exact ? is $used->(), $passed, 'everything that passed is reported to Redis' : pass 'everything that passed is reported to Redis';
    }
    return;
}

# Uses some of a limit, at one node after the other. Each node knows what the one before has reported.
sub use_some {
    my ($self) = @_;
    my $tight = {key => 'tight-' . ++$rounds, counted => 0, uncounted => 0, told_last => 0};
    my $count = 20;
    for my $node ($self->nodes) {
        $self->use_tight($tight, $node, $count, 200);
        $tight->{counted} += $count;
        $self->wait_for_tight($tight, $tight->{counted});
        $tight->{told_last} = $count if $node != $self->nginx;
        $count = 5;
    }
    return $tight;
}

# Some more while Redis is lost, which counts where nodes go on by themselves.
sub use_more {
    my ($self, $tight) = @_;
    my $on_failure = $self->{on_failure};
    my $count = 10;
    for my $node ($self->nodes) {
        $self->use_tight($tight, $node, $count, $on_failure eq 'reject' ? 503 : 200);
        $tight->{counted}   += $count if $on_failure eq 'local';
        $tight->{uncounted} += $count if $on_failure eq 'allow';
        $count = 30;
    }
    return;
}

sub use_tight {
    my ($self, $tight, $node, $count, $status) = @_;
    my $all = many($node->port, requests => $count, connections => 2, path => "/tight?k=$tight->{key}");
    is_deeply $all->{status}, {$status => $count}, "of the tight limit, $count are answered by $status";
    return;
}

# Waits until Redis counts the expected use of it.
sub wait_for_tight {
    my ($self, $tight, $expected) = @_;
    return wait_for_used($self->{redis}, 'tight', $tight->{key}, $expected, $self->{prefix});
}

# Uses up the rest when Redis is back: no more passes than nodes may let pass by their shares. A Redis that has lost its
# data learns all again but what only one of the nodes knew. A node that let something pass uncounted may still know of
# it.
sub is_used_up {
    my ($self, $tight, %o) = @_;
    my ($key, $counted, $uncounted) = @$tight{qw(key counted uncounted)};
    my $least = $counted - ($o{forgets} ? $tight->{told_last} : 0);
    my $used = sub { used($self->{redis}, 'tight', $key, $self->{prefix}) };
    $self->{redis}->wait_for(sub { $used->() >= $least }, 'the tight limit to be reported');
    my $known = $used->();
    cmp_ok $known, '<=', $counted + $uncounted, "Redis has counted what has passed, and nothing twice: $known of $counted";

    my $path = "/tight?k=$key";
    my $passed = many([$self->ports], requests => 150, connections => 8, path => $path)->{status}{200} // 0;
    for my $port (($self->ports) x 2) {
        $passed++ while get($port, $path)->{status} == 200;
    }
    cmp_ok $known + $passed, '>=', TIGHT - $uncounted, 'all of a limit passes';
    cmp_ok $known + $passed, '<=', TIGHT + bound(TIGHT, scalar $self->nodes), 'and no more than that and the bound';
    is $self->wait_for_tight($tight, $known + $passed), $known + $passed, 'each is reported' if !$uncounted;
    return;
}

# --- load

# Sends requests over keepalive connections, until end_load().
sub start_load {
    my ($self) = @_;
    my $key = 'load-' . ++$rounds;
    my %often = (requests => 50, connections => 5, pause => 0.03);
    my $load = {
        key     => $key,
        limited => AiLimit::Load->start([$self->ports], %often, path => "/limited?k=$key"),
        free    => AiLimit::Load->start([$self->ports], requests => 10, pause => 0.03, path => '/free'),
    };
    $load->{$_}->wait_until_begun for qw(limited free);
    return $load;
}

# Tests that each was answered as it should be -> how many of those that are limited passed.
sub end_load {
    my ($self, $load) = @_;
    my ($limited, $free) = map { $load->{$_}->end } qw(limited free);
    my $rejected = $self->{on_failure} eq 'reject' ? $limited->{status}{503} // 0 : 0;
    is_deeply [$limited->{passed} + $rejected, $free->{passed}], [$limited->{sent}, $free->{sent}],
        'all requests are answered, whatever happens' or diag explain [$limited, $free];
    return $limited->{passed};
}

1;
