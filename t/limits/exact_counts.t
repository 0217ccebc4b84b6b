# Exactly what a policy allows passes, and never one more: for each algorithm, alone and
# layered, however many workers and connections there are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Crowd;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(PATIENCE wait_until);

use constant LIMIT => 60;
use constant SLOTS => 12;

# It is noon there now: no window of a day ends while this test runs.
my $noon = sprintf '%+03d:00', 12 - (gmtime)[2];

my $model = AiLimit::ModelServer->start;
my $http  = sprintf <<'CONF', $model->port, $model->port;
    ai_limit_zone zone=other:4m;
    ai_limit_zone zone=main:8m;

    ai_limit_policy bucket  key=$arg_k rate=1r/h burst=60                                 zone=main;
    ai_limit_policy sliding key=$arg_k rate=60r/d algorithm=sliding_window                zone=main;
    ai_limit_policy fixed   key=$arg_k rate=60r/d algorithm=fixed_window tz=__NOON__      zone=main;
    ai_limit_policy slots   key=$arg_k concurrency=12                                     zone=main;

    # The tests read what is left of these policies after others have refused.
    ai_limit_policy wide_bucket  key=$arg_k rate=1r/h burst=5000                          zone=other;
    ai_limit_policy wide_sliding key=$arg_k rate=5kr/d algorithm=sliding_window           zone=main;
    ai_limit_policy wide_fixed   key=$arg_k rate=5kr/d algorithm=fixed_window tz=__NOON__ zone=main;
    ai_limit_policy wide_slots   key=$arg_k concurrency=5000                              zone=other;

    ai_limit_policy early key=$arg_k rate=1r/h burst=100 zone=main phase=preaccess;
    ai_limit_policy tight key=$arg_k rate=1r/h burst=20  zone=main phase=preaccess;

    # Two keys in one request.
    ai_limit_policy by_a key=$arg_a rate=1r/h burst=400               zone=main;
    ai_limit_policy by_b key=$arg_b rate=300r/d algorithm=sliding_window zone=main;

    server {
        listen 127.0.0.1:%%%%PORT_0%%%% reuseport backlog=1024;
        add_header X-Worker $pid always;
        add_header X-Left
            "$ai_limit_remaining_wide_bucket $ai_limit_remaining_wide_sliding $ai_limit_remaining_wide_fixed $ai_limit_remaining_wide_slots";
        ai_limit_log_level info;

        location /bucket  { ai_limit bucket;  empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed;   empty_gif; }
        location /slots   { ai_limit slots;   proxy_pass http://127.0.0.1:%d/v1/models; }

        location /layered/bucket  { ai_limit wide_bucket wide_sliding bucket wide_fixed wide_slots;  empty_gif; }
        location /layered/sliding { ai_limit wide_slots sliding wide_fixed wide_sliding wide_bucket; empty_gif; }
        location /layered/fixed   { ai_limit fixed wide_bucket wide_slots wide_fixed wide_sliding;   empty_gif; }
        location /layered/slots {
            ai_limit wide_bucket wide_fixed wide_slots wide_sliding slots;
            proxy_pass http://127.0.0.1:%d/v1/models;
        }
        location /wide { ai_limit wide_bucket wide_sliding wide_fixed wide_slots; empty_gif; }

        location /order/0 { ai_limit bucket sliding fixed; empty_gif; }
        location /order/1 { ai_limit bucket fixed sliding; empty_gif; }
        location /order/2 { ai_limit sliding bucket fixed; empty_gif; }
        location /order/3 { ai_limit sliding fixed bucket; empty_gif; }
        location /order/4 { ai_limit fixed bucket sliding; empty_gif; }
        location /order/5 { ai_limit fixed sliding bucket; empty_gif; }

        location /two {
            ai_limit by_a by_b;
            add_header X-A $ai_limit_remaining_by_a;
            add_header X-B $ai_limit_remaining_by_b;
            empty_gif;
        }
        location /a { ai_limit by_a; empty_gif; }
        location /b { ai_limit by_b; empty_gif; }

        location /phases       { ai_limit bucket early; empty_gif; }
        location /phases/tight { ai_limit tight wide_bucket wide_sliding wide_fixed wide_slots; empty_gif; }
    }
CONF
$http =~ s/__NOON__/$noon/g;

my $port;
for my $workers (1, 2, 4) {
    my $nginx = AiLimit::Nginx->start(http => $http, workers => $workers, log_level => 'error');
    $port = $nginx->port;
    subtest "$workers workers" => sub {
        test_connections($_, $workers) for 1, 16, 256;
        test_in_flight($_) for 16, 256;
        test_phases();
        test_orders();
        test_two_keys();
    };
    $nginx->stop;
}
done_testing;

sub test_connections {
    my ($connections, $workers) = @_;
    my $key = "c$connections";
    for my $algorithm (qw(bucket sliding fixed)) {
        my $all = many($port, requests => 300, connections => $connections, keep => 1,
            path => "/$algorithm?k=$key");
        is_deeply $all->{status}, {200 => LIMIT, 429 => 300 - LIMIT},
            "$algorithm over $connections connections";
        my %by = map { $_->{headers}{'x-worker'} => 1 } @{$all->{responses}};
        is keys %by, $workers, 'decided by all workers' if $connections == 256;

        my $layered = many($port, requests => 300, connections => $connections,
            path => "/layered/$algorithm?k=$key-$algorithm");
        is_deeply $layered->{status}, {200 => LIMIT, 429 => 300 - LIMIT},
            "$algorithm among others over $connections connections";
        my $left = 5000 - LIMIT - 1;
        is left("$key-$algorithm"), "$left $left $left", 'and what it refused took nothing from the others';
    }
    my $one_by_one = many($port, requests => 30, path => "/slots?k=$key");
    is_deeply $one_by_one->{status}, {200 => 30}, 'slots come back' if $connections == 1;
    return;
}

# Returns what remains of the wide policies of a key, after one more request.
sub left {
    my ($key) = @_;
    my $answer = get($port, "/wide?k=$key");
    return ($answer->{headers}{'x-left'} // '') =~ s/ \d+$//r;
}

# Sends this many requests at once, none of which ends by itself.
sub test_in_flight {
    my ($count) = @_;
    for my $path ('/slots', '/layered/slots') {
        my $key = "f$count";
        my $before = $model->seen;
        my @sockets = map { send_request($port, "$path?k=$key&delay=600000") } 1 .. $count;
        is statuses($count - SLOTS, @sockets), 'all 429', "concurrency with $count at once: the others are refused";
        wait_until(sub { $model->seen - $before >= SLOTS });
        is $model->seen - $before, SLOTS, 'and as many as there are slots reach the model';
        close $_ for @sockets;
        my $free = SLOTS - 1;
        ok wait_until(sub { get($port, "/slots?k=$key&delay=0")->{headers}{'x-ratelimit-remaining'} == $free }),
            'the slots come back when the clients are gone';
        next if $path eq '/slots';
        my $left = 5000 - SLOTS - 1;
        is left($key), "$left $left $left", 'what was refused took nothing from the others';
    }
    return;
}

sub test_phases {
    # 20 more than `early` allows, of which `bucket` allows 60.
    my $all = many($port, requests => 120, connections => 16, keep => 1, path => '/phases?k=p');
    is_deeply $all->{status}, {200 => LIMIT, 429 => 120 - LIMIT}, 'two phases: the tighter access phase decides';
    my %by;
    $by{$_}++ for map { $_->{body} =~ /"policy":"(\w+)"/ } @{$all->{responses}};
    is_deeply \%by, {bucket => 40, early => 20}, 'each phase refuses for itself';

    $all = many($port, requests => 120, connections => 16, path => '/phases/tight?k=p');
    is_deeply $all->{status}, {200 => 20, 429 => 100}, 'two phases: the tighter preaccess phase decides';
    my $left = 5000 - 20 - 1;
    is left('p'), "$left $left $left", 'and what it refuses takes nothing from the later phase';
    return;
}

sub test_orders {
    my $all = many($port, requests => 1200, connections => 64, path => sub { "/order/" . $_[0] % 6 . '?k=o' });
    is $all->{failed}, 0, 'policies in any order: all are answered';
    is_deeply $all->{status}, {200 => LIMIT, 429 => 1200 - LIMIT}, 'and exactly the limit passes';
    return;
}

sub test_two_keys {
    my @pairs = map { my $a = $_; map { [$a, $_] } 0 .. 2 } 0 .. 2;
    my $pair = sub { $pairs[$_[0] * 7 % @pairs] };
    my $all = many($port, requests => 1800, connections => 64, keep => 1,
        path => sub { my ($a, $b) = @{$pair->($_[0])}; "/two?a=x$a&b=x$b" });
    is $all->{failed}, 0, 'pairs of keys: all are answered';
    my %passed;
    for my $i (0 .. 1799) {
        next if $all->{responses}[$i]{status} != 200;
        my ($a, $b) = @{$pair->($i)};
        $passed{"a$a"}++;
        $passed{"b$b"}++;
    }
    # Every b has 300 of 600 requests, before an a has had 400.
    is_deeply [@passed{qw(b0 b1 b2)}], [300, 300, 300], 'each key has what it is allowed';
    for my $n (0 .. 2) {
        is get($port, "/a?a=x$n")->{headers}{'x-ratelimit-remaining'}, 400 - $passed{"a$n"} - 1,
            'and was charged for what passed only';
    }
    return;
}
