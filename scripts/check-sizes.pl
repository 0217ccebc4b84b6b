#!/usr/bin/perl

# Checks the sizes of what is under src/:
#
#   - no file has more than 500 lines;
#   - no function has more than 60 lines, from its return type to its closing brace;
#   - no class, struct or union has more than 300 lines.
#
#   scripts/check-sizes.pl          check; the status is 1 if something is too long
#   scripts/check-sizes.pl --list   also print the longest files, functions and classes

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find qw(find);

chdir dirname(__FILE__) . '/../src' or die "chdir: $!\n";

my %most = (file => 500, function => 60, class => 300);
my $listed = 10;

# The page of the API is one file, so that it can be saved and sent as one.
my %any_length = map { $_ => 1 } qw(nginx/api/page.html);

# These are to be divided. Remove a name when it is.
my %larger = map { $_ => 1 } (
);

my %sizes = (file => [], function => [], class => []);
my $wrong = 0;

find({no_chdir => 1, wanted => \&read_file}, '.');
for my $kind (qw(file function class)) {
    my @longest = sort { $b->{lines} <=> $a->{lines} || $a->{name} cmp $b->{name} } @{$sizes{$kind}};
    for my $one (grep { $_->{lines} > $most{$kind} && !$larger{$_->{name}} } @longest) {
        print "src/$one->{name} has $one->{lines} lines; a $kind has at most $most{$kind}\n";
        $wrong = 1;
    }
    if (grep { $_ eq '--list' } @ARGV) {
        splice @longest, $listed if @longest > $listed;
        print "\nlongest, ${kind}:\n";
        printf "%5d  %s\n", $_->{lines}, $_->{name} for @longest;
    }
}
for my $name (sort keys %larger) {
    next if grep { $_->{name} eq $name && $_->{lines} > $most{$_->{kind}} } map { @$_ } values %sizes;
    print "src/$name is not too long any more: remove it from the list in scripts/check-sizes.pl\n";
    $wrong = 1;
}
exit $wrong;

sub read_file {
    return if !-f || m{/\.};
    my $path = s{\A\./}{}r;
    return if $any_length{$path} || $path =~ /\.md\z/;
    open my $file, '<', $_ or die "$path: $!\n";
    my $text = do { local $/; <$file> };
    note(file => $path, ($text =~ tr/\n//));
    read_scopes($path, blank_out($text)) if $path =~ /\.(?:cpp|h)\z/;
    return;
}

sub note {
    my ($kind, $name, $lines) = @_;
    push @{$sizes{$kind}}, {kind => $kind, name => $name, lines => $lines};
    return;
}

# Replaces comments, strings, characters and directives of the preprocessor. The lines stay.
sub blank_out {
    my ($text) = @_;
    $text =~ s{
          (?<directive> ^ [ \t]* \# (?: \\\n | [^\n] )* )
        | (?<comment> // [^\n]* | /\* .*? \*/ )
        | R"(?<raw>[^(\s]*) \( .*? \) \g{raw} "
        | " (?: \\. | [^"\\\n] )* "
        | (?<![0-9a-fA-F]) ' (?: \\. | [^'\\\n] )* '
    }{
        my $newlines = $& =~ tr/\n//;
        (defined $+{directive} || defined $+{comment} ? ' ' : '0') . "\n" x $newlines
    }gemsx;
    return $text;
}

# Finds where functions and classes begin and end, by their braces.
sub read_scopes {
    my ($path, $text) = @_;
    my ($line, $depth) = (1, 0);  # depth: of round brackets
    my ($head, $head_line) = ('', 1);
    my @scopes;
    while ($text =~ /\G(\s+|[{};()]|[^\s{};()]+)/g) {
        my $token = $1;
        if ($token =~ /\A\s/) {
            $line += $token =~ tr/\n//;
            $head .= ' ';
        } elsif ($token eq '{') {
            push @scopes, {%{classify($head, $depth, @scopes)}, line => $head_line, depth => $depth};
            ($head, $depth) = ('', 0);
        } elsif ($token eq '}') {
            my $scope = pop @scopes // die "$path:$line: a brace too many\n";
            note($scope->{kind}, "$path $scope->{name}", $line - $scope->{line} + 1) if $sizes{$scope->{kind}};
            $depth = $scope->{depth};
            # What a member of the list of initializers is set to does not end the function's head.
            $head = $scope->{kind} eq 'value' ? "$scope->{head}) " : '';
            $head_line = $scope->{line} if $scope->{kind} eq 'value';
        } elsif ($token eq ';' && $depth == 0) {
            $head = '';
        } else {
            $head_line = $line if $head !~ /\S/;
            $depth += $token eq '(' ? 1 : $token eq ')' ? -1 : 0;
            $head .= $token;
        }
    }
    die "$path: a brace too few\n" if @scopes;
    return;
}

sub classify {
    my ($head, $depth, @around) = @_;
    my %scope = (kind => 'other', name => '', head => $head);
    my $within = @around ? $around[-1]{kind} : 'namespace';
    $head =~ s/__attribute__ ?\(\([^()]*(?:\([^()]*\))?[^()]*\)\)|alignas ?\([^()]*\)|\b(?:public|private|protected)://g;
    return {%scope, kind => 'value'} if $depth > 0;
    return {%scope, kind => 'namespace'} if $head =~ /\A\s*(?:inline )?(?:namespace\b|extern 0\s*\z)/;
    return \%scope if $head =~ /\A\s*enum\b/;
    if ($head =~ /\A\s*(?:template ?<.*?> )?\s*(?:typedef )?(?:class|struct|union)\b\s*([\w:]*)(?!.*\))/s) {
        return {%scope, kind => 'class', name => length $1 ? $1 : '(without a name)'};
    }
    return {%scope, kind => 'value'} if $within ne 'namespace' && $within ne 'class';
    # The name of a function stands before its first bracket; = begins a value, but for operators.
    my ($before) = $head =~ /\A(.*?)\(/s or return {%scope, kind => 'value'};
    return {%scope, kind => 'value'} if $before =~ /(?<!operator)=/ && $before !~ /operator/;
    return {%scope, kind => 'value'} if $head =~ /\)\s*:.*[\w>]\s*\z/s && $head !~ /\)\s*(?:const|noexcept)\s*\z/;
    my ($name) = $before =~ /([~\w:]+|operator\S+)\s*\z/;
    my @classes = map { $_->{name} } grep { $_->{kind} eq 'class' } @around;
    return {%scope, kind => 'function', name => join '::', @classes, $name // '(without a name)'};
}
