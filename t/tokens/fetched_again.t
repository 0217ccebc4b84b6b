# A response that is fetched again by its id is charged once for each client, over workers, reloads and restarts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(
    workers => 2,
    left => [qw(tokens team)],
    policies => 'ai_limit_zone zone=ai:1m state=%%DIR%%/state;' . "\n" . <<"CONF",
    ai_limit_policy tokens key=\$http_x_key  rate=1t/month burst=$LIMIT reserve=max;
    ai_limit_policy team   key=\$http_x_team rate=1t/month burst=$LIMIT reserve=max;
CONF
    locations => <<'CONF',
        location / { ai_limit tokens; proxy_pass http://model; }
        location /both/ { ai_limit tokens team; proxy_pass http://model/; }
CONF
);
my $used = 'prompt_tokens=30&completion_tokens=12';
my $cost = 42;
my $body = '{"model":"m","input":"Hi"}';
my $ids = 0;

sub fetch {
    my ($id, %o) = @_;
    my $more = $o{more} ? "&$o{more}" : '';
    return $t->ask("/v1/responses/$id?$used$more", undef);
}

sub new_id { return 'resp_' . ++$ids }

subtest 'a response that was charged when it was made' => sub {
    for my $streams (0, 1) {
        my $id = new_id();
        $t->new_client;
        my $made = $t->ask("/v1/responses?$used&id=$id", $streams ? '{"model":"m","input":"Hi","stream":true}' : $body);
        is $made->{log}{total}, $cost, $streams ? 'a stream' : 'an answer';
        is $t->left, $LIMIT - $cost, 'is charged';
        for my $how ('', 'stream=true', 'encoding=gzip', 'split=1') {
            my $again = fetch($id, more => $how);
            is "$again->{log}{total} $again->{log}{source}", '0 none', "and is free when it is fetched $how";
            like $again->{body}, qr/"input_tokens":30/, 'though it tells its usage' if $how !~ /gzip/;
        }
        is $t->left, $LIMIT - $cost, 'nothing more is charged';
    }
};

subtest 'a response that was made in the background' => sub {
    my $id = new_id();
    $t->new_client;
    my $made = $t->ask("/v1/responses?$used&id=$id&background=1", $body)->{log};
    is $made->{source}, 'estimate', 'its prompt is estimated';
    cmp_ok $made->{total}, '>', 0, 'and charged';
    my $left = $t->left;
    is $left, $LIMIT - $made->{total}, 'at once';
    fetch($id, more => 'background=1') for 1, 2;
    is $t->left, $left, 'costs nothing more as long as it reports nothing';
    my $told = fetch($id)->{log};
    is "$told->{total} $told->{source}", $cost - $made->{total} . ' response', 'is charged for the rest when it reports its usage';
    is $t->left, $LIMIT - $cost, 'so that its prompt is charged once';
    fetch($id) for 1 .. 3;
    is $t->left, $LIMIT - $cost, 'as is all of it';
};

subtest 'an estimate over reloads and restarts' => sub {
    my $id = new_id();
    $t->new_client;
    $t->ask("/v1/responses?$used&id=$id&background=1", $body);
    my $other = $t->ask("/v1/responses?$used&id=$id-2&background=1", $body)->{log}{total};
    $t->nginx->reload;
    fetch($id);
    is $t->left, $LIMIT - $cost - $other, 'a reload keeps what was charged';
    $t->stop(graceful => 1);
    $t->nginx->launch;
    fetch("$id-2");
    is $t->left, $LIMIT - 2 * $cost, 'as does a restart with a state file';
};

subtest 'other clients' => sub {
    my $id = new_id();
    $t->new_client;
    $t->ask("/v1/responses?$used&id=$id", $body);
    $t->new_client;
    is fetch($id)->{log}{total}, $cost, 'pay for what they fetch';
    is fetch($id)->{log}{total}, 0, 'once';
    my @team = (headers => ['X-Team' => "team-$id"]);
    my $both = $t->ask("/both/v1/responses/$id?$used", undef, @team);
    is $both->{log}{total}, $cost, 'another key of the same request has not paid';
    is $t->left, $LIMIT - $cost, 'while the first one has';
    is $t->ask("/both/v1/responses/$id?$used", undef, @team)->{log}{total}, 0, 'until both have';
};

subtest 'fetches that avoid no charge' => sub {
    my $id = new_id();
    $t->new_client;
    $t->ask("/v1/responses?$used&id=$id", $body) for 1, 2;
    is $t->left, $LIMIT - 2 * $cost, 'answers that are made are charged, whatever their ids';
    is fetch(new_id())->{log}{total}, $cost, 'another id';
    my $chat = $t->ask("/v1/chat/completions?$used&x=/v1/responses/$id", chat());
    is $chat->{log}{total}, $cost, 'the id in the arguments of another request';
    $t->new_client;
    my $cut = $t->ask("/v1/responses/$id?$used&stream=true&cut=5", undef);
    is $cut->{log}{source}, 'estimate', 'a stream that was cut, which is estimated,';
    cmp_ok $cut->{log}{total}, '<', $cost, 'does not pay for the whole answer';
    is fetch($id)->{log}{total}, $cost - $cut->{log}{total}, 'and its rest is charged then';
    is $t->left, $LIMIT - $cost, 'so that it is charged once';
};

subtest 'a reload, a larger zone and a restart' => sub {
    my $id = new_id();
    $t->new_client;
    $t->ask("/v1/responses?$used&id=$id", $body);
    $t->nginx->reload;
    is fetch($id)->{log}{total}, 0, 'a reload keeps what was charged';
    $t->stop(graceful => 1);
    $t->nginx->launch;
    is fetch($id)->{log}{total}, 0, 'as does a restart with a state file';
    is $t->left, $LIMIT - $cost, 'with what was used';
};

done_testing;
