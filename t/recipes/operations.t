# The pages of docs/recipes/ about operation do what they say.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Patience qw(wait_until);
use AiLimit::Recipe;
use AiLimit::Redis;

try_recipe 'redis-dies' => sub {
    my ($recipe) = @_;
    my $redis = AiLimit::Redis->start;
    my $nginx = $recipe->start(redis => $redis);
    $recipe->commands(qr/up\(\)/);
    $redis->stop;
    # The page's reader needs longer than nginx to type the next command.
    is statuses($nginx, 'ann', 1), '429', 'the first request after the loss';
    ok wait_until(sub { up($nginx) == 0 }), 'nginx knows that Redis is away';
    $recipe->commands(qr/models bob/);
    is scalar(() = $nginx->error_log =~ /\[error\] [^\n]*Redis/g), 1, 'and says so once';
    $redis->launch;
    ok wait_until(sub { up($nginx) == 1 }), 'Redis is found again';
    is statuses($nginx, 'bob', 1), '429', 'and what was counted meanwhile still counts';
    $nginx->stop;
    for (['allow', '200 200 200 200'], ['reject', '503 503 503 503']) {
        my ($choice, $expected) = @$_;
        my $server = $recipe->start(redis => $redis, change => sub { s/on_failure=local/on_failure=$choice/ or die });
        is statuses($server, $choice, 4), '200 200 200 429', "on_failure=$choice: with Redis";
        $redis->stop;
        get($server->port, '/v1/models', 'x-api-key' => $choice);
        ok wait_until(sub { up($server) == 0 }), 'Redis is lost';
        is statuses($server, $choice, 4), $expected, 'without it';
        is get($server->port, '/v1/models', 'x-api-key' => $choice)->{headers}{'retry-after'}, 1, 'which tells to wait for a second'
            if $choice eq 'reject';
        $redis->launch;
        $server->stop;
    }
};

try_recipe 'zone-size' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my %entries = $recipe->text =~ /^\| ([a-z]\w+)[^|]* \| [\d.]+ \| ([\d,]+) \|$/mg;
    for my $algorithm (sort keys %entries) {
        my $changed = AiLimit::Nginx->prepare(config => 'daemon off; pid %%DIR%%/nginx.pid; ' . ($> == 0 ? 'user root;' : '') . $recipe->adapted(
            $recipe->file('/etc/nginx/nginx.conf') =~ s/ algorithm=fixed_window//r =~ s/(rate=60r\/m)/$1 algorithm=$algorithm/r
            =~ s/^.*1000r.*\n//mr =~ s/minute day/minute/r));
        $changed->launch;
        my $metrics = AiLimit::Api->new($changed->port)->metrics;
        is $metrics->{'ai_limit_zone_capacity{zone="keys"}'}, $entries{$algorithm} =~ tr/,//dr, "entries for $algorithm";
        $changed->stop;
    }
};

try_recipe 'upgrade-nginx' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    $nginx->stop;
    $nginx->launch;
    is statuses($nginx, 'ann', 4), '429 429 429 429', 'counts survive the restart';
};

try_recipe 'system' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my $log = $nginx->dir . '/access.log';
    rename $log, "$log.1" or die "$log: $!";
    my ($rotate) = $recipe->file('/etc/logrotate.d/nginx-ai-limit') =~ /postrotate\n\s*(.*)\n/;
    my $pid = $nginx->dir . '/nginx.pid';
    is system('sh', '-c', $rotate =~ s{/run/nginx\.pid}{$pid}gr), 0, 'the command that logrotate runs';
    ok wait_until(sub { -e $log }), 'nginx opens a new log';
    is statuses($nginx, 'ann', 1), '429', 'and forgets nothing';
    ok wait_until(sub { -s $log }), 'the next line is in the new log';
    my ($type, $path, $mode) = split ' ', ($recipe->file('/etc/tmpfiles.d/nginx-ai-limit.conf') =~ /^(d .*)$/m)[0];
    is_deeply [$type, $path, $mode], ['d', '/var/lib/nginx/ai_limit', '0750'], 'the folder is that of the configuration';
    check_unit($recipe->file('/etc/systemd/system/nginx.service.d/ai-limit.conf'));
};

done_testing;

sub statuses {
    my ($nginx, $key, $n) = @_;
    return join ' ', map { get($nginx->port, '/v1/models', 'x-api-key' => $key)->{status} } 1 .. $n;
}

sub up { return AiLimit::Api->new($_[0]->port)->metrics->{ai_limit_redis_up} }

# Lets systemd read a unit with these lines.
sub check_unit {
    my ($drop_in) = @_;
    SKIP: {
        skip 'there is no systemd-analyze', 1 if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
        my $dir = File::Temp->newdir;
        open my $unit, '>', "$dir/ai-limit-test.service" or die "$dir: $!";
        print {$unit} $drop_in =~ s/^\[Service\]\n/[Service]\nExecStart=\/bin\/true\n/mr;
        close $unit;
        my $output = qx(systemd-analyze verify $dir/ai-limit-test.service 2>&1);
        unlike $output, qr/ai-limit-test\.service/, 'systemd knows the lines for the unit';
    }
    return;
}
