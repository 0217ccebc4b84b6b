# Tests what `make run` starts, and that what it prints can be pasted into a shell.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Path qw(remove_tree);
use IO::Socket::INET;
use POSIX ();
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);

plan skip_all => 'it takes the module of the installed nginx' if $ENV{AI_LIMIT_MODULE};
AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';
plan skip_all => 'there is no curl' if system('curl --version >/dev/null 2>&1') != 0;

my $root = "$FindBin::Bin/../..";
my $port = free_port();
my $folder = "$root/build/run-$port";
my $api = AiLimit::Api->new($port);
my $run;
END { end_run() }

my @lines = start_run();
my ($page) = $lines[0] =~ m{(http://\S+)};
is $page, "http://127.0.0.1:$port/ai_limit/", 'the first line says where the page is';
like get($port, '/ai_limit/')->{body}, qr/<!doctype html>/, 'which is there';

my @commands = grep { s/^  (?=\S)// } my @copies = @lines;
is @commands, 8, 'there are some things to try';
my $at_limit = qr/\A(?:200\n){5,6}(?:429\n){1,2}\z/;    # one comes back in 12 seconds
my ($traffic, $limit, $told, $streams, $used, $agent, $log, $writer) = @commands;

like shell($limit), $at_limit, 'a client meets its limit';
like shell($told), qr/^HTTP\/1\.1 429 .*Retry-After: \d+.*"error":"rate_limit_exceeded"/s, 'and learns so';
my ($client) = @{$api->policy('per_client')->{top_keys}{refusals}};
ok $client, 'the page knows it';
is +($api->key(DELETE => "policy=per_client&key=$client->{key}"))[0], 200, 'and resets it';
like shell($limit), $at_limit, 'so that it begins anew';

my $text = shell($streams);
is_deeply [$text =~ /^(\d{3})$/mg], [200, 200, 429], 'two streams pass, the third does not';
is +($text =~ /"type":"(\w+)"/)[0], 'tokens', 'for want of tokens';

my $shell = fork // die "fork: $!";
if ($shell == 0) {
    setpgrp;
    exec 'sh', '-c', $traffic or POSIX::_exit(127);
}
ok wait_until(sub { $api->policy('per_client')->{requests}{rejected} > 6 && $api->policy('day')->{tokens}{input} > 30 }),
    'the traffic passes and is refused';
kill 'TERM', -$shell;
waitpid $shell, 0;

like shell($used), qr/"used":28,/, 'a client has used some of its day';

is shell($agent), "200\n" x 9, 'an agent that asks for 32,000 tokens runs eight requests side by side on 20,000';
my @reserved = shell($log) =~ /agents in=\d+ out=300 reserved=(\d+)$/mg;
cmp_ok 8 * $reserved[-1], '<', 20_000, 'since what it uses is reserved, and no more';
like shell($writer), qr/"finish_reason":"length".*\[DONE\]/s, 'a stream without a limit ends where the budget ends';
like shell($log), qr/agents in=5 out=(?:199[5-9]\d|20[01]\d\d) reserved=\d+$/m, 'and not before or after';
end_run();
ok -s "$folder/state/ai_limit.state", 'which is kept';
start_run();
like shell($used), qr/"used":28,/, 'over a restart';
end_run();
remove_tree($folder);
done_testing;

# Starts it, and returns what it prints once it serves.
sub start_run {
    my ($out, $model_port) = ("$folder.log", free_port());
    $run = fork // die "fork: $!";
    if ($run == 0) {
        @ENV{qw(PORT MODEL_PORT)} = ($port, $model_port);
        open STDOUT, '>', $out;
        exec 'bash', "$root/scripts/run.sh" or POSIX::_exit(127);
    }
    # Asked through nginx, each try would count, and a slow start would be refused.
    ok wait_until(sub { !grep { !eval { get(@$_)->{status} == 200 } } [$model_port, '/v1/models'], [$port, '/ai_limit/'] }),
        'it starts';
    open my $file, '<', $out or die "$out: $!";
    chomp(my @said = <$file>);
    unlink $out;
    return @said;
}

sub end_run {
    return if !$run;
    local $?;
    kill 'TERM', $run;
    waitpid $run, 0;
    undef $run;
    return;
}

sub shell {
    my ($command) = @_;
    open my $pipe, '-|', 'sh', '-c', "$command 2>/dev/null" or die "sh: $!";
    local $/;
    return scalar readline $pipe;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') // die "no free port: $!";
    return $socket->sockport;
}
