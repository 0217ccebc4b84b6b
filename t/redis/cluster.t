# Limits that several nginx share in a Redis Cluster.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA ();
use MIME::Base64 ();
use Test::More;
use Time::HiRes qw(time);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;

my $model = AiLimit::ModelServer->start;
my @nodes = AiLimit::Redis->start_cluster(masters => 3, replicas => 1, config => "cluster-node-timeout 1000");
my $http  = sprintf <<'CONF', $nodes[0]->url, $nodes[1]->url, $model->port;
    ai_limit_redis %s %s cluster sync=strict timeout=2s connect_timeout=2s;

    ai_limit_policy bucket  key=$arg_k rate=1r/h burst=20;
    ai_limit_policy fixed   key=$arg_k rate=1000r/d algorithm=fixed_window;
    ai_limit_policy slots   key=$arg_k concurrency=100;
    ai_limit_policy other   key=$arg_o rate=1r/h burst=50;
    ai_limit_policy tokens  key=$arg_k rate=1000t/d algorithm=sliding_window reserve=max;

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        add_header X-Left "$ai_limit_remaining_bucket $ai_limit_remaining_other";
        location /bucket  { ai_limit bucket; empty_gif; }
        location /other   { ai_limit other; empty_gif; }
        location /layered { ai_limit fixed bucket slots; empty_gif; }
        location /two     { ai_limit bucket other; empty_gif; }
        location /ai_limit/ { ai_limit_api; }
        location /v1/     { ai_limit tokens slots; proxy_pass http://127.0.0.1:%d; }
    }
CONF
my @nginx = map { AiLimit::Nginx->start(http => $http, workers => 2) } 1 .. 3;

subtest 'a key has one count, whichever node has it' => sub {
    for my $key ('a' .. 'h') {
        is passed(sub { "/bucket?k=$key" }, 30), 20, "key $key";
    }
    my @keys = map { @{$_->command('KEYS', '*:bucket')} } @nodes;
    is scalar(grep { scalar @{$_->command('KEYS', '*:bucket')} } @nodes), 6, 'they lie on all masters and replicas';
    is_deeply [grep { !/\{[^{}]{22}\}/ } @keys], [], 'under hashes';
};

subtest 'policies with one key are decided by one node' => sub {
    is passed(sub { '/layered?k=l' }, 60), 20, 'exactly the tightest passes';
    is get($nginx[0]->port, '/layered?k=m')->{headers}{'x-ratelimit-remaining'}, 19, 'and says so';
};

# Two keys in different slots: while one of two nodes refuses, the other gives back what it took.
subtest 'policies with keys in different slots' => sub {
    my $passed = 0;
    $passed += passed(sub { "/two?k=t$_[0]&o=same" }, 16) for 1 .. 4;
    cmp_ok $passed, '<=', 50, 'never more than the limit';
    $passed += passed(sub { '/other?o=same' }, 60);
    is $passed, 50, 'and what was given back can be had';
    my $left = (split ' ', get($nginx[0]->port, '/bucket?k=fresh')->{headers}{'x-left'})[0];
    is $left, 19, '(a new key)';
    is get($nginx[1]->port, '/two?k=fresh&o=same')->{status}, 429, 'a refusal by one node';
    my $api = AiLimit::Api->new($nginx[2]->port);
    ok wait_until(sub { ($api->key(GET => 'policy=bucket&key=fresh'))[1]{used} == 1 }), 'gives back';
    $left = (split ' ', get($nginx[2]->port, '/bucket?k=fresh')->{headers}{'x-left'})[0];
    is $left, 18, 'takes nothing from the other';
};

subtest 'tokens are reserved and settled' => sub {
    my $chat = '{"model":"m","max_tokens":20,"messages":[{"role":"user","content":"hello"}]}';
    is post($nginx[$_ % 3]->port, '/v1/chat/completions?k=tok', $chat)->{status}, 200, "answer $_" for 1 .. 6;
    ok wait_until(sub { !grep { @{$_->command('KEYS', '*:flights')} } @nodes }), 'nothing is left in flight';
};

subtest 'a slot moves from node to node' => sub {
    my ($slot, $from) = slot_of_bucket('a');
    my ($to) = grep { $_ != $from && $_->info('role') eq 'master' } @nodes;
    my ($from_id, $to_id) = map { $_->command('CLUSTER', 'MYID') } $from, $to;
    $to->command('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from_id);
    $from->command('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to_id);
    for my $key (@{$from->command('CLUSTER', 'GETKEYSINSLOT', $slot, 100)}) {
        $from->command('MIGRATE', '127.0.0.1', $to->port, $key, 0, 2000);
    }
    is get($nginx[$_]->port, '/bucket?k=a')->{status}, 429, 'while it does, the new node is asked' for 0 .. 2;
    $_->command('CLUSTER', 'SETSLOT', $slot, 'NODE', $to_id) for $to, $from;
    is get($nginx[$_]->port, '/bucket?k=a')->{status}, 429, 'and after it' for 0 .. 2;
    is scalar(grep { $_->error_log =~ /\[error\].*Redis/ } @nginx), 0, 'which nobody takes for a loss';
};

subtest 'a master that is gone is replaced' => sub {
    my ($slot, $gone) = slot_of_bucket('b');
    ok wait_until(sub { $gone->command('WAIT', 1, 100) >= 1 }), 'its replica has everything';
    $gone->stop;
    my $keys = 0;
    ok wait_until(sub { $keys++; my $r = get($nginx[$keys % 3]->port, "/bucket?k=n$keys"); $r->{status} == 200 ? grep { $_->error_log =~ /Redis is back/ } @nginx : die "status $r->{status}" }),
        'requests pass all the time, and another node stands in';
    ok wait_until(sub { my @s = map { get($_->port, '/bucket?k=b')->{status} } @nginx; "@s" eq '429 429 429' }),
        'which knows what was used';
    for my $nginx (@nginx) {
        my %lost;
        $lost{$_}++ for $nginx->error_log =~ /(Redis \S+ is lost)/g;
        is_deeply [grep { $_ > 1 } values %lost], [], 'one warning for each server at most';
    }
};

done_testing;

# Sends `count` requests to all nginx at once and returns how many pass.
sub passed {
    my ($path, $count) = @_;
    my $n = 0;
    my $sum = 0;
    for my $nginx (@nginx) {
        my $share = int($count / @nginx);
        my $all = many($nginx->port, requests => $share, connections => 8, keep => 1, path => sub { $path->($n++) });
        $sum += $all->{status}{200} // 0;
    }
    return $sum;
}

# The slot of a key of `bucket`, and the node that has it.
sub slot_of_bucket {
    my ($k) = @_;
    for my $node (grep { $_->info('role') eq 'master' } @nodes) {
        for my $key (@{$node->command('KEYS', '*:bucket')}) {
            return ($node->command('CLUSTER', 'KEYSLOT', $key), $node) if index($key, '{' . encode16($k) . '}') >= 0;
        }
    }
    die "no key of $k";
}

# The first 16 bytes of SHA-256 in base64, without the padding.
sub encode16 {
    my ($k) = @_;
    return MIME::Base64::encode_base64(substr(Digest::SHA::sha256($k), 0, 16), '') =~ s/=+$//r;
}
