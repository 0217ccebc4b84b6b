package AiLimit::RedisFaults;

# An nginx that shares its limits through a Redis to which something happens under load.
#
#   my $t = AiLimit::RedisFaults->start(proxy => $proxy, timeout => '10s');
#   $t->survives('LOADING', sub { $proxy->when('EVALSHA', error => 'LOADING') }, sub { $proxy->clear });
#
# Each is a subtest: requests come over keepalive connections all the while.

use strict;
use warnings;

use Carp qw(croak);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Nginx;

# No test waits for it, but nobody who has it waits for long.
use constant BURST => 1_000_000;

my $rounds = 0;

# Options: proxy, an AiLimit::FakeRedis; and of ai_limit_redis:
#   url         where not the proxy's
#   timeout     of commands and of connecting
#   on_failure  local, if not said
#   parameters  more of them
#   http        more lines in http{}
#   locations   more of them
sub start {
    my ($class, %o) = @_;
    my $self = bless {on_failure => 'local', %o}, $class;
    my $url = $o{url} // $o{proxy}->url;
    my $redis = "ai_limit_redis $url sync=strict timeout=$o{timeout} connect_timeout=$o{timeout}"
        . " on_failure=$self->{on_failure} " . ($o{parameters} // '');
    $self->{nginx} = AiLimit::Nginx->start(workers => 2, log_level => 'notice', http => <<"CONF");
        $redis;
        ai_limit_policy quota key=\$arg_k rate=1r/month burst=@{[BURST]};
        ai_limit_log_level info;
        @{[$o{http} // '']}
        server {
            listen 127.0.0.1:%%PORT_0%%;
            add_header X-Worker \$pid always;
            location /limited { ai_limit quota; empty_gif; }
            location /free { empty_gif; }
            @{[$o{locations} // '']}
        }
CONF
    return $self;
}

sub nginx { $_[0]{nginx} }
sub port  { $_[0]{nginx}->port }
sub stop  { my ($self, @how) = @_; return $self->{nginx}->stop(@how) }

# Redis is lost when on() is done, and back when off() is. Options:
#   lost    a regex of what the warning says
#   tried   1: it seems to be back now and then, and some ask in vain
sub survives {
    my ($self, $name, $on, $off, %o) = @_;
    subtest $name => sub {
        my @workers = sort $self->{nginx}->workers;
        my $seen = length $self->{nginx}->error_log;
        my $load = $self->start_load;
        $self->wait_for_load($load);

        $on->();
        $self->{nginx}->wait_for_log(qr/\[warn\].* is lost/, $seen);
        $self->decides_alone(%o);

        my $connections = $self->connections;
        my $begin = time;
        $off->();
        $self->{nginx}->wait_for_log(qr/\[notice\].* is back/, $seen);
        my $seconds = time - $begin;
        note sprintf 'back after %.2f s', $seconds;
        cmp_ok $seconds, '<', AiLimit::Nginx::PATIENCE / 2, 'Redis is found again when it is back';
        $self->end_load($load);
        cmp_ok $self->connections - $connections, '<=', 2 + 2 + 4 * $seconds, 'without a herd' if $self->{proxy};
        $self->decides_in_redis;

        my @lines = $self->lines($seen);
        is grep({ /\[warn\].*Redis \S+ is lost: / } @lines), 1, 'one warning';
        is grep({ /\[notice\].*Redis \S+ is back/ } @lines), 1, 'one notice';
        is @lines, 2, 'and nothing else is logged' or diag join "\n", @lines;
        like join("\n", @lines), $o{lost}, 'the warning says why' if $o{lost};
        is_deeply [sort $self->{nginx}->workers], \@workers, 'no worker has ended';
    };
    return;
}

# Whatever is done, Redis decides on all requests, and nobody notices.
sub ignores {
    my ($self, $name, $what, %o) = @_;
    subtest $name => sub {
        my @workers = sort $self->{nginx}->workers;
        my $seen = length $self->{nginx}->error_log;
        my $load = $self->start_load;
        $self->wait_for_load($load);
        $what->();
        my $sent = $self->end_load($load);
        is $self->used($load->{key}), $sent, 'each request is counted once';
        $self->decides_in_redis;
        is_deeply [$self->lines($seen)], [], 'nothing is logged';
        is_deeply [sort $self->{nginx}->workers], \@workers, 'no worker has ended';
    };
    return;
}

# While Redis is lost, requests wait for nothing: none of them asks.
sub decides_alone {
    my ($self, %o) = @_;
    my $status = $self->{on_failure} eq 'reject' ? 503 : 200;
    my $proxy = $self->{proxy};
    if ($proxy) {
        $self->ask(20);    # What was sent before has come.
        $proxy->forget;
    }
    my $connections = $self->connections;
    my $begin = time;
    my $result = $self->ask(200);
    my $seconds = time - $begin;
    is_deeply $result->{status}, {$status => 200}, "without Redis each request is answered by $status";
    is $result->{failed}, 0, 'and none fails';
    cmp_ok $seconds, '<', AiLimit::Nginx::PATIENCE / 2, 'soon';
    return if !$proxy || $o{tried};
    is $self->takes, 0, 'none of them asks';
    my @probes = grep { has_word($_, 'probe') } $proxy->commands;
    cmp_ok @probes, '<=', 4 + 4 * $seconds, 'Redis is looked for now and then';
    cmp_ok $self->connections - $connections, '<=', 4 + 4 * $seconds, 'by few connections';
    return;
}

# Each request is decided on in Redis.
sub decides_in_redis {
    my ($self) = @_;
    my $proxy = $self->{proxy};
    $proxy->forget if $proxy;
    my $key = 'in-redis-' . ++$rounds;
    my $result = $self->ask(40, $key);
    is_deeply [@$result{qw(status failed)}], [{200 => 40}, 0], 'requests pass with Redis';
    is $self->takes, 40, 'each of them asks' if $proxy;
    is $self->used($key), 40, 'and is counted there';
    return;
}

# Redis decides again, where it was lost.
sub wait_until_back {
    my ($self, $seen) = @_;
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    while (1) {
        $self->ask(4);
        my @said = substr($self->{nginx}->error_log, $seen) =~ /Redis \S+ is (lost|back)/g;
        return if !@said || $said[-1] eq 'back';
        croak 'Redis is not found again' if time > $deadline;
        sleep 0.01;
    }
}

# So many requests.
sub ask {
    my ($self, $count, $key) = @_;
    $key //= 'ask';
    return many($self->port, requests => $count, connections => 4, path => "/limited?k=$key");
}

# What is used by a key, one that looks not counted; 'nothing' where nothing is said.
sub used {
    my ($self, $key) = @_;
    my $left = get($self->port, "/limited?k=$key")->{headers}{'x-ratelimit-remaining'};
    return defined $left ? BURST - $left - 1 : 'nothing';
}

# Lines of the log that are worth a notice, but those of nginx itself about its processes.
sub lines {
    my ($self, $seen) = @_;
    my $text = substr $self->{nginx}->error_log, $seen;
    return grep { /\[(?:warn|error|crit|alert|emerg)\]/ || /Redis/ } split /\n/, $text;
}

# How often the proxy was asked to decide.
sub takes {
    my ($self) = @_;
    return scalar grep { has_word($_, 'take') } $self->{proxy}->commands;
}

sub has_word {
    my ($words, $word) = @_;
    return scalar grep { $_ eq $word } @$words;
}

sub connections {
    my ($self) = @_;
    return $self->{proxy} ? $self->{proxy}->accepted : 0;
}

# --- load

# A client of its own process, over keepalive connections, until end_load().
sub start_load {
    my ($self) = @_;
    my $key = 'load-' . ++$rounds;
    my $stop = $self->{nginx}->dir . "/stop-$key";
    my $pid = open(my $result, '-|') // croak "fork: $!";
    return AiLimit::RedisFaults::Load->new(pid => $pid, result => $result, stop => $stop, key => $key) if $pid;
    $| = 1;
    my (%status, $failed);
    my $rest = 0;
    while (!-e $stop) {
        my $result = many($self->port, requests => 60, connections => 6, path => sub {
            return $_[0] % 4 ? "/limited?k=$key" : '/free';
        });
        $status{$_} += $result->{status}{$_} for keys %{$result->{status}};
        $failed += $result->{failed};
        print "begun\n" if !$rest++;
        sleep 0.01;
    }
    print join(' ', $failed, %status), "\n";
    POSIX::_exit(0);
}

sub wait_for_load {
    my ($self, $load) = @_;
    return readline $load->{result};
}

# Tests that each was answered as it should be -> how many were limited.
sub end_load {
    my ($self, $load) = @_;
    $self->{nginx}->write_file($load->{stop} =~ s{.*/}{}r, '');
    my ($failed, %status) = split ' ', readline($load->{result}) // '';
    $load->stop;
    my $sum = 0;
    $sum += $_ for values %status;
    my %right = map { $_ => 1 } 200, $self->{on_failure} eq 'reject' ? 503 : ();
    is_deeply [$failed, grep { !$right{$_} } keys %status], [0], 'all requests are answered, whatever happens'
        or diag explain \%status;
    return $sum * 3 / 4;
}

package AiLimit::RedisFaults::Load;

sub new { my ($class, %self) = @_; return bless \%self, $class; }

# It ends with the object, too.
sub stop {
    my ($self) = @_;
    kill 'KILL', delete $self->{pid} // return;
    local ($?, $!);
    close $self->{result};
    return;
}

sub DESTROY { $_[0]->stop }

1;
