#!/usr/bin/perl

# Checks what people read:
#
#   - each link of a page to a file or a heading of this project leads somewhere;
#   - few comments and sentences begin with a word that turns them around (style: subject, verb, object).
#
#   scripts/check-docs.pl          check all; the status is 1 if something is wrong
#   scripts/check-docs.pl --list   also print each such beginning

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Spec::Functions qw(canonpath);

chdir dirname(__FILE__) . '/..' or die "chdir: $!\n";

# The largest part that may.
my %most_inverted = (comments => 0.02, sentences => 0.02);
my $inverted      = qr/\A(?:Of|What|Who|Where|Whose|So|That)\b/;
my $list          = grep { $_ eq '--list' } @ARGV;
my $wrong         = 0;

my @files = split /\n/, qx(git ls-files --cached --others --exclude-standard);
my @pages = grep { /\.md\z/ && -e } @files;
check_links($_) for @pages;
check_openings('comments', map { comments($_) } grep { m{\A(?:src|t|bench|scripts)/.*\.(?:cpp|h|t|pm|pl|sh|mjs|lua)\z} && -e } @files);
check_openings('sentences', map { sentences($_) } @pages);
print "links and comments are in order\n" if !$wrong;
exit $wrong;

# --- links

sub check_links {
    my ($page) = @_;
    my $text = prose(slurp($page));
    while ($text =~ /\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)/g) {
        my ($path, $anchor) = split /#/, $1, 2;
        next if $path =~ /\A[a-z]+:/;
        my $target = $path eq '' ? $page : canonpath(dirname($page) . "/$path");
        1 while $target =~ s{[^/]+/\.\./}{};
        if (!-e $target) {
            complain("$page links to $path, which is not there");
        } elsif (defined $anchor && $target =~ /\.md\z/ && !anchors($target)->{$anchor}) {
            complain("$page links to #$anchor of $target, which has no such heading");
        }
    }
    return;
}

# The anchors that a page's headings have, as GitHub names them.
my %anchors_of;
sub anchors {
    my ($page) = @_;
    return $anchors_of{$page} //= do {
        my (%anchors, %times);
        for my $heading (prose(slurp($page)) =~ /^#+\s+(.*?)\s*$/mg) {
            my $anchor = lc $heading;
            $anchor =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
            $anchor =~ s/[^\w\- ]//g;
            $anchor =~ tr/ /-/;
            my $time = $times{$anchor}++;
            $anchors{$time ? "$anchor-$time" : $anchor} = 1;
        }
        \%anchors;
    };
}

# --- beginnings

sub check_openings {
    my ($what, @texts) = @_;
    my @found = grep { $_->[1] =~ $inverted } @texts;
    my $part  = @texts ? @found / @texts : 0;
    printf "%s: %d of %d (%.1f %%) begin with Of, What, Who, Where, Whose, So or That\n", $what, scalar @found, scalar @texts, 100 * $part;
    if ($list) {
        print "  $_->[0]: ", substr($_->[1], 0, 90), "\n" for @found;
    }
    complain(sprintf '%s: at most %.1f %% may', $what, 100 * $most_inverted{$what}) if $part > $most_inverted{$what};
    return;
}

# The comments of a source, each as [place, text] with the marks removed. Neighbouring lines are one comment.
sub comments {
    my ($path) = @_;
    my $mark = $path =~ /\.(?:cpp|h|mjs)\z/ ? qr{//|/\*\*?|\*(?!/)} : $path =~ /\.lua\z/ ? qr/--/ : qr/#(?!!)/;
    my (@comments, $open);
    my $number = 0;
    for my $line (split /\n/, slurp($path)) {
        ++$number;
        if ($line =~ /^\s*$mark\s*(.*?)(?:\s*\*\/)?\s*$/) {
            my $text = $1;
            if (!$open) {
                push @comments, ["$path:$number", $text];
                $open = 1;
            } elsif ($comments[-1][1] eq '') {
                $comments[-1][1] = $text;
            }
        } else {
            $open = 0;
        }
    }
    return grep { $_->[1] =~ /[A-Za-z]/ } @comments;
}

# The sentences of a page, each as [page, text]. Questions begin with such words, and are left out.
sub sentences {
    my ($page) = @_;
    my $text = prose(slurp($page));
    $text =~ s/^\s*(?:#.*|\|.*)$/\n/mg;           # headings and tables are no sentences
    $text =~ s/^\s*(?:[-*]|\d+\.)\s+/\n\n/mg;
    my @sentences;
    for my $paragraph (split /\n\s*\n/, $text) {
        $paragraph =~ s/\s+/ /g;
        push @sentences, map { ["$page", s/\A[\s*_`"(\[]+//r] } grep { /[A-Za-z]/ && !/\?[*)]*\z/ }
            split /(?:(?<=[.!?:])|(?<=[.!?:]\*\*))\s+(?=[A-Z*_`\["(])/, $paragraph;
    }
    return @sentences;
}

# --- what they share

# A page without its blocks of code.
sub prose {
    my ($text) = @_;
    return $text =~ s/^```.*?^```$//msgr;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return readline($file) // '';
}

sub complain {
    my ($text) = @_;
    print "$text\n";
    $wrong = 1;
    return;
}
