# nginx without a master (`master_process off`): its only process limits as workers do, and ends as they do, also after a
# reload, behind which nginx itself serves nobody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Redis;

my $redis = AiLimit::Redis->start;
my %options = (
    main => 'master_process off;',
    workers => 0,
    log_level => 'notice',
    http => <<"CONF",
    # No answer of Redis is late, however busy this machine is.
    ai_limit_redis @{[$redis->url]} sync=strict timeout=30s connect_timeout=30s;
    ai_limit_policy here  key=\$arg_k rate=\$arg_rate burst=3 sync=off;
    ai_limit_policy there key=\$arg_k rate=1r/h burst=3;
    ai_limit_policy slots key=\$arg_k concurrency=1;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /here  { ai_limit here; empty_gif; }
        location /there { ai_limit there slots; empty_gif; }
        location /api/  { ai_limit_api; }
    }
CONF
);
my $nginx = AiLimit::Nginx->start(%options);

is_deeply statuses('/here?k=a&rate=1r/h'), [200, 200, 200, 429], 'it limits';
is_deeply statuses('/there?k=a'), [200, 200, 200, 429], 'it asks Redis';
is_deeply statuses('/there?k=b'), [200, 200, 200, 429], 'for each key';
like get($nginx->port, '/api/status')->{body}, qr/"name":"there"/, 'its API answers';
ok $nginx->stop(graceful => 1), 'it ends';

$nginx = AiLimit::Nginx->start(%options);
is get($nginx->port, '/there?k=c', Connection => 'close')->{status}, 200, 'it starts again';
my $seen = length $nginx->error_log;
$nginx->signal('HUP');
$nginx->wait_for_log(qr/using the "/, $seen);
ok $nginx->stop(graceful => 1), 'it ends after a reload';
is $nginx->{exit_status}, 0, 'as it should';
done_testing;

sub statuses {
    my ($path) = @_;
    return [map { get($nginx->port, $path, Connection => 'close')->{status} } 1 .. 4];
}
