# The module compiles with the compilers, flags and headers of other systems than the one that the tests run on:
# with Clang, with link-time optimization as on Ubuntu, and with what nginx 1.18's and Angie's headers have of their own.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp ();
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/../..");
my ($tree) = grep { -f "$_/objs/Makefile" } map { "$root/build/nginx-$_" } $ENV{NGINX_SRC} ? 'src' : 'installed';
plan skip_all => 'the module is not built here' if !$tree;
chomp(my $cpus = qx(nproc) || 2);
my $dir = File::Temp->newdir;
my %arguments_of = compiler_arguments();
my @sources = sort keys %arguments_of;
plan skip_all => 'nginx-dev of this system compiles in another way' if !@sources;

# Up to 1.19 this macro has no parentheses around its argument, so it takes nothing but a name.
write_file('old_macros.h', <<'H');
extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
}
#undef ngx_buf_in_memory
#define ngx_buf_in_memory(b) (b->temporary || b->memory || b->mmap)
H

subtest 'Clang, with the macros of nginx 1.18' => sub {
    plan skip_all => 'there is no Clang' if system('command -v clang >/dev/null') != 0;
    # The unit tests compile with Clang what needs no nginx.
    my @of_nginx = grep { m{/src/(?:nginx|redis)/} } @sources;
    cmp_ok scalar @of_nginx, '>', 40, 'sources that need nginx';
    my @flags = qw(-fsyntax-only -Werror -Wno-unused-command-line-argument -Wno-unknown-warning-option);
    is compile('clang', [@flags, '-include', "$dir/old_macros.h"], @of_nginx), '', 'compile without a warning';
};

subtest 'the resolver of Angie' => sub {
    my $header = slurp("$tree/src/core/ngx_resolver.h");
    ok $header =~ s/ngx_array_t(\s+)connections;/ngx_resolver_connection_t$1*connections;/, 'has a list of servers';
    write_file('angie/ngx_resolver.h', $header);
    my @uses = grep { slurp($_) =~ /resolver/ } @sources;
    cmp_ok scalar @uses, '>', 0, 'sources that use it';
    is compile('c++', ['-fsyntax-only', "-I$dir/angie"], @uses), '', 'compile';
};

subtest "Ubuntu's flags" => sub {
    my @flags = qw(-flto=auto -ffat-lto-objects -fstack-protector-strong -fstack-clash-protection -fcf-protection -O2);
    my @of_page = grep { m{/api/api_page\.cpp$} } @sources;
    is compile('c++', ["-o$dir/page.o", @flags], @of_page), '', 'the page compiles';
    my $output = qx(cd / && c++ -shared -fPIC @flags -o '$dir/page.so' '$dir/page.o' 2>&1);
    is $?, 0, 'and is linked in another folder' or diag $output;
    my ($module, $page) = (slurp("$dir/page.so"), slurp("$root/src/nginx/api/page.html"));
    ok index($module, $page) >= 0, 'and is there, byte for byte';
};
done_testing;

# {source => arguments of its compiler, but for -c and -o}, as nginx's own Makefile has them.
sub compiler_arguments {
    my $commands = qx(cd '$tree' && env -u MAKEFLAGS -u MAKELEVEL make -n -B -f objs/Makefile modules 2>&1);
    $commands =~ s/\\\n//g;
    my %found;
    for my $command (split /\n/, $commands) {
        my ($arguments, $source) = $command =~ m{^\s*\S+ -c (.*?)\s-o \S+\s+(\Q$root\E/src/\S+\.cpp)\s*$} or next;
        $found{$source} = $arguments;
    }
    return %found;
}

# Compiles them, several at a time. Returns the compiler's complaints, or nothing if it has none.
sub compile {
    my ($compiler, $flags, @which) = @_;
    my $rules = join '', map { "all: $_.ok\n$_.ok:\n\t\@cd '$tree' && $compiler -c $arguments_of{$_} @$flags $_\n.PHONY: $_.ok\n" } @which;
    write_file('Makefile', $rules);
    my $said = qx(env -u MAKEFLAGS -u MAKELEVEL make -k -j $cpus -f '$dir/Makefile' all 2>&1);
    return $? ? $said || 'it fails' : '';
}

sub write_file {
    my ($name, $text) = @_;
    mkdir "$dir/$1" if $name =~ m{^(.*)/};
    open my $file, '>', "$dir/$name" or die "$name: $!";
    print {$file} $text;
    return close $file;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/;
    return scalar readline $file;
}
