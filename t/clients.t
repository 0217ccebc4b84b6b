# What clients that people really use do with a refusal, and that they are told the tokens that were counted: the
# SDKs in t/clients, each through nginx to a model server. npm installs them into build/clients.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use AiLimit::ModelServer;
use AiLimit::Nginx;

my $sources = "$FindBin::Bin/clients";
my $work    = abs_path("$FindBin::Bin/..") . '/build/clients';

install_sdks();

my $model = AiLimit::ModelServer->start;
my $counts = '$http_x_id $ai_limit_usage_source $ai_limit_input_tokens $ai_limit_output_tokens'
    . ' $ai_limit_cached_tokens $ai_limit_total_tokens';
my $nginx = AiLimit::Nginx->start(access_log => $counts, http => sprintf <<'CONF', ($model->port) x 3);
    # One request, the next one after 5 seconds.
    ai_limit_policy one key=$ai_limit_client rate=12r/m burst=1;
    ai_limit_policy tokens key=$ai_limit_client rate=1Mt/month;

    server {
        listen 127.0.0.1:%%%%PORT_0%%%%;
        ai_limit one;
        proxy_http_version 1.1;
        proxy_buffering off;

        location /openai/ {
            ai_limit_headers openai;
            ai_limit_error_format openai;
            proxy_pass http://127.0.0.1:%d/;
        }
        location /anthropic/ {
            ai_limit_headers anthropic;
            ai_limit_error_format anthropic;
            proxy_pass http://127.0.0.1:%d/;
        }
        location /tokens/ {
            ai_limit tokens;
            ai_limit_include_usage on;
            proxy_pass http://127.0.0.1:%d/;
        }
    }
CONF

$ENV{BASE_URL} = 'http://127.0.0.1:' . $nginx->port;
$ENV{ACCESS_LOG} = $nginx->dir . '/access.log';
chdir $work or die "$work: $!";
# All at once: they mostly wait.
my @runs = map { [$_, start_node($_)] } glob '*.test.mjs';
report(@$_) for @runs;
$nginx->stop;
done_testing;

sub install_sdks {
    make_path($work);
    my @wanted = glob "$sources/*.mjs $sources/package*.json $sources/.npmrc";
    my $lock = slurp("$work/package-lock.json");
    copy($_, $work) or die "copy $_: $!" for @wanted;
    return if $lock eq slurp("$work/package-lock.json") && -e "$work/installed";
    unlink "$work/installed";
    my $output = qx(cd '$work' && npm ci --ignore-scripts --no-progress 2>&1);
    if ($?) {
        # Without a network there are no SDKs to try; anything else is a fault.
        plan skip_all => 'npm cannot reach its registry'
            if $output =~ /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b/;
        diag $output;
        die "npm ci failed\n";
    }
    open my $mark, '>', "$work/installed" or die "$work/installed: $!";
    close $mark;
    return;
}

sub start_node {
    my ($file) = @_;
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec 'node', '--test-reporter=tap', $file or die "node: $!";
    }
    return $pipe;
}

# Each test of a file as one test of this one.
sub report {
    my ($file, $pipe) = @_;
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    my $status = $?;
    my $failed = 0;
    my @lines = $output =~ /^((?:not )?ok \d+ - .*)$/mg;
    for my $line (@lines) {
        my ($not, $name) = $line =~ /^(not )?ok \d+ - (.*)/;
        ok !$not, $name or $failed++;
    }
    ok @lines && (!$status || $failed), "$file ran" or $failed++;
    diag $output if $failed;
    return;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}
