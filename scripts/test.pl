#!/usr/bin/perl

# Runs the tests and counts them.
#
#   scripts/test.pl all|unit|fuzz|nginx [t/name.t ...]
#
# The last line is "N passed, N failed", over all of them. Compilers' words go to
# build/*.log and are shown where something failed.
#
#   UNIT_FILTER=pattern   as gtest's --gtest_filter
#   FUZZ_RUNS=n           inputs per fuzz target
#   FUZZ_TARGET=name      only t/fuzz/NAME_fuzz.cpp

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use TAP::Harness;

chdir abs_path(dirname(__FILE__) . '/..') or die "chdir: $!\n";

my $cpus = qx(nproc 2>/dev/null) || 2;
chomp $cpus;

my @warnings = qw(-Wall -Wextra -Wno-unused-parameter -Werror);
my @core     = qw(-std=c++17 -O1 -g -I src -fno-omit-frame-pointer);
# What of src/redis/ needs no nginx.
my @redis    = map { "src/redis/$_.cpp" } qw(command reply script script_call slot topology);
# Inputs per fuzz target, where 100,000 of them take more than ten seconds or so.
my %fuzz_runs = (table => 15_000, usage => 20_000, usage_chunk => 40_000);
my ($passed, $failed) = (0, 0);
my %suites = (unit => [\&unit], fuzz => [\&fuzz], nginx => [\&nginx], all => [\&unit, \&fuzz, \&nginx]);

$| = 1;
my $suite = shift @ARGV // 'all';
die "usage: $0 all|unit|fuzz|nginx\n" if !$suites{$suite};
$_->() for @{$suites{$suite}};
print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);

# --- unit tests

