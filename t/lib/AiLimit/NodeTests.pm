package AiLimit::NodeTests;

# Tests that are written for Node.js, with packages from npm:
#
#   my $tests = AiLimit::NodeTests->install('clients');    # t/clients, into build/clients
#   my @runs = map { $tests->start($_) } 'a.test.mjs', 'b.test.mjs';
#   $tests->report($_) for @runs;
#
# Each test of a file becomes one test of the caller.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use Test::More ();

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

# Skips the whole test where npm cannot reach its registry.
sub install {
    my ($class, $name) = @_;
    my ($sources, $work) = ("$ROOT/t/$name", "$ROOT/build/$name");
    make_path($work);
    my @wanted = glob "$sources/*.mjs $sources/package*.json $sources/.npmrc";
    my $lock = _slurp("$work/package-lock.json");
    copy($_, $work) or die "copy $_: $!" for @wanted;
    my $self = bless {work => $work}, $class;
    return $self if $lock eq _slurp("$work/package-lock.json") && -e "$work/installed";
    unlink "$work/installed";
    my $output = qx(cd '$work' && npm ci --ignore-scripts --no-progress 2>&1);
    if ($?) {
        # No packages can be tried without a network; anything else is a fault.
        Test::More::plan(skip_all => 'npm cannot reach its registry')
            if $output =~ /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b/;
        Test::More::diag($output);
        die "npm ci failed\n";
    }
    open my $mark, '>', "$work/installed" or die "$work/installed: $!";
    close $mark;
    return $self;
}

# Names of the files there are, such as '*.test.mjs'.
sub files {
    my ($self, $pattern) = @_;
    return map { s{.*/}{}r } glob "$self->{work}/$pattern";
}

# Starts node on one file, for report().
sub start {
    my ($self, $file) = @_;
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        chdir $self->{work} or die "$self->{work}: $!";
        exec 'node', '--test-reporter=tap', $file or die "node: $!";
    }
    return [$file, $pipe];
}

sub report {
    my ($self, $run) = @_;
    my ($file, $pipe) = @$run;
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    my $status = $?;
    my $failed = 0;
    my @lines = $output =~ /^((?:not )?ok \d+ - .*)$/mg;
    for my $line (@lines) {
        my ($not, $name) = $line =~ /^(not )?ok \d+ - (.*)/;
        Test::More::ok(!$not, $name) or $failed++;
    }
    Test::More::ok(@lines && (!$status || $failed), "$file ran") or $failed++;
    Test::More::diag($output) if $failed;
    return;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

1;
