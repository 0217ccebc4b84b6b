#!/usr/bin/perl

# Runs the tests and counts them.
#
#   scripts/test.pl all|unit|fuzz|nginx [t/folder/name.t | t/folder ...]
#
# The last line is "N passed, N failed", over all of them. Compilers' words go to
# build/*.log and are shown where something failed.
#
#   UNIT_FILTER=pattern   as gtest's --gtest_filter
#   TEST_CXX=compiler     for the unit tests, in place of clang++; TEST_SANITIZE=no: without sanitizers
#   FUZZ_RUNS=n           inputs per fuzz target
#   FUZZ_TARGET=name      only t/fuzz/NAME_fuzz.cpp
#   TEST_JOBS=n           how many tests run at a time; as many as there are processors, at most 4
#   TEST_TIMES=1          print how long each nginx test takes

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use TAP::Harness;

chdir abs_path(dirname(__FILE__) . '/..') or die "chdir: $!\n";

my $cpus = qx(nproc 2>/dev/null) || 2;
chomp $cpus;
my $jobs = $ENV{TEST_JOBS} || ($cpus < 4 ? $cpus : 4);

# Clang compiles with sanitizers in half of GCC's time. GCC compiles the module itself.
my @warnings = qw(-Wall -Wextra -Wno-unused-parameter -Werror);
my @core     = qw(-std=c++17 -O1 -g -I src -I t/unit -I build/generated -fno-omit-frame-pointer);
# Tests compile in a third of the time without optimization; what they test is optimized.
my @tests_of_core = ('-O0');
# The folders of what needs no nginx.
my @pure     = qw(src/core src/prices src/redis/protocol src/redis/script);
# Inputs per fuzz target, where 100,000 of them take more than ten seconds or so.
my %fuzz_runs = (request => 30_000, table => 15_000, usage => 20_000, usage_chunk => 40_000);
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
    my @tests = files_below(qr/\.cpp\z/, 't/unit');
    return if !@tests;
    my @sanitizers = ('-fsanitize=address,undefined', '-fno-sanitize-recover=undefined');
    my @flags = (@core, @warnings, ($ENV{TEST_SANITIZE} // '') eq 'no' ? () : @sanitizers);
    my $binary = compile('unit', \@flags, {unit => [files_below(qr/\.cpp\z/, @pure), @tests]},
        [qw(-lgtest_main -lgtest -lpthread -lcrypto -lhiredis -llua5.1)])->{unit} // return;
    my @filter = $ENV{UNIT_FILTER} ? "--gtest_filter=$ENV{UNIT_FILTER}" : ();
    my @shards = map { ["GTEST_TOTAL_SHARDS=$jobs", "GTEST_SHARD_INDEX=$_", $binary, '--gtest_brief=1', @filter] } 0 .. $jobs - 1;
    my ($good, $bad) = (0, 0);
    my %skipped;
    for my $result (capture_all(map { ['env', @$_] } @shards)) {
        my ($passes, $failures) = gtest_counts(@$result);
        print $result->[1] if $failures;
        $good += $passes;
        $bad  += $failures;
        $skipped{$_}++ for $result->[1] =~ /: Skipped\n(.+)/g;
    }
    print "skipped: $skipped{$_} unit tests: $_\n" for sort keys %skipped;
    return count('unit', $good, $bad);
}

# (how many tests passed or were skipped, how many failed) of one run of gtest. One that ends early failed.
sub gtest_counts {
    my ($status, $output) = @_;
    my ($total) = $output =~ /^\[=+\] (\d+) tests? from .* ran/m;
    return (0, 1) if !defined $total;
    my ($passes)  = $output =~ /^\[ *PASSED *\] (\d+) tests?/m;
    my ($skipped) = $output =~ /^\[ *SKIPPED *\] (\d+) tests?/m;
    my $failures = $total - ($passes // 0) - ($skipped // 0);
    $failures = 1 if $status && !$failures;
    return ($total - $failures, $failures);
}

# --- fuzzing

sub fuzz {
    my @names = map { basename($_, '_fuzz.cpp') } sort glob 't/fuzz/' . ($ENV{FUZZ_TARGET} // '*') . '_fuzz.cpp';
    my @flags = (@core, @warnings, '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=undefined');
    my %targets = map { ("fuzz-$_" => [files_below(qr/\.cpp\z/, @pure), "t/fuzz/${_}_fuzz.cpp"]) } @names;
    my $binaries = compile('fuzz', \@flags, \%targets, [qw(-lcrypto -lhiredis)]);
    @names = grep { $binaries->{"fuzz-$_"} } @names;
    my @results = capture_all(map { [$binaries->{"fuzz-$_"}, fuzz_options($_)] } @names);
    for my $name (@names) {
        my ($status, $output) = @{shift @results};
        print tail($output, 40) if $status;
        count("fuzz $name", $status ? 0 : 1, $status ? 1 : 0);
    }
    return;
}

# A fixed seed, a fixed number of inputs and the same corpus: the same run everywhere. libFuzzer
# writes what it finds into the first folder. A long run (FUZZ_RUNS) keeps that in build/ and goes
# on from it the next time. scripts/pack-corpus.sh adds what is worth keeping to t/fuzz/corpus/.
sub fuzz_options {
    my ($name) = @_;
    my $found = "build/fuzz-$name/corpus";
    if (!$ENV{FUZZ_RUNS}) {
        $found = "build/fuzz-$name/found";
        remove_tree($found);
    }
    make_path($found);
    my @options = ('-runs=' . ($ENV{FUZZ_RUNS} // $fuzz_runs{$name} // 100_000), '-seed=1', '-print_final_stats=0', '-verbosity=1',
        "-artifact_prefix=build/fuzz-$name/");
    my $words = "t/fuzz/dictionaries/$name.dict";
    push @options, "-dict=$words" if -e $words;
    return (@options, $found, unpacked_corpus($name));
}

# The folder of the inputs that t/fuzz/corpus/ has for a target, if any.
sub unpacked_corpus {
    my ($name) = @_;
    my $archive = "t/fuzz/corpus/$name.tar.gz";
    return if !-e $archive;
    my $seeds = "build/fuzz-$name/seeds";
    remove_tree($seeds);
    make_path($seeds);
    system('tar', '-xzf', $archive, '-C', $seeds) == 0 or die "$archive cannot be unpacked\n";
    return $seeds;
}

# --- nginx

sub nginx {
    my @tests = map { -d ? files_below(qr/\.t\z/, $_) : $_ } @ARGV;
    @tests = nginx_tests() if !@ARGV;
    return if !@tests;
    my $harness = TAP::Harness->new({
        lib => ['t/lib'], verbosity => -1, jobs => $jobs, merge => 0, color => 0, failures => 1,
        timer => $ENV{TEST_TIMES} // 0,
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

# All but t/soak/, which takes hours. t/00_harness.t comes first.
sub nginx_tests {
    return grep { !m{^t/soak/} } files_below(qr/\.t\z/, 't');
}

# --- what they share

sub count {
    my ($what, $good, $bad) = @_;
    $passed += $good;
    $failed += $bad;
    printf "%-20s %d passed, %d failed\n", $what, $good, $bad if $suite eq 'all';
    return;
}

# The files below the folders whose paths match, sorted.
sub files_below {
    my ($pattern, @folders) = @_;
    my @files;
    find({no_chdir => 1, wanted => sub { push @files, $_ if $_ =~ $pattern && -f }}, @folders);
    return sort @files;
}

# Compiles each source on its own, several at a time and only what has changed, and links the binaries:
# {name => [sources]}, which share their objects. Returns {name => path} of those that were built, and counts
# the others as failures.
sub compile {
    my ($group, $flags, $binaries, $libraries) = @_;
    my $objects = "build/objects-$group";
    make_path($objects, map { "build/$_" } keys %$binaries);
    system('src/redis/script/join.sh', 'build/generated') == 0 or die "the script for Redis cannot be made\n";
    my ($compiler, %source_of) = ($ENV{TEST_CXX} // 'clang++');
    open my $makefile, '>', "$objects/Makefile" or die "$objects/Makefile: $!\n";
    print {$makefile} "all: @{[map { qq(build/$_/run) } sort keys %$binaries]}\n";
    for my $name (sort keys %$binaries) {
        my %here = map { object($objects, $_) => $_ } @{$binaries->{$name}};
        print {$makefile} "build/$name/run: @{[sort keys %here]}\n\t$compiler @$flags -o \$@ \$^ @$libraries\n";
        %source_of = (%source_of, %here);
    }
    for my $object (sort keys %source_of) {
        my $source = $source_of{$object};
        my @more = $source =~ m{^t/unit/} ? @tests_of_core : ();
        print {$makefile} "$object: $source $objects/flags\n\t$compiler @$flags @more -MMD -MP -c -o \$@ \$<\n";
    }
    print {$makefile} "-include $objects/*.d\n";
    close $makefile;
    write_if_changed("$objects/flags", "$compiler @$flags @tests_of_core\n");
    my ($status, $output) = capture('make', '-k', '-f', "$objects/Makefile", '-j', $cpus, 'all');
    my %built = map { ($_ => "build/$_/run") } keys %$binaries;
    return \%built if !$status;
    open my $log, '>', "build/$group.log";
    print {$log} $output;
    print "$group does not compile (build/$group.log):\n", tail($output, 40);
    for my $name (sort keys %built) {
        next if capture('make', '-q', '-f', "$objects/Makefile", $built{$name}) == 0;
        count($name, 0, 1);
        delete $built{$name};
    }
    return \%built;
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
    return @{(capture_all(\@command))[0]};
}

# The same for several commands, $jobs at a time: [exit status, output] of each, in their order.
sub capture_all {
    my (@commands) = @_;
    my (%number_of, @outputs, @results);
    my $reap = sub {
        my $pid = waitpid -1, 0;
        my $i = delete $number_of{$pid} // return;
        my $status = $?;
        seek $outputs[$i], 0, 0;
        local $/;
        $results[$i] = [$status, readline($outputs[$i]) // ''];
    };
    for my $i (0 .. $#commands) {
        $reap->() while keys %number_of >= $jobs;
        open $outputs[$i], '+>', undef or die "a temporary file: $!\n";
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
            open STDOUT, '>&', $outputs[$i] or die "output: $!\n";
            open STDERR, '>&', \*STDOUT or die "output: $!\n";
            my @command = @{$commands[$i]};
            exec {$command[0]} @command or die "$command[0]: $!\n";
        }
        $number_of{$pid} = $i;
    }
    $reap->() while %number_of;
    return @results;
}

sub tail {
    my ($text, $lines) = @_;
    my @all = split /^/, $text;
    return @all > $lines ? @all[-$lines .. -1] : @all;
}
