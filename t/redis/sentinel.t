# Limits that several nginx share in the Redis that sentinels name, also when that is another one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);
use AiLimit::Redis;

my $model    = AiLimit::ModelServer->start;
my $master   = AiLimit::Redis->start(password => 'secret-of-redis');
my $replica  = AiLimit::Redis->start(replica_of => $master, password => 'secret-of-redis');
my $sentinel = AiLimit::Redis->start_sentinel(name => 'main', watches => $master, replicas => 1);

# The first of the sentinels is not there.
my $http = sprintf <<'CONF', $sentinel->url, $model->port;
    ai_limit_redis redis://127.0.0.1:%%%%PORT_9%%%% %s sentinel=main password=secret-of-redis
                   sync=strict timeout=2s connect_timeout=2s;

    ai_limit_policy bucket key=$arg_k rate=1r/h burst=4;
    ai_limit_policy slots  key=$arg_k concurrency=10;

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        location /bucket { ai_limit bucket; empty_gif; }
        location /v1/    { ai_limit slots; proxy_pass http://127.0.0.1:%d; }
    }
CONF
my @nginx = map { AiLimit::Nginx->start(http => $http, workers => 2) } 1 .. 2;

# Until then each nginx decides alone.
my $begun = 0;
ok wait_until(sub { all_ask($master) }), 'all workers find the master';

subtest 'the master decides' => sub {
    is_deeply [map { get($nginx[$_ % 2]->port, '/bucket?k=a')->{status} } 0 .. 5], [(200) x 4, 429, 429], 'for all nginx';
};

subtest 'the replica decides after the master is gone' => sub {
    my $stream = start_request($nginx[0]->port, path => '/v1/chat/completions?k=s', method => 'POST',
        body => '{"model":"m","stream":true,"messages":[]}', headers => ['x-model-hold-at' => 10]);
    ok wait_until(sub { @{$replica->command('KEYS', '*:flights')} }), 'a stream is in flight, which the replica knows';
    my $old = $master->port;
    $master->stop;
    my $n = 0;
    my @failed;
    ok wait_until(sub {
        for my $nginx (@nginx) {
            my $status = get($nginx->port, '/bucket?k=n' . $n++)->{status};
            push @failed, $status if $status != 200;
        }
        @nginx == grep { $_->error_log =~ /Redis is back/ } @nginx;
    }), 'every nginx notices';
    is_deeply \@failed, [], 'and no request fails meanwhile';
    ok wait_until(sub { all_ask($replica) }), 'all workers find the new master';
    is_deeply [map { get($_->port, '/bucket?k=a')->{status} } @nginx], [429, 429], 'nothing is forgotten';
    is_deeply [map { get($nginx[$_ % 2]->port, '/bucket?k=b')->{status} } 0 .. 5], [(200) x 4, 429, 429], 'it decides for all';
    for my $nginx (@nginx) {
        is scalar(() = $nginx->error_log =~ /\[error\][^\n]*Redis 127\.0\.0\.1:$old is lost/g), 1, 'one line';
        is scalar(() = $nginx->error_log =~ /\[error\][^\n]*Redis is back: \S+ stands in for/g), 1, 'and one that another stands in';
    }
    $stream->abort;
    ok wait_until(sub { !@{$replica->command('KEYS', '*:flights')} }), 'what was in flight before has ended';
};

done_testing;

# Returns true if that Redis decides whichever worker is asked.
sub all_ask {
    my ($redis) = @_;
    my $known = @{$redis->command('KEYS', '*:bucket')};
    get($nginx[$_ % 2]->port, '/bucket?k=begin' . $begun++) for 1 .. 40;
    return @{$redis->command('KEYS', '*:bucket')} == $known + 40;
}
