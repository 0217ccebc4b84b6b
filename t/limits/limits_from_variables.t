# A rate, a number of slots and a cost may come from a variable, so that clients have
# plans of their own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(http => sprintf <<'CONF', $model->port);
    map $http_x_plan $plan { default $http_x_plan; free 2r/d; pro 5r/d; staff ""; blocked 0r/m; }

    ai_limit_policy bucket  key=$http_x_key rate=$plan;
    ai_limit_policy sliding key=$http_x_key rate=$plan algorithm=sliding_window;
    ai_limit_policy fixed   key=$http_x_key rate=${http_x_plan} algorithm=fixed_window;
    ai_limit_policy periods key=$http_x_key rate=$http_x_plan algorithm=fixed_window;
    ai_limit_policy text    key=$http_x_key rate=${http_x_count}r/$http_x_period;
    ai_limit_policy burst   key=$http_x_key rate=$plan burst=3;
    ai_limit_policy slots   key=$http_x_key concurrency=$http_x_slots;

    ai_limit_policy one     key=$http_x_key rate=1r/h burst=10 cost=1;
    ai_limit_policy three   key=$http_x_key rate=1r/h burst=10 cost=3;
    ai_limit_policy nothing key=$http_x_key rate=1r/h burst=10 cost=0;
    ai_limit_policy huge    key=$http_x_key rate=1r/h burst=10 cost=999999999999999999999999;
    ai_limit_policy asked   key=$http_x_key rate=1r/h burst=10 cost=$http_x_cost;
    ai_limit_policy weighed key=$http_x_key rate=10r/d cost=$http_x_cost algorithm=sliding_window;

    ai_limit_policy default_burst key=$http_x_key rate=60r/h;
    ai_limit_policy small_burst   key=$http_x_key rate=60r/h burst=2;
    ai_limit_policy part_burst    key=$http_x_key rate=0.01r/m;

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        add_header X-Status $ai_limit_status always;

        location /bucket  { ai_limit bucket;  empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed;   empty_gif; }
        location /periods { ai_limit periods; empty_gif; }
        location /text    { ai_limit text;    empty_gif; }
        location /burst   { ai_limit burst;   empty_gif; }
        location /slots   { ai_limit slots;   proxy_pass http://127.0.0.1:%d/v1/models; }
        location /one     { ai_limit one;     empty_gif; }
        location /three   { ai_limit three;   empty_gif; }
        location /nothing { ai_limit nothing; empty_gif; }
        location /huge    { ai_limit huge;    empty_gif; }
        location /asked   { ai_limit asked;   empty_gif; }
        location /weighed { ai_limit weighed; empty_gif; }
        location /default_burst { ai_limit default_burst; empty_gif; }
        location /small_burst   { ai_limit small_burst;   empty_gif; }
        location /part_burst    { ai_limit part_burst;    empty_gif; }
    }
CONF
my $keys = 0;

subtest 'white space around a header changes no plan' => sub {
    is_deeply [map { get($nginx->port, '/bucket', 'X-Key' => 'spaces', 'X-Plan' => $_)->{status} } 'blocked', "blocked\t", "\tblocked"],
        [(403) x 3], 'that a map makes of it';
    is_deeply [map { get($nginx->port, '/periods', 'X-Key' => 'spaces', 'X-Plan' => $_)->{status} } '0r/m', "0r/m\t", "\t0r/m"],
        [(403) x 3], 'that it is';
    is_deeply [map { get($nginx->port, '/slots', 'X-Key' => 'spaces', 'X-Slots' => $_)->{status} } '0', "0\t"], [(403) x 2], 'nor slots';
};

