# A policy of one name that counts requests on one nginx and tokens on another one: each says so in its log, once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Redis;

my $redis = AiLimit::Redis->start;
my %policies = (
    requests => 'ai_limit_policy quota key=$http_x_key rate=100r/h;',
    tokens   => 'ai_limit_policy quota key=$http_x_key rate=100t/h reserve=off;',
    slots    => 'ai_limit_policy quota key=$http_x_key concurrency=100;',
    renamed  => 'ai_limit_policy other key=$http_x_key rate=100t/h reserve=off;',
);
my $differs = qr/\[error\].*ai_limit policy "quota" counts tokens here and requests on another nginx .*rename one of them/;

my $requests = start_nginx('requests', 'strict');
my $same = start_nginx('requests', '100ms');
my $tokens = start_nginx('tokens', 'strict');
ask($_) for $requests, $same;
$redis->wait_for(sub { announced('r') == 2 }, 'both to announce what they count');
is_deeply [map { lines($_) } $requests, $same], [], 'where all count the same, nothing is said';

ask($tokens);
$tokens->wait_for_log($differs);
pass 'a node that counts another unit says so, and what to do';
$requests->wait_for_log(qr/\[error\].*policy "quota" counts requests here and tokens on another nginx/);
$same->wait_for_log(qr/policy "quota" counts requests here and tokens on another nginx/);
pass 'and so do the others';
ask($tokens) for 1 .. 20;
is grep({ $_ =~ $differs } lines($tokens)), 1, 'once for both workers, whatever comes';
$tokens->reload;
ask($tokens);
is grep({ $_ =~ $differs } lines($tokens)), 1, 'and not again when it is reloaded';

$tokens->reload(http => http('renamed', 'strict'));
ask($tokens);
$redis->command('DEL', 'ai_limit:units:{all}:quota:t');    # as Redis does after ten seconds
$requests->wait_for_log(qr/\[notice\].*policy "quota", which counts requests here, counts tokens on no other nginx any more/);
pass 'when it is renamed, the others say that it is over';

my $slots = start_nginx('slots', 'strict');
ask($slots);
$slots->wait_for_log(qr/\[error\].*policy "quota" counts requests in flight here and requests on another nginx/);
pass 'slots are something else as well';
is_deeply [grep { $redis->command('PTTL', $_) <= 0 } grep { /:units:/ } @{$redis->command('KEYS', '*')}], [], 'what Redis keeps of it ends by itself';

$_->stop for $requests, $same, $tokens, $slots;
done_testing;

sub start_nginx {
    my ($policy, $sync) = @_;
    return AiLimit::Nginx->start(workers => 2, log_level => 'notice', http => http($policy, $sync));
}

sub http {
    my ($policy, $sync) = @_;
    my ($name) = $policies{$policy} =~ /policy (\w+)/;
    return <<"CONF";
        ai_limit_redis @{[$redis->url]} sync=$sync timeout=30s connect_timeout=30s;
        $policies{$policy}
        server {
            listen 127.0.0.1:%%PORT_0%%;
            location / { ai_limit $name; empty_gif; }
        }
CONF
}

# Sends a request, so that nginx has a connection to Redis.
sub ask {
    my ($nginx) = @_;
    is get($nginx->port, '/', 'X-Key' => 'a')->{status}, 200, 'a request passes';
    return;
}

# Returns how many nginx have announced that they count by that unit.
sub announced {
    my ($unit) = @_;
    return $redis->command('ZCARD', "ai_limit:units:{all}:quota:$unit");
}

sub lines {
    my ($nginx) = @_;
    return grep { /ai_limit policy/ } split /\n/, $nginx->error_log;
}
