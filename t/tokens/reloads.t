# Tests that a reload in the middle of a stream changes neither its reservation nor its cost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::Http;
use AiLimit::Tokens;

my @names = qw(tokens fixed sliding);

sub policies {
    my (%o) = @_;
    my $burst = $o{burst} // 1000;
    return 'ai_limit_zone zone=ai:' . ($o{zone} // '1m') . ";\n" . ($o{more} // '') . <<"CONF";
    ai_limit_policy tokens  key=\$http_x_key rate=1t/month burst=$burst reserve=max;
    ai_limit_policy fixed   key=\$http_x_key rate=${burst}t/12month algorithm=fixed_window reserve=max;
    ai_limit_policy sliding key=\$http_x_key rate=${burst}t/month algorithm=sliding_window reserve=max;
CONF
}

my %common = (left => [@names], locations => "location / { ai_limit @names; proxy_pass http://model; }");
my $t = AiLimit::Tokens->start(workers => 2, policies => policies(), %common);
my $held = 300 + estimate();
my $gates = 0;

sub reload {
    my (%o) = @_;
    $t->nginx->reload(http => $t->conf(policies => policies(%o), %common));
    return;
}

sub everywhere { return [map { $t->left($_) } @names] }

my @changes = (
    ['nothing', {}],
    ['a larger limit', {burst => 2000}],
    ['a smaller limit', {burst => 400}],
    ['another policy', {more => "ai_limit_policy first key=\$http_x_key rate=5t/s reserve=max;\n"}],
);
for my $change (@changes) {
    my ($name, $changed) = @$change;
    my $limit = $changed->{burst} // 1000;
    subtest "$name is changed" => sub {
        reload();
        $t->new_client;
        my $gate = 'gate-' . ++$gates;
        my $stream = $t->begin("/v1/chat/completions?gate=$gate&prompt_tokens=20&completion_tokens=22",
            chat(stream => 1, include_usage => 1, max_tokens => 300));
        ok $stream->wait_for_body(qr/Hello/), 'a stream runs';
        is_deeply everywhere(), [(1000 - $held) x @names], 'and reserves tokens';
        reload(%$changed);
        is_deeply everywhere(), [($limit - $held) x @names], 'after the reload, too';
        reload(%$changed) for 1 .. 2;
        get($t->model->port, "/next?gate=$gate") for 1 .. 10;
        my $answer = $stream->finish;
        ok $answer->{complete}, 'it runs to its end';
        is_deeply everywhere(), [($limit - 42) x @names], 'and is charged what it used';
        is $t->logged($stream)->{source}, 'response', 'as the log says';
    };
}

subtest 'a zone of another size' => sub {
    reload();
    $t->new_client;
    my $gate = 'gate-' . ++$gates;
    $t->ask('/v1/chat/completions?prompt_tokens=50&completion_tokens=50', chat());
    my $stream = $t->begin("/v1/chat/completions?gate=$gate&prompt_tokens=20&completion_tokens=22",
        chat(stream => 1, include_usage => 1, max_tokens => 300));
    ok $stream->wait_for_body(qr/Hello/), 'a stream runs';
    reload(zone => '2m');
    is_deeply everywhere(), [(900 - $held) x @names], 'what was used and its reservation are copied';
    get($t->model->port, "/next?gate=$gate") for 1 .. 10;
    ok $stream->finish->{complete}, 'it runs to its end';
    sleep 0.02 while $t->nginx->workers > 2;
    # The old worker settles in the old zone: the new one charges what was reserved, if not what was used.
    my @left = @{everywhere()};
    my %allowed = map { $_ => 1 } 900 - 42, 900 - $held;
    is scalar(grep { $allowed{$_} } @left), @names, "then it is charged: @left remain";
    is $t->ask('/v1/chat/completions?prompt_tokens=1&completion_tokens=1', chat(max_tokens => $left[0] - estimate()))->{status},
        200, 'and nothing is held any more';
};

subtest 'a graceful end in the middle of a stream' => sub {
    reload();
    $t->new_client;
    my $stream = $t->begin('/v1/chat/completions?gate=end&prompt_tokens=20&completion_tokens=22', chat(stream => 1, include_usage => 1));
    ok $stream->wait_for_body(qr/Hello/), 'a stream runs';
    get($t->model->port, '/next?gate=end') for 1 .. 10;
    $t->nginx->signal('QUIT');
    ok $stream->finish->{complete}, 'and comes to its end';
    is $t->logged($stream)->{total}, 42, 'and is counted';
};

ok $t->stop(graceful => 1), 'nginx ends';
done_testing;