subtest 'plans' => sub {
    for my $path ('/bucket', '/sliding') {
        $keys++;
        is passes($path, 'X-Plan' => 'free'), 2, "$path: free";
        # A change of the limit does not give back what was used.
        is passes($path, 'X-Plan' => 'pro'), 3, 'pro has three more';
        is passes($path, 'X-Plan' => 'free'), 0, 'and back with free there is none left';
        $keys++;
        is passes($path, 'X-Plan' => 'pro'), 5, 'pro alone';
    }
    $keys++;
    is passes('/text', 'X-Count' => 3, 'X-Period' => 'd'), 3, 'a rate of several variables';
    $keys++;
    is passes('/burst', 'X-Plan' => 'pro'), 3, 'burst= stays what it is';
};

subtest 'an empty variable does not limit' => sub {
    $keys++;
    my $staff = ask('/bucket', 'X-Plan' => 'staff');
    is $staff->{headers}{'x-status'}, undef, 'nothing is decided';
    is $staff->{headers}{'x-ratelimit-limit'}, undef, 'and no headers are sent';
    is passes('/bucket', 'X-Plan' => 'staff'), 9, 'whatever the number';
    is passes('/slots'), 9, 'slots too';
    is passes('/bucket', 'X-Plan' => 'free'), 2, 'nor does it count';
};

subtest 'a malformed rate is logged, counted, and does not limit' => sub {
    my @wrong = ('lots', '5', '5r', '5r/', '-5r/m', '5r/fortnight', '5 r/m', '1.r/m', '5x/m', '$5r/m', '1e3r/m',
        '9999999999999999999999r/m', 'x' x 2000);
    my $mistakes = 0;
    for my $rate (@wrong) {
        is ask('/bucket', 'X-Plan' => $rate)->{status}, 200, shown($rate) . ' passes';
        $mistakes++;
        like last_line(), qr/invalid rate "\Q@{[substr $rate, 0, 30]}\E.*" of policy "bucket": .*; mistakes so far: $mistakes,/,
            'and is logged';
    }
    is ask('/fixed', 'X-Plan' => '0.5r/s')->{status}, 200, 'a rate that this algorithm cannot have passes';
    like last_line(), qr/invalid rate "0.5r\/s" of policy "fixed": .*; mistakes so far: 1,/, 'and is logged for its policy';
    for my $slots ('many', '-1', '1.5', '4k') {
        is ask('/slots', 'X-Slots' => $slots)->{status}, 200, "$slots slots pass";
        like last_line(), qr/invalid concurrency "\Q$slots\E" of policy "slots"/, 'and are logged';
    }
    ask('/bucket', 'X-Plan' => "a\x1b[31m\"\\\xff");
    like last_line(), qr/invalid rate "a\\x1B\[31m\\x22\\x5C\\xFF" of/, 'what is no plain text is escaped';
};

subtest 'a rate of zero refuses for good' => sub {
    for (['/bucket', 'X-Plan' => 'blocked'], ['/sliding', 'X-Plan' => 'blocked'], ['/slots', 'X-Slots' => 0]) {
        my ($path, @header) = @$_;
        refuses_for_good(ask($path, @header), $path, 403);
    }
};

subtest 'a fifth period is logged, as it shares a count' => sub {
    my $key = 'periods';
    my $line = qr/\[error\] .*policy "periods" has limits of more than 4 periods/;
    get($nginx->port, '/periods', 'X-Key' => $key, 'X-Plan' => $_) for qw(9r/s 9r/m 8r/m 9r/h 9r/d);
    unlike $nginx->error_log, $line, 'four are not';
    is get($nginx->port, '/periods', 'X-Key' => $key, 'X-Plan' => $_)->{status}, 200, $_ for qw(9r/w 9r/month);
    is scalar(() = $nginx->error_log =~ /$line/g), 1, 'once';
};

subtest 'slots' => sub {
    my @plan = ('X-Slots' => 2);
    $keys++;
    my @held = map { hold(@plan) } 1 .. 2;
    is ask('/slots', @plan)->{status}, 429, 'two slots';
    is ask('/slots', 'X-Slots' => 3)->{status}, 200, 'a plan of three has one left';
    $_->abort for @held;
    ok wait_until(sub { ask('/slots', @plan)->{headers}{'x-ratelimit-remaining'} == 1 }), 'they come back';
};

