# scripts/version.sh: by which version a package is known.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp ();
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/../..");
my $dir = File::Temp->newdir;
plan skip_all => 'there is no git' if system('git --version >/dev/null 2>&1') != 0;
run("mkdir -p scripts src/core/words && cp '$root/scripts/version.sh' scripts");
set_version('1.2.3');

is what_it_says(), '1.2.3', 'without a history, what the source says';

run('git init -q');
commit('2026-01-02T03:04:05Z');
my $early = what_it_says();
like $early, qr/^1\.2\.3~git20260102030405\.[0-9a-f]{7,}$/, 'between releases, with the commit';
commit('2026-01-02T05:04:05+01:00');
my $late = what_it_says();
SKIP: {
    skip 'there is no dpkg', 1 if system('command -v dpkg >/dev/null') != 0;
    is_deeply [map { system(qw(dpkg --compare-versions), @$_) } [$early, 'lt', $late], [$late, 'lt', '1.2.3']], [0, 0],
        'which Debian sorts by their time, and before the release';
}

run('git tag v1.2.3');
is what_it_says(), '1.2.3', 'a tag makes the release';
run('git tag other');
is what_it_says(), '1.2.3', 'whatever other tags there are';
run('touch new');
like what_it_says(), qr/^1\.2\.3~git\d+\.[0-9a-f]+\.changed$/, 'but not of something that was changed';
run('rm new');

set_version('1.3.0');
commit('2026-01-03T00:00:00Z');
run('git tag v1.4.0');
is what_it_says(), "HEAD is tagged v1.4.0, but src/core/words/version.h says 1.3.0\n", 'a tag that says something else is an error';
isnt $?, 0, 'which ends the build';
set_version('1.3');
like what_it_says(), qr/no version that is one: '1\.3'/, 'as is what is no version';

done_testing;

sub what_it_says {
    my $said = qx('$dir/scripts/version.sh' 2>&1);
    chomp $said if !$?;
    return $said;
}

sub set_version {
    my ($version) = @_;
    open my $file, '>', "$dir/src/core/words/version.h" or die "version.h: $!";
    print {$file} qq(inline constexpr char kVersion[] = "$version";\n);
    return close $file;
}

sub commit {
    my ($time) = @_;
    local @ENV{qw(GIT_AUTHOR_DATE GIT_COMMITTER_DATE)} = ($time, $time);
    return run('git add . && git -c user.name=t -c user.email=t -c commit.gpgsign=false commit -q --allow-empty -m m');
}

sub run {
    my ($command) = @_;
    local $ENV{GIT_CONFIG_GLOBAL} = '/dev/null';
    return system("cd '$dir' && { $command; }") == 0 || die "$command: $?";
}
