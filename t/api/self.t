# Tests ai_limit_self: clients see their own limits, as the headers of their answers tell them, and looking costs nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(workers => 2, http => <<"CONF");
    ai_limit_zone zone=ai:1m;
    ai_limit_policy requests key=\$http_x_key rate=3r/12month algorithm=fixed_window;
    ai_limit_policy early    key=\$http_x_key rate=5r/h phase=preaccess;
    ai_limit_policy tokens   key=\$http_x_key rate=1000t/h reserve=200;
    ai_limit_policy slots    key=\$http_x_key concurrency=2;
    ai_limit_policy plan     key=\$http_x_key rate=\$http_x_plan;
    ai_limit_policy tried    key=\$http_x_key rate=1r/h dry_run;
    ai_limit_policy by_model key=\$http_x_key\$ai_limit_model rate=1r/h;
    ai_limit_policy by_other key=\$http_x_other rate=1r/h;
    ai_limit_policy pool     key=\$http_x_pool rate=100r/12month algorithm=fixed_window share=\$http_x_key;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        ai_limit requests;
        ai_limit_headers x-ratelimit;
        location /requests { empty_gif; }
        location /self     { ai_limit_self; }
        location /all/     { ai_limit early requests tokens slots; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location = /all/self { ai_limit_self; ai_limit early requests tokens slots plan tried by_model by_other; }
        location /pool     { ai_limit pool; empty_gif; }
        location = /pool/self { ai_limit_self; ai_limit pool; }
        location /nested   { ai_limit_self; location /nested/charged { empty_gif; } }
        location /ai_limit/ { ai_limit off; ai_limit_api write=on; }
    }
CONF
my $api = AiLimit::Api->new($nginx->port);

subtest 'a key that was never seen' => sub {
    my ($answer, @rows) = own('/all/self', 'X-Key' => 'new', 'X-Plan' => '7r/h');
    is $answer->{status}, 200, 'has its limits';
    is_deeply [map { row($_) } @rows],
        ['early 5 5 0 requests', 'requests 3 3 0 requests', 'tokens 1000 1000 0 tokens', 'slots 2 2 0 in_flight', 'plan 7 7 0 requests'],
        'of the policies that apply to it, whole';
    is $answer->{headers}{'cache-control'}, 'no-store', 'and they must not be cached';
    is $answer->{headers}{'content-type'}, 'application/json', 'as JSON';
    is_deeply [grep { /ratelimit/ } keys %{$answer->{headers}}], [], 'without headers of a decision';
    is +($api->key(GET => "policy=$_&key=new"))[0], 404, "nothing is counted for it in $_" for qw(early requests tokens slots plan);
    is_deeply $api->requests('requests'), [0, 0, 0], 'and no request';
};

subtest 'looking costs nothing' => sub {
    own('/self', 'X-Key' => 'looks') for 1 .. 10;
    is_deeply statuses(looks => 4), [200, 200, 200, 429], 'ten looks take nothing of three requests';
    my ($used) = (own('/self', 'X-Key' => 'looks'))[1];
    is_deeply [@$used{qw(limit remaining)}], [3, 0], 'one is answered when nothing is left';
    cmp_ok $used->{reset}, '>', 0, 'and tells when it will be back';
    is row((own('/self', 'X-Key' => 'other'))[1]), 'requests 3 3 0 requests', 'another key sees nothing of that';
    is_deeply $api->requests('requests'), [3, 1, 0], 'looks are no requests of a policy';
};

subtest 'the same as the headers' => sub {
    my $answer = get($nginx->port, '/requests', 'X-Key' => 'same');
    my ($row) = (own('/self', 'X-Key' => 'same'))[1];
    is $row->{limit}, $answer->{headers}{'x-ratelimit-limit'}, 'limit';
    is $row->{remaining}, $answer->{headers}{'x-ratelimit-remaining'}, 'remaining';
    ok abs($row->{reset} - $answer->{headers}{'x-ratelimit-reset'}) <= 2, 'reset';
};

subtest 'tokens and slots in use' => sub {
    my $stream = start_request($nginx->port, method => 'POST', path => '/all/v1/chat/completions?gate=held',
        body => '{"model":"m","stream":true}', headers => ['Content-Type' => 'application/json', 'X-Key' => 'talks']);
    $stream->head;
    my %rows = map { ($_->{policy} => $_) } (own('/all/self', 'X-Key' => 'talks'))[1 .. 4];
    is $rows{slots}{remaining}, 1, 'a slot is taken';
    is $rows{tokens}{remaining}, 800, 'and what is reserved is not there';
    get($model->port, '/next?gate=held') for 1 .. 10;
    $stream->finish;
};

subtest 'a sharer of a key' => sub {
    get($nginx->port, '/pool', 'X-Pool' => 'p', 'X-Key' => $_) for ('greedy') x 30, 'modest';
    my ($modest) = (own('/pool/self', 'X-Pool' => 'p', 'X-Key' => 'modest'))[1];
    my $next = get($nginx->port, '/pool', 'X-Pool' => 'p', 'X-Key' => 'modest');
    is $modest->{remaining} - 1, $next->{headers}{'x-ratelimit-remaining'}, 'sees what is left for it';
};

subtest 'another limit of the key' => sub {
    $api->key(PUT => 'policy=requests&key=raised&rate=50r/12month&ttl=1h');
    is row((own('/self', 'X-Key' => 'raised'))[1]), 'requests 50 50 0 requests', 'is its limit';
    $api->key(PUT => 'policy=requests&key=blocked&rate=0r/m&ttl=1h');
    is row((own('/self', 'X-Key' => 'blocked'))[1]), 'requests 0 0 0 requests', 'also if that is nothing';
};

subtest 'where it stands' => sub {
    is_deeply [(own('/self'))[1 .. 9]], [(undef) x 9], 'a request without a key has no limits';
    is request($nginx->port, method => 'HEAD', path => '/self', headers => ['X-Key' => 'head'])->{status}, 200, 'HEAD';
    my $answer = post($nginx->port, '/self', '{}', 'X-Key' => 'posts');
    is_deeply [$answer->{status}, $answer->{headers}{allow}], [405, 'GET, HEAD'], 'no other method';
    is_deeply statuses(nested => 4, '/nested/charged'), [200, 200, 200, 429], 'a location within applies the policies again';
};

done_testing;

# Asks as this client: the answer, and the rows in it.
sub own {
    my ($path, @headers) = @_;
    my $answer = get($nginx->port, $path, @headers);
    return ($answer, @{JSON::PP->new->utf8->decode($answer->{body})->{policies}});
}

sub row {
    my ($row) = @_;
    return join ' ', @$row{qw(policy limit remaining reset unit)};
}

sub statuses {
    my ($key, $count, $path) = @_;
    return [map { get($nginx->port, $path // '/requests', 'X-Key' => $key)->{status} } 1 .. $count];
}