subtest 'cost' => sub {
    my %passes = (
        '/one'     => 10,
        '/three'   => 3,
        '/nothing' => 20,
    );
    for my $path (sort keys %passes) {
        $keys++;
        is passes($path), $passes{$path}, $path;
    }
    is ask('/nothing')->{headers}{'x-ratelimit-remaining'}, 10, 'a cost of 0 takes nothing';
    refuses_for_good(ask('/huge'), 'a cost above all');

    for my $path ('/asked', '/weighed') {
        $keys++;
        is_deeply [map { remaining($path, $_) } 4, 0, 5], [6, 6, 1], "$path charges the cost of the request";
        is_deeply [remaining($path, 2), remaining($path, 1)], [1, 0], 'and what does not fit takes nothing';
        is ask($path, 'X-Cost' => 0)->{status}, 200, 'what costs nothing passes even then';
        $keys++;
        is remaining($path, 10), 0, 'all at once fits';
        refuses_for_good(ask($path, 'X-Cost' => $_), "$_ never do") for 11, '99999999999999999999999999';
    }
};

subtest 'a malformed cost counts as 1' => sub {
    $keys++;
    is remaining('/asked', ''), 9, 'an empty one too';
    my $left = 9;
    for my $cost ('x', '-1', '1.5', '0x10', '1k') {
        is remaining('/asked', $cost), --$left, $cost;
        like last_line(), qr/invalid cost "\Q$cost\E" of policy "asked": .*; mistakes so far: \d+,/, 'is logged';
    }
};

subtest 'burst' => sub {
    my %burst = ('/default_burst' => [60, 60], '/small_burst' => [2, 60], '/part_burst' => [1, 6000]);
    for my $path (sort keys %burst) {
        my ($holds, $wait) = @{$burst{$path}};
        $keys++;
        my $all = many($nginx->port, requests => $holds + 5, path => $path, headers => {'X-Key' => $keys});
        is_deeply $all->{status}, {200 => $holds, 429 => 5}, "$path holds $holds";
        my $refused = ask($path);
        cmp_ok abs($wait - 20 - $refused->{headers}{'retry-after'}), '<=', 20, "and has one back after $wait s";
    }
};

$nginx->stop;
done_testing;

sub ask {
    my ($path, %headers) = @_;
    return get($nginx->port, $path, 'X-Key' => $keys, %headers);
}

sub passes {
    my ($path, @headers) = @_;
    return scalar grep { ask($path, @headers)->{status} == 200 } 1 .. ($path eq '/nothing' ? 20 : $path eq '/one' ? 15 : 9);
}

sub remaining {
    my ($path, $cost) = @_;
    return ask($path, 'X-Cost' => $cost)->{headers}{'x-ratelimit-remaining'};
}

# A request that stays in flight.
sub hold {
    my (@headers) = @_;
    my $before = get($model->port, '/count')->{body};
    my $held = start_request($nginx->port, path => '/slots?delay=600000', headers => {'X-Key' => $keys, @headers});
    wait_until(sub { get($model->port, '/count')->{body} ne $before });
    return $held;
}

sub refuses_for_good {
    my ($answer, $name, $status) = @_;
    is $answer->{status}, $status // 400, "$name: is refused";
    is $answer->{headers}{'x-should-retry'}, 'false', 'and the client must not try again';
    ok !exists $answer->{headers}{$_}, "without $_" for qw(retry-after retry-after-ms);
    return;
}

sub last_line { return (grep { /\[error\]/ } split /\n/, $nginx->error_log)[-1] // "" }

sub shown { return length $_[0] > 30 ? substr($_[0], 0, 30) . '...' : $_[0] }