sub unit {
    my @tests = sort glob 't/unit/*.cpp';
    return if !@tests;
    my @flags = (@core, @warnings, '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined');
    my $binary = compile('unit', 'g++', \@flags, [sort(glob 'src/core/*.cpp'), @redis, @tests],
        [qw(-lgtest_main -lgtest -lpthread -lcrypto -lhiredis -llua5.1)]) // return;
    my @filter = $ENV{UNIT_FILTER} ? "--gtest_filter=$ENV{UNIT_FILTER}" : ();
    my ($status, $output) = capture($binary, '--gtest_brief=1', @filter);
    my ($total) = $output =~ /^\[=+\] (\d+) tests? from .* ran/m;
    my ($good)  = $output =~ /^\[ *PASSED *\] (\d+) tests?/m;
    my ($skipped) = $output =~ /^\[ *SKIPPED *\] (\d+) tests?/m;
    if (!defined $total) {
        print $output;
        return count('unit', 0, 1);
    }
    my $bad = $total - ($good // 0) - ($skipped // 0);
    $bad = 1 if $status && !$bad;
    print $output if $bad;
    return count('unit', $total - $bad, $bad);
}

# --- fuzzing

sub fuzz {
    my @targets = sort glob 't/fuzz/' . ($ENV{FUZZ_TARGET} // '*') . '_fuzz.cpp';
    for my $target (@targets) {
        my $name = basename($target, '_fuzz.cpp');
        my @flags = (@core, @warnings, '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=undefined');
        my $binary = compile("fuzz-$name", 'clang++', \@flags, [sort(glob 'src/core/*.cpp'), @redis, $target],
            [qw(-lcrypto -lhiredis)]) // next;
        my ($status, $output) = capture($binary, fuzz_options($name));
        print tail($output, 40) if $status;
        count("fuzz $name", $status ? 0 : 1, $status ? 1 : 0);
    }
    return;
}

# A fixed seed and a fixed number of inputs: the same run everywhere. What it
# finds is kept; inputs of its own go to build/, those worth keeping to t/fuzz/.
sub fuzz_options {
    my ($name) = @_;
    my $found = "build/fuzz-$name/corpus";
    make_path($found);
    my @options = ('-runs=' . ($ENV{FUZZ_RUNS} // $fuzz_runs{$name} // 100_000), '-seed=1', '-print_final_stats=0', '-verbosity=1',
        "-artifact_prefix=build/fuzz-$name/");
    push @options, "-dict=t/fuzz/$name.dict" if -e "t/fuzz/$name.dict";
    return (@options, $ENV{FUZZ_RUNS} ? $found : (), -d "t/fuzz/corpus/$name" ? "t/fuzz/corpus/$name" : ());
}

# --- nginx

sub nginx {
    my @tests = @ARGV ? @ARGV : sort glob 't/*.t';
    return if !@tests;
    my $harness = TAP::Harness->new({
        lib => ['t/lib'], verbosity => -1, jobs => $ENV{TEST_JOBS} // 1, merge => 0, color => 0, failures => 1,
    });
    my $result = $harness->runtests(@tests);
    # A script that dies, or that runs fewer tests than it meant to, counts as one more.
    my $broken = grep { ($_->exit || $_->parse_errors) && !$_->failed } $result->parsers;
    for my $parser ($result->parsers) {
        my $why = $parser->skip_all or next;
        print "skipped: $why\n";
    }
    return count('nginx', scalar $result->passed - scalar $result->todo_passed, $broken + $result->failed);
}

# --- what they share

sub count {
    my ($what, $good, $bad) = @_;
    $passed += $good;
    $failed += $bad;
    printf "%-20s %d passed, %d failed\n", $what, $good, $bad if $suite eq 'all';
    return;
}

# Compiles each source on its own, several at a time and only what has changed,
# and links them. Returns the binary; where that fails, counts it and returns nothing.
sub compile {
    my ($name, $compiler, $flags, $sources, $libraries) = @_;
    my $shared = $name =~ /^fuzz-/ ? 'fuzz' : $name;
    my ($dir, $objects) = ("build/$name", "build/objects-$shared");
    make_path($dir, $objects);
    # Every fuzz target links the same objects of the core.
    my %rules = map { object($objects, $_) => $_ } @$sources;
    open my $makefile, '>', "$dir/Makefile" or die "$dir/Makefile: $!\n";
    print {$makefile} "$dir/run: @{[sort keys %rules]}\n\t$compiler @$flags -o \$@ \$^ @$libraries\n";
    for my $object (sort keys %rules) {
        print {$makefile} "$object: $rules{$object} $objects/flags\n\t$compiler @$flags -MMD -MP -c -o \$@ \$<\n";
    }
    print {$makefile} "-include $objects/*.d\n";
    close $makefile;
    write_if_changed("$objects/flags", "$compiler @$flags\n");
    my ($status, $output) = capture('make', '-f', "$dir/Makefile", '-j', $cpus, "$dir/run");
    return "$dir/run" if !$status;
    open my $log, '>', "build/$name.log";
    print {$log} $output;
    print "$name does not compile (build/$name.log):\n", tail($output, 40);
    count($name, 0, 1);
    return;
}

sub object {
    my ($dir, $source) = @_;
    return "$dir/" . ($source =~ s{/}{-}gr) . '.o';
}

sub write_if_changed {
    my ($path, $text) = @_;
    if (open my $old, '<', $path) {
        local $/;
        return if (<$old> // '') eq $text;
    }
    open my $file, '>', $path or die "$path: $!\n";
    print {$file} $text;
    return;
}

# (exit status, what it wrote to either output)
sub capture {
    my (@command) = @_;
    my $pid = open(my $pipe, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
        open STDERR, '>&', \*STDOUT;
        exec {$command[0]} @command or die "$command[0]: $!\n";
    }
    my $output = do { local $/; <$pipe> } // '';
    close $pipe;
    return ($?, $output);
}

sub tail {
    my ($text, $lines) = @_;
    my @all = split /^/, $text;
    return @all > $lines ? @all[-$lines .. -1] : @all;
}
