#!/usr/bin/perl

# Checks the folders under src/:
#
#   - core/ includes nothing of prices/, redis/ and nginx/, nor what stands beside them, and those two nothing of nginx/;
#   - no folder includes, directly or by others, from a folder that includes from it;
#   - no folder has more than 20 files.
#
#   scripts/check-folders.pl          check; the status is 1 if something is wrong
#   scripts/check-folders.pl --list   also print the folders, the lowest first, with their files and includes

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find qw(find);

chdir dirname(__FILE__) . '/../src' or die "chdir: $!\n";

my $most_files = 20;

my %parts = (core => 0, prices => 1, redis => 1, nginx => 2);
my (%files, %uses, %floor, %entered);
my $wrong = 0;

find({no_chdir => 1, wanted => \&read_file}, keys %parts);
for my $folder (sort keys %files) {
    floor_of($folder);
    my $count = @{$files{$folder}};
    complain("src/$folder has $count files; at most $most_files are easy to find one's way in") if $count > $most_files;
}
if (grep { $_ eq '--list' } @ARGV) {
    for my $folder (sort { $floor{$a} <=> $floor{$b} || $a cmp $b } keys %files) {
        printf "%d  %-16s %3d files  %s\n", $floor{$folder}, $folder, scalar @{$files{$folder}}, join ' ', sort keys %{$uses{$folder}};
    }
}
exit $wrong;

sub read_file {
    return if !/\.(?:cpp|h)\z/;
    my $path   = $_;
    my $folder = dirname($path);
    push @{$files{$folder}}, $path;
    open my $file, '<', $path or die "$path: $!\n";
    while (my $line = <$file>) {
        complain("src/$path includes $1, which needs nginx") if $folder =~ m{\Acore/} && $line =~ m{^#include "([^"/]+)"};
        my ($included) = $line =~ m{^#include "([^"]+/[^"]+)"} or next;
        my $from = dirname($included);
        next if $from eq $folder || !exists $parts{part_of($from)};
        complain("src/$path includes $included, which is above it") if $parts{part_of($from)} > $parts{part_of($folder)};
        $uses{$folder}{$from} //= "src/$path includes $included";
    }
    return;
}

sub part_of {
    my ($folder) = @_;
    return $folder =~ s{/.*}{}sr;
}

# One more than the highest floor of the folders that it includes from.
sub floor_of {
    my ($folder, @way) = @_;
    if ($entered{$folder}) {
        complain("a circle of includes: " . join '; ', map { $uses{$way[$_]}{$way[$_ + 1] // $folder} } (grep { $way[$_] eq $folder } 0 .. $#way)[0] .. $#way);
        return 0;
    }
    return $floor{$folder} if defined $floor{$folder};
    local $entered{$folder} = 1;
    my $floor = 0;
    for my $used (sort keys %{$uses{$folder}}) {
        my $above = floor_of($used, @way, $folder) + 1;
        $floor = $above if $above > $floor;
    }
    return $floor{$folder} = $floor;
}

sub complain {
    my ($text) = @_;
    print "$text\n";
    $wrong = 1;
    return;
}
