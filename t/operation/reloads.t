# A reload forgets nothing: not what was used, whatever of the policies and zones has changed, nor what is
# in flight; and it fails no request. RELOAD_ROUNDS=n reloads n times in place of 50.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Load;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Slots;

my $rounds = $ENV{RELOAD_ROUNDS} // 50;
my $model = AiLimit::ModelServer->start;
my $broken = qr/unknown directive "ai_limit_no_such"|invalid rate/;
my $nginx = AiLimit::Nginx->start(
    http => conf(), workers => 2, log_level => 'notice', expect_trouble => $broken
);
my $slots = AiLimit::Slots->new($nginx);

subtest 'reloads under load' => sub {
    is_deeply [map { status('few', 'early') } 1 .. 4], [200, 200, 200, 429], 'a client has used up what it had';
    my $load = AiLimit::Load->start($nginx->port, path => '/bucket?k=load');
    my $refused = 0;
    for (1 .. $rounds) {
        $nginx->reload;
        $refused++ if status('few', 'early') == 429;
    }
    my $sent = $load->end;
    my $passed = $sent->{passed};
    is $refused, $rounds, 'it stays refused';
    cmp_ok $passed, '>', 100, 'other requests pass';
    is $sent->{sent} - $passed, 0, 'and none fails';
    is left('bucket', 'load'), 1_000_000 - $passed - 1, 'each is counted once';
};

# Each: a change, a policy with its new parameters, and what is left then. Before the change 4 requests use some of 10;
# after it one more looks.
my @changed = (
    ['a larger burst', bucket => 'rate=1r/month burst=20', 20 - 5],
    ['a smaller burst', bucket => 'rate=1r/month burst=6', 6 - 5],
    ['a burst below what is used', bucket => 'rate=1r/month burst=3', 'refused'],
    ['another rate', bucket => 'rate=2r/month burst=10', 10 - 5],
    ['another period', bucket => 'rate=1r/2month burst=10', 10 - 5],
    ['a larger quota', sliding => 'rate=20r/month algorithm=sliding_window', 20 - 5],
    ['a quota below what is used', sliding => 'rate=3r/month algorithm=sliding_window', 'refused'],
    ['a longer period', sliding => 'rate=10r/2month algorithm=sliding_window', 10 - 5],
    ['a shorter period', sliding => 'rate=10r/w algorithm=sliding_window', 10 - 5],
    ['a larger quota', fixed => 'rate=20r/12month algorithm=fixed_window', 20 - 5],
    ['a quota below what is used', fixed => 'rate=3r/12month algorithm=fixed_window', 'refused'],
    ['another period', fixed => 'rate=10r/6month algorithm=fixed_window', 10 - 5],
);
my %original = (
    bucket => 'rate=1r/month burst=10', sliding => 'rate=10r/month algorithm=sliding_window',
    fixed => 'rate=10r/12month algorithm=fixed_window',
);
for my $change (@changed) {
    my ($name, $policy, $parameters, $expected) = @$change;
    $nginx->reload(http => conf(%original));
    my $key = "$policy-$parameters" =~ tr/ =/--/r;
    status($policy, $key) for 1 .. 4;
    $nginx->reload(http => conf(%original, $policy => $parameters));
    is left($policy, $key), $expected, "$policy: $name keeps what was used";
}

subtest 'a zone of another size' => sub {
    $nginx->reload(http => conf(%original));
    my @policies = qw(bucket fixed sliding);
    for my $policy (@policies) {
        status($policy, 'moved') for 1 .. 4;
    }
    my $left = 10 - 4;
    for my $size (qw(2m 4m 1m 3m)) {
        $nginx->reload(http => conf(%original, zone => $size));
        $left--;
        is_deeply [map { left($_, 'moved') } @policies], [($left) x 3], "of $size keeps what was used";
        is status('few', 'early'), 429, 'and the refused client stays refused';
    }
    $nginx->wait_for_log(qr/zone "ai" is copied to its new size/);
};

subtest 'a policy with another kind of entries' => sub {
    # A zone without the sliding window has small entries only.
    $nginx->reload(http => conf(%original, zone => '3m', sliding => undef));
    status('bucket', 'kinds') for 1 .. 4;
    $nginx->reload(http => conf(%original, zone => '3m'));
    is left('bucket', 'kinds'), 5, 'with a sliding_window added, keeps what was used';
    is status('few', 'early'), 429, 'and the refused client stays refused';
    is left('sliding', 'kinds'), 9, 'and the new policy works';
    $nginx->reload(http => conf(%original, zone => '3m', sliding => undef));
    is left('bucket', 'kinds'), 4, 'with it removed, too';
};

