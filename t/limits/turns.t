# Tests that a request that finds no room waits for its turn (wait=): first come, first served, never faster than the
# limit, and not longer than it may.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use IO::Socket::INET;
use List::Util qw(max min sum);
use Test::More;
use Time::HiRes qw(time);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Slots;

# Types of frames, and an error code, of HTTP/2.
use constant {HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, CANCEL => 8};

my $is_new = AiLimit::Nginx::version_number() >= 1_025_001;
my ($listen, $http2) = $is_new ? ('', 'http2 on;') : (' http2', '');

my $model = AiLimit::ModelServer->start;

# As many policies with sharers as a location may have, of all kinds.
my @kinds = ('rate=50r/s burst=1', 'concurrency=2', 'rate=50Mt/d algorithm=fixed_window reserve=10', 'rate=100r/s algorithm=sliding_window');
my @sixteen = map { "all$_" } 0 .. 15;
my $sixteen = join "\n    ", map { "ai_limit_policy $sixteen[$_] key=\$arg_k $kinds[$_ % 4] wait=20s share=\$arg_t;" } 0 .. 15;
my $conf = <<"CONF";
    ai_limit_policy steady  key=\$arg_k rate=20r/s  burst=1 wait=20s;
    ai_limit_policy quick   key=\$arg_k rate=100r/s burst=1 wait=20s;
    ai_limit_policy slow    key=\$arg_k rate=2r/m   burst=1 wait=40s queue=2;
    ai_limit_policy narrow  key=\$arg_k rate=1r/m   burst=1 wait=10m queue=2;
    ai_limit_policy window  key=\$arg_k rate=2r/30s algorithm=sliding_window wait=31s;
    ai_limit_policy outer   key=all     rate=20r/s  burst=1 wait=20s;
    ai_limit_policy inner   key=\$arg_k rate=1r/m   burst=1 wait=10m;
    ai_limit_policy slots   key=\$arg_k concurrency=1 wait=20s;
    ai_limit_policy tokens  key=\$arg_k rate=1t/month burst=100 reserve=40 wait=20s;
    ai_limit_policy rest    key=\$arg_k rate=1t/month burst=100 wait=20s;
    ai_limit_policy fair    key=\$arg_k rate=20r/s  burst=1 wait=20s queue=600 share=\$arg_t weight=\$arg_w;
    ai_limit_policy never   key=\$arg_k rate=1r/month burst=1 wait=1m;
    $sixteen
    ai_limit_policy early   key=\$arg_k concurrency=1 wait=20s phase=preaccess;
    ai_limit_policy own     key=\$arg_t concurrency=2 wait=20s queue=600 share=\$arg_s;
    ai_limit_policy part    key=\$arg_k rate=100t/month algorithm=fixed_window reserve=max wait=20s share=\$arg_t;
    ai_limit_policy dry     key=\$arg_k rate=1r/h   burst=1 wait=20s dry_run;
    ai_limit_error_format json;
    ai_limit_log_level info;
    add_header X-Wait \$ai_limit_wait_time always;
    add_header X-Passed \$msec always;
    add_header X-Output \$ai_limit_max_output;
    add_header X-Worker \$pid always;

    server {
        listen 127.0.0.1:%%PORT_0%% backlog=4096;
        location /steady { ai_limit steady; empty_gif; }
        location /quick  { ai_limit quick; empty_gif; }
        location /slow   { ai_limit slow; empty_gif; }
        location /narrow { ai_limit narrow; error_page 429 /again; empty_gif; }
        location /again  { ai_limit narrow; return 503; }
        location /window { ai_limit window; empty_gif; }
        location /both   { ai_limit outer inner; empty_gif; }
        location /outer  { ai_limit outer; empty_gif; }
        location /fair   { ai_limit fair; empty_gif; }
        location /never  { ai_limit never; empty_gif; }
        location /dry    { ai_limit dry; empty_gif; }
        location /body   { ai_limit steady; proxy_pass http://127.0.0.1:@{[$model->port]}/echo; proxy_request_buffering off; }
        location /v1/models { ai_limit slots; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /v1/chat/ {
            ai_limit slots early;
            proxy_pass http://127.0.0.1:@{[$model->port]};
            proxy_buffering off;
        }
        location /tokens/ { ai_limit tokens; client_body_in_file_only clean; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /part/ { ai_limit part; ai_limit_max_output remaining; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /shared/ { ai_limit fair own; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /sixteen/ { ai_limit @sixteen; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /asks   { ai_limit slots; auth_request /check; empty_gif; }
        location /early  { ai_limit early; auth_request /check; empty_gif; }
        location /copies { ai_limit slots; mirror /check; empty_gif; }
        location /goes_on { ai_limit slots; post_action /check; empty_gif; }
        location /check  { internal; ai_limit never; empty_gif; }
        location /rest/ { ai_limit rest; ai_limit_max_output remaining; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /ai_limit/ { ai_limit_api write=on; allow 127.0.0.1; deny all; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%$listen;
        $http2
        location / { ai_limit steady; empty_gif; }
    }
CONF
my $nginx = AiLimit::Nginx->start(http => $conf, workers => 4);
my $api = AiLimit::Api->new($nginx->port);
my $slots = AiLimit::Slots->new($nginx);

sub begin { my ($path, %more) = @_; return start_request($nginx->port, path => $path, %more) }

# Waits until so many requests wait by a policy.
sub wait_for_waiting {
    my ($policy, $count) = @_;
    my $is_so = wait_until(sub { $api->policy($policy)->{waits}{now} == $count });
    is $api->policy($policy)->{waits}{now}, $count, "$count wait by $policy" if !$is_so;
    return $is_so;
}

# Begins requests one after the other: each is in the queue, or has been decided on, when the next one comes.
sub begin_in_turns {
    my ($policy, @paths) = @_;
    my $met = met($policy);
    my @requests;
    for my $path (@paths) {
        push @requests, begin(ref $path ? @$path : $path);
        $met++;
        wait_until(sub { met($policy) >= $met }) or die "$path is not met by $policy";
    }
    return @requests;
}

# How many requests a policy has met, without those that left. While the counts of a process that ends move, two looks
# differ.
sub met {
    my ($policy) = @_;
    my ($before, $met) = (-1, -1);
    wait_until(sub {
        my $seen = $api->policy($policy);
        ($before, $met) = ($met, $seen->{waits}{now} + sum @{$seen->{requests}}{qw(passed rejected)});
        return $met == $before;
    });
    return $met;
}

# When a request passed, or was answered by a model, by nginx's clock.
sub passed_at { return $_[0]->finish->{headers}{'x-passed'} // 0 }

# The numbers of requests in the order in which nginx let them pass, by its own clock.
sub order_of {
    my (@requests) = @_;
    my %ended = map { $_ => passed_at($requests[$_]) } 0 .. $#requests;
    return [sort { $ended{$a} <=> $ended{$b} } keys %ended];
}

# Raises the limit of a key, as an operator can.
sub raise {
    my ($policy, $key) = @_;
    my ($status) = $api->key(PUT => "policy=$policy&key=$key&rate=1000r/s&ttl=1h");
    is $status, 200, 'an operator raises the limit';
    return;
}

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

# Begins streams of one HTTP/2 connection. curl 7.88 cannot: it ends the second stream with an error.
sub begin_http2 {
    my (@streams) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port(1)) or die "connect: $!";
    # GET, http, a path and a host, as HPACK writes them without Huffman codes.
    my $request = "\x82\x86" . "\x04" . pack('C/a', '/?k=h2') . "\x01" . pack('C/a', 'a');
    my $both = 4 | 1;    # END_HEADERS, END_STREAM
    syswrite $socket, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, '') . frame(SETTINGS, 1, 0, '')
        . join '', map { frame(HEADERS, $both, $_, $request) } @streams;
    return $socket;
}

# [stream, status] of the next answers, in their order.
sub answers_of {
    my ($socket, $count) = @_;
    my ($text, @answers) = ('');
    my $select = IO::Select->new($socket);
    while (@answers < $count && $select->can_read(AiLimit::Nginx::PATIENCE) && sysread $socket, $text, 65536, length $text) {
        while (length $text >= 9) {
            my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $text;
            my $length = $high << 16 | $low;
            last if length $text < 9 + $length;
            my $payload = substr substr($text, 0, 9 + $length, ''), 9;
            push @answers, [$stream, $payload =~ /^[\x20-\x3f]*\x88/ ? 200 : 0] if $type == HEADERS;
        }
    }
    return @answers;
}

for my $workers (1, 2, 8, 4) {
    $nginx->reload(workers => $workers);
    subtest "first come, first served, with $workers workers" => sub {
        my $begun = time;
        my @requests = begin_in_turns('steady', ("/steady?k=first$workers") x 12);
        my @answers = map { $_->finish } @requests;
        my $took = time - $begun;
        is_deeply [map { $_->{status} } @answers], [(200) x 12], 'all pass';
        is_deeply order_of(@requests), [0 .. 11], 'in the order in which they came';
        cmp_ok $took, '>=', 0.54, 'not faster than the rate';
        is $answers[0]{headers}{'x-wait'}, '0.000', 'the first one has not waited';
        like $answers[11]{headers}{'x-wait'}, qr/^\d+\.\d{3}$/, 'the others have';
        cmp_ok $took, '>=', $answers[11]{headers}{'x-wait'}, 'as long as $ai_limit_wait_time says';
    };
}

subtest 'those who wait use the whole rate' => sub {
    my @requests = map { begin('/quick?k=a') } 1 .. 101;
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 101], 'all pass';
    my $longest = max map { $_->finish->{headers}{'x-wait'} } @requests;
    cmp_ok $longest, '<', 3, 'the last one after a second and not many, though each has to be let go by itself';
};

subtest 'one that cannot be served in time is refused at once' => sub {
    my @waiting = begin_in_turns('slow', ('/slow?k=a') x 2);
    my $refused = begin('/slow?k=a')->finish;
    is $refused->{status}, 429, 'it would be the third in 30 s each';
    cmp_ok $refused->{headers}{'retry-after'}, '>', 45, 'it is told to come back behind those who wait';
    cmp_ok $refused->{headers}{'retry-after'}, '<=', 60, 'and not later';
    is $refused->{headers}{'x-wait'}, '0.000', 'it has not waited';
    my ($other) = begin_in_turns('slow', '/slow?k=b');
    is $other->finish->{status}, 200, 'another key has a queue of its own';
    $_->abort for @waiting;
    wait_for_waiting('slow', 0);

    get($nginx->port, '/window?k=a') for 1 .. 2;
    my @next_window = begin_in_turns('window', ('/window?k=a') x 3);
    is $api->policy('window')->{waits}{now}, 2, 'a window of 30 s serves two';
    is $next_window[2]->finish->{status}, 429, 'a third one would be in the next but one';
    cmp_ok $next_window[2]->finish->{headers}{'retry-after'}, '>', 45, 'and is told so';
    $_->abort for @next_window;
    is get($nginx->port, '/never?k=a')->{status}, 200, 'the burst of a month';
    cmp_ok get($nginx->port, '/never?k=a')->{headers}{'retry-after'}, '>', 1_000_000, 'a refusal says the whole wait';
    is get($nginx->port, '/dry?k=a')->{headers}{'x-wait'}, '0.000', 'nobody waits on a dry run' for 1 .. 3;
};

subtest 'a client that leaves frees its place and takes nothing' => sub {
    my ($first) = begin_in_turns('narrow', '/narrow?k=leaves');
    is $first->finish->{status}, 200, 'the first one passes';
    my @waiting = begin_in_turns('narrow', ('/narrow?k=leaves') x 2);
    my $refused = get($nginx->port, '/narrow?k=leaves');
    is $refused->{status}, 503, 'the queue has no place for a third one';
    is $api->policy('narrow')->{requests}{rejected}, 1, 'the page of the error is not refused once more';
    $waiting[0]->abort;
    wait_for_waiting('narrow', 1);
    my ($next) = begin_in_turns('narrow', '/narrow?k=leaves');
    is $api->policy('narrow')->{waits}{now}, 2, 'another one has the place of one that leaves';
    raise('narrow', 'leaves');
    is $_->finish->{status}, 200, 'those that have stayed pass' for $waiting[1], $next;
    is $api->policy('narrow')->{requests}{passed}, 3, 'and nothing was taken by the other one';
};

subtest 'a slot that ends goes to the first one that waits' => sub {
    my $stream = $slots->take('s');
    my @waiting = begin_in_turns('slots', ('/v1/models?k=s&delay=50') x 6);
    is $api->policy('slots')->{waits}{now}, 6, 'six wait';
    $stream->abort;
    is_deeply [map { $_->finish->{status} } @waiting], [(200) x 6], 'all pass';
    is_deeply order_of(@waiting), [0 .. 5], 'in the order in which they came';
    ok wait_until(sub { $api->policy('slots')->{in_flight} == 0 }), 'and give their slots back';
};

subtest 'a settlement lets the next one go' => sub {
    my %ask = (method => 'POST', body => '{"model":"m","messages":[{"role":"user","content":"hi"}]}');
    my $path = '/tokens/v1/chat/completions?k=t&prompt_tokens=1&completion_tokens=1&before=tokens';
    my @requests = begin_in_turns('tokens', map { [$path, %ask] } 1 .. 4);
    is $api->policy('tokens')->{waits}{now}, 2, 'two that reserve 40 of 100 each pass, and two wait';
    my $refused = begin($path, %ask)->finish;
    is $refused->{status}, 429, 'another one could not be sure of its turn, whatever is refunded';
    is $refused->{headers}{'x-wait'}, '0.000', 'so it does not wait';
    $model->open_gate('tokens', 4);
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 4], 'those that wait pass';
    is $requests[$_]->finish->{headers}{'x-wait'}, '0.000', 'one that had room has not waited' for 0, 1;
    cmp_ok $requests[$_]->finish->{headers}{'x-wait'}, '>', 0, 'one that had not has waited' for 2, 3;
    my $key;
    wait_until(sub { (undef, $key) = $api->key(GET => 'policy=tokens&key=t'); $key->{reserved} == 0 });
    is $key->{remaining}, 92, 'eight tokens are charged, and nothing stays reserved';
};

subtest 'a request whose output is limited to what remains' => sub {
    my %ask = (method => 'POST', body => '{"model":"m","max_tokens":5000,"messages":[{"role":"user","content":"hi"}]}');
    my $path = '/rest/v1/chat/completions?k=r&prompt_tokens=1&completion_tokens=1&before=rest';
    my @requests = begin_in_turns('rest', [$path, %ask], [$path, %ask]);
    is $api->policy('rest')->{waits}{now}, 1, 'waits while nothing remains';
    $model->open_gate('rest', 2);
    is_deeply [map { $_->finish->{status} } @requests], [200, 200], 'and passes when something has come back';
    cmp_ok $requests[1]->finish->{headers}{'x-wait'}, '>', 0, 'after its wait';
    my $key;
    wait_until(sub { (undef, $key) = $api->key(GET => 'policy=rest&key=r'); $key->{reserved} == 0 && $key->{remaining} == 96 });
    is_deeply [@$key{qw(reserved remaining)}], [0, 96], 'both are settled, once each';
};

subtest 'a request whose output is limited to what remains of its part' => sub {
    my $chat = '/part/v1/chat/completions?k=p&prompt_tokens=1&completion_tokens=1&before=part';
    my %ask = (method => 'POST', body => '{"model":"m","max_tokens":5000,"messages":[{"role":"user","content":"hi"}]}');
    $model->open_gate('part');
    is begin("$chat&t=modest", method => 'POST', body => '{"model":"m","max_tokens":1,"messages":[]}')->finish->{status}, 200, 'a sharer is there';
    my @greedy = begin_in_turns('part', ["$chat&t=greedy", %ask], ["$chat&t=greedy", %ask]);
    is $api->policy('part')->{waits}{now}, 1, 'waits while nothing of its part remains';
    my ($modest) = begin_in_turns('part', ["$chat&t=modest", %ask]);
    $model->open_gate('part', 3);
    is $modest->finish->{headers}{'x-wait'}, '0.000', 'another one has its own';
    is_deeply [map { $_->finish->{status} } @greedy], [200, 200], 'and passes when something has come back';
    cmp_ok $greedy[1]->finish->{headers}{'x-wait'}, '>', 0, 'after its wait';
    is $greedy[0]->finish->{headers}{'x-output'}, $modest->finish->{headers}{'x-output'} + 2, 'each has the half, less what it has used';
};

subtest 'two policies' => sub {
    my @narrow = begin_in_turns('inner', ('/both?k=a') x 2);
    is $narrow[0]->finish->{status}, 200, 'the first one of a client passes';
    is $api->policy('inner')->{waits}{now}, 1, 'its second one waits';
    my @others = map { begin("/both?k=$_") } 'b' .. 'f';
    is_deeply [map { $_->finish->{status} } @others], [(200) x 5], 'it holds up no other client';
    is $api->policy('inner')->{waits}{now}, 1, 'all of them have passed before it';
    raise('inner', 'a');
    is $narrow[1]->finish->{status}, 200, 'then it passes';
    is $api->policy('outer')->{requests}{passed}, 7, 'each is counted once by one policy';
    is $api->policy('inner')->{requests}{passed}, 7, 'and by the other';
    is $api->policy($_)->{waits}{now}, 0, 'nobody waits any more' for qw(outer inner);
};

subtest 'a greedy sharer does not hold up another one' => sub {
    my @greedy = map { begin('/fair?k=f&t=greedy&w=1') } 1 .. 25;
    wait_until(sub { $api->policy('fair')->{waits}{now} > 5 });
    my ($modest) = begin_in_turns('fair', '/fair?k=f&t=modest&w=1');
    is $modest->finish->{status}, 200, 'its request passes';
    $_->finish for @greedy;
    my $served = passed_at($modest);
    my @between = grep {
        my $at = passed_at($_);
        $at > $modest->begun && $at < $served
    } @greedy;
    cmp_ok scalar(@between), '<=', 2, 'after two of the other one at most';
    is scalar(grep { $_->finish->{status} == 200 } @greedy), 25, 'and all of that pass';
};

subtest 'sharers are served by their weights' => sub {
    my @light = map { begin('/fair?k=w&t=light&w=1') } 1 .. 20;
    my @heavy = map { begin('/fair?k=w&t=heavy&w=3') } 1 .. 9;
    my $end = max map { passed_at($_) } @heavy;
    my $from = min map { $_->begun } @heavy;
    my @between = grep { passed_at($_) > $from && passed_at($_) < $end } @light;
    cmp_ok scalar(@between), '<=', 5, 'while nine of weight 3 are served, three of weight 1 are';
};

subtest 'sharers of several policies' => sub {
    my $greedy = '/shared/v1/models?k=m&t=greedy&w=1&delay=20';
    my @greedy = map { begin("$greedy&s=" . $_ % 2) } 1 .. 24;
    ok wait_until(sub { $api->policy('fair')->{waits}{now} + $api->policy('own')->{waits}{now} > 3 }), 'requests wait by either';
    my @modest = map { begin('/shared/v1/models?k=m&t=modest&w=1&s=0') } 1 .. 2;
    is_deeply [map { $_->finish->{status} } @modest, @greedy], [(200) x 26], 'all pass';
    for my $modest (@modest) {
        my $came = passed_at($modest) - $modest->finish->{headers}{'x-wait'};
        my @between = grep { passed_at($_) > $came && passed_at($_) < passed_at($modest) } @greedy;
        cmp_ok scalar(@between), '<=', 8, 'a modest sharer waits for some of a greedy one, not for all';
    }
    is $api->policy($_)->{waits}{now}, 0, "nobody waits by $_" for 'fair', 'own';
    ok wait_until(sub { $api->policy('own')->{in_flight} == 0 }), 'all slots come back';

    my @requests = map { start_request($nginx->port, path => "/sixteen/v1/chat/completions?k=m&t=$_&prompt_tokens=1&completion_tokens=1",
        method => 'POST', body => '{"model":"m","messages":[{"role":"user","content":"hi"}]}') } (1) x 9, (2) x 3;
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 12], 'sixteen policies let all pass';
    is_deeply [map { $api->policy($_)->{requests}{passed} } @sixteen], [(12) x 16], 'which each counts once';
    ok wait_until(sub { sum(map { $api->policy($_)->{in_flight} // 0 } @sixteen) == 0 }), 'and nothing stays taken';
    is sum(map { $api->policy($_)->{waits}{now} } @sixteen), 0, 'nor waits';
};

subtest 'subrequests and what nginx does after the answer' => sub {
    my $never = met('never');
    for (['/asks', 'slots'], ['/early', 'early'], ['/copies', 'slots'], ['/goes_on', 'slots']) {
        my ($path, $policy) = @$_;
        my $stream = $slots->take("sub$path");
        my $passed = $api->policy($policy)->{requests}{passed};
        my @requests = begin_in_turns($policy, ("$path?k=sub$path") x 4);
        is $api->policy($policy)->{waits}{now}, 4, "$path: all wait";
        $stream->abort;
        is_deeply [map { $_->finish->{status} } @requests], [(200) x 4], 'and pass';
        is $api->policy($policy)->{requests}{passed}, $passed + 4, 'and are counted once';
    }
    is met('never'), $never, 'a subrequest is not decided on, and does not wait';
};

subtest 'a body that arrives while its request waits' => sub {
    get($nginx->port, '/steady?k=body') for 1 .. 2;
    my $size = 300_000;
    my $request = begin('/body?k=body', method => 'POST', body => 'x' x $size);
    my $again = begin('/body?k=body', raw => "POST /body?k=body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    is $request->finish->{status}, 200, 'it is passed on';
    ok wait_until(sub { $again->_step(1, 0); $again->{in} =~ /^HTTP\/1.1 100/ }), 'whose client is asked for its body when it is its turn';
    $again->abort;
    my $pipelined = "GET /steady?k=pipe HTTP/1.1\r\nHost: a\r\n\r\n" x 4;
    my @statuses = begin('/', raw => $pipelined)->statuses(4);
    is_deeply \@statuses, [(200) x 4], 'pipelined requests wait one after the other';
};

subtest 'HTTP/2' => sub {
    my $client = begin_http2(map { 2 * $_ + 1 } 0 .. 7);
    is_deeply [answers_of($client, 8)], [map { [2 * $_ + 1, 200] } 0 .. 7], 'streams of one connection wait for their turns';
    my $leaving = begin_http2(map { 2 * $_ + 1 } 0 .. 29);
    ok wait_until(sub { $api->policy('steady')->{waits}{now} > 20 }), 'streams wait';
    syswrite $leaving, frame(RST_STREAM, 0, 2 * $_ + 1, pack 'N', CANCEL) for 20 .. 29;
    ok wait_until(sub { $api->policy('steady')->{waits}{now} < 20 }), 'those that the client resets leave';
    close $leaving;
    wait_for_waiting('steady', 0);
};

subtest 'metrics' => sub {
    my $metrics = $api->metrics;
    is $metrics->{'ai_limit_waiting{policy="steady"}'}, 0, 'how many wait';
    my $ended = $api->policy('steady')->{waits}{ended};
    is $metrics->{'ai_limit_wait_seconds_count{policy="steady"}'}, $ended, 'how many have waited';
    is $metrics->{'ai_limit_wait_seconds_bucket{policy="steady",le="+Inf"}'}, $ended, 'the last step of the histogram has all';
    cmp_ok $metrics->{'ai_limit_wait_seconds_bucket{policy="steady",le="0.1"}'}, '<', $ended, 'others have less';
    cmp_ok $metrics->{'ai_limit_wait_seconds_sum{policy="steady"}'}, '>', 1, 'and how long, in seconds';
    is $api->policy('steady')->{wait}, '20s', 'the status says how long one may wait';
};

subtest 'a reload and a graceful end' => sub {
    my @waiting = begin_in_turns('steady', ('/steady?k=reload') x 8);
    $nginx->reload(http => $conf);
    my ($later) = begin_in_turns('steady', '/steady?k=reload');
    is_deeply [map { $_->finish->{status} } @waiting, $later], [(200) x 9], 'workers of the old configuration serve who waits';
    is_deeply order_of(@waiting, $later), [0 .. 8], 'before those who come later';
    my @last = begin_in_turns('steady', ('/steady?k=quit') x 5);
    ok $nginx->stop(graceful => 1), 'nginx ends';
    is_deeply [map { $_->finish->{status} } @last], [(200) x 5], 'when all have had their turn';
};

done_testing;
