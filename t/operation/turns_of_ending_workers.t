# Tests what becomes of requests that wait for their turn when their worker is told to end: at a reload that changes the
# zone's size, at worker_shutdown_timeout, when nginx is stopped, and in nginx without a master.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);

my $model = AiLimit::ModelServer->start;
my $api;

sub conf {
    my ($size) = @_;
    return <<"CONF";
    ai_limit_zone zone=z:$size;
    ai_limit_policy turns key=\$arg_k rate=5r/s burst=1 wait=20s;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { satisfy any; allow 127.0.0.1; deny all; ai_limit turns; empty_gif; }
        location /post { ai_limit turns; post_action /after; empty_gif; }
        location /after { proxy_pass http://127.0.0.1:@{[$model->port]}/v1/models?delay=500; }
        location /ai_limit/ { ai_limit_api; }
    }
CONF
}

sub waiting { return $api->policy('turns')->{waits}{now} }

# So many requests, all but the first of which wait.
sub crowd {
    my ($nginx, $path, $count) = @_;
    $api = AiLimit::Api->new($nginx->port);
    my @requests = map { start_request($nginx->port, path => $path) } 1 .. $count;
    ok wait_until(sub { waiting() >= $count / 2 }), 'requests wait';
    return @requests;
}

# [how many passed, how many connections were closed, all others]
sub results {
    my %count = (passed => 0, closed => 0, other => 0);
    $count{$_->finish->{status} == 200 ? 'passed' : $_->finish->{status} == 0 ? 'closed' : 'other'}++ for @_;
    return \%count;
}

my $nginx = AiLimit::Nginx->start(workers => 2, http => conf('1m'));

subtest 'a zone of another size' => sub {
    my @requests = crowd($nginx, '/?k=size', 8);
    $nginx->reload(http => conf('2m'));
    is results(@requests)->{passed}, 8, 'old workers serve who waits there';
    is waiting(), 0, 'nobody waits any more';
};

subtest 'a request whose client has gone and that runs a post_action' => sub {
    my @requests = crowd($nginx, '/post?k=post', 8);
    my $passed = $api->policy('turns')->{requests}{passed};
    $_->abort for @requests;
    ok wait_until(sub { waiting() == 0 }), 'leaves the queue';
    is get($nginx->port, '/?k=other')->{status}, 200, 'nginx goes on';
};

subtest 'worker_shutdown_timeout' => sub {
    $nginx->reload(main => 'worker_shutdown_timeout 500ms;', http => conf('2m'));
    my @requests = crowd($nginx, '/?k=timeout', 30);
    $nginx->reload;
    my $results = results(@requests);
    is $results->{other}, 0, 'a request passes or its connection is closed';
    cmp_ok $results->{closed}, '>=', 10, 'a shutdown does not wait for all turns';
    ok wait_until(sub { waiting() == 0 }), 'nobody waits any more';
};

subtest 'a stop' => sub {
    my @requests = crowd($nginx, '/?k=stop', 20);
    ok $nginx->stop, 'does not wait for turns';
    cmp_ok results(@requests)->{closed}, '>=', 5, 'and closes the connections';
};

subtest 'nginx without a master' => sub {
    my $single = AiLimit::Nginx->start(main => 'master_process off;', workers => 0, http => conf('1m'));
    my @requests = crowd($single, '/?k=single', 8);
    my $seen = length $single->error_log;
    $single->signal('HUP');
    $single->wait_for_log(qr/using the "/, $seen);
    is results(@requests)->{passed}, 8, 'serves who waits, also after a reload';
    ok $single->stop(graceful => 1), 'and ends';
};

done_testing;