subtest 'other policies' => sub {
    $nginx->reload(http => conf(%original));
    status('bucket', 'names') for 1 .. 4;
    $nginx->reload(http => conf(%original, extra => 'ai_limit_policy first key=$arg_x rate=1r/month;'));
    is left('bucket', 'names'), 5, 'one that is added in front changes nothing of the others';
    (my $renamed = conf(%original)) =~ s/\bbucket\b/pail/g;
    $nginx->reload(http => $renamed);
    is left('pail', 'names'), 9, 'one of another name begins anew';
    $nginx->reload(http => conf(%original));
    is left('bucket', 'names'), 4, 'the old name finds what it had';
    $nginx->reload(http => conf(%original, bucket => 'rate=10r/12month algorithm=fixed_window'));
    is left('bucket', 'names'), 9, 'another algorithm begins anew';
    $nginx->reload(http => conf(%original));
    is left('bucket', 'names'), 3, 'and leaves the other what it had';
};

subtest 'a broken configuration' => sub {
    status('bucket', 'broken') for 1 .. 4;
    for my $mistake ('ai_limit_no_such on;', 'ai_limit_policy bad key=$arg_k rate=5x/m;') {
        eval { $nginx->reload(http => conf(%original, zone => '2m', extra => $mistake)) };
        like $@, qr/reload failed/, 'is refused';
        is status('few', 'early'), 429, 'what is refused stays so';
    }
    is left('bucket', 'broken'), 5, 'and what was used is';
    $nginx->reload(http => conf(%original));
    is left('bucket', 'broken'), 4, 'when it is put right, too';
};

for my $case (['in the same zone', {}], ['in a zone of another size', {zone => '2m'}]) {
    my ($where, $change) = @$case;
    subtest "a request in flight during a reload, $where" => sub {
        $nginx->reload(http => conf(%original));
        my $key = join '-', 'flight', %$change;
        my @streams = map { $slots->start($key) } 1 .. 2;
        is_deeply [map { $_->head } @streams], [200, 200], 'all slots are taken';
        is $slots->try($key), 429, 'a third request is refused';
        $nginx->reload(http => conf(%original, %$change));
        is $slots->try($key), 429, 'and after the reload, too';
        $streams[0]->abort if !%$change;
        # After a change of the size, the count goes with the old worker: with its last request.
        $_->abort for %$change ? @streams : ();
        is $slots->wait_for($key), 200, 'a slot is back when its request has ended';
        my $next = $slots->take($key);
        is $next->head, 200, 'and is taken again';
        # The old worker's two slots come back one behind the other.
        is %$change ? $slots->wait_for($key) : $slots->try($key), %$change ? 200 : 429, 'as often as there are slots';
        $_->abort for @streams, $next;
        is $slots->wait_for($key), 200, 'and given back again';
        my @all = map { $slots->take($key) } 1 .. 2;
        is_deeply [(map { $_->head } @all), $slots->try($key)], [200, 200, 429], 'no slot is lost, and there is none too many';
        $_->abort for @all;
    };
}

$nginx->stop;
done_testing;

# The configuration with other parameters for its policies, another zone size, or something in front.
sub conf {
    my (%with) = @_;
    my %policies = (bucket => 'rate=1r/month burst=1000000', %original, map { exists $with{$_} ? ($_ => $with{$_}) : () }
        qw(bucket sliding fixed));
    $policies{bucket} = 'rate=1r/month burst=1000000' if !%with;
    my @wanted = grep { defined $policies{$_} } qw(bucket sliding fixed);
    my $lines = join '', map { "ai_limit_policy $_ key=\$arg_k $policies{$_};\n" } @wanted;
    my $locations = join '', map { "location = /$_ { ai_limit $_; empty_gif; }\n" } @wanted;
    my $size = $with{zone} // '1m';
    my $extra = $with{extra} // '';
    return sprintf <<"CONF", $model->port;
        ai_limit_zone zone=ai:$size;
        $extra
        $lines
        ai_limit_policy few key=\$arg_k rate=1r/month burst=3;
        ai_limit_policy slots key=\$arg_k concurrency=2;
        ai_limit_log_level info;
        server {
            listen 127.0.0.1:%%%%PORT_0%%%%;
            $locations
            location = /few { ai_limit few; empty_gif; }
            location /v1/ {
                ai_limit slots;
                proxy_pass http://127.0.0.1:%d;
                proxy_http_version 1.1;
                proxy_buffering off;
            }
        }
CONF
}

sub fetch { return get($nginx->port, "/$_[0]?k=$_[1]", Connection => 'close') }

sub status { return fetch(@_)->{status} }

# Returns what is left after one more request, as the policy reports it.
sub left {
    my ($policy, $key) = @_;
    my $response = fetch($policy, $key);
    return 'refused' if $response->{status} == 429;
    return $response->{headers}{'x-ratelimit-remaining'} // "status $response->{status}";
}
