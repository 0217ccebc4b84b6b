# make install: scripts/install.sh.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $built = AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';
my $name = 'ngx_http_ai_limit_module.so';
my $nginx = AiLimit::Nginx->prepare(module => 0, main => "load_module %%DIR%%/prefix/modules/$name;", http => <<'CONF');
    ai_limit_policy few key=$uri rate=3r/h;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { ai_limit few; empty_gif; }
    }
CONF
my $dir = $nginx->dir;

# The files that scripts/install.sh looks at, in a folder that the test may change.
make_path("$dir/tree/scripts", "$dir/tree/build");
copy("$FindBin::Bin/../../scripts/install.sh", "$dir/tree/scripts") or die "install.sh: $!";
use_module($built);
# An nginx under a prefix of its own.
my $binary = wrapper('own', "--prefix=$dir/prefix");
my $target = "$dir/prefix/modules/$name";

subtest 'for a self-built nginx' => sub {
    my ($status, $output) = install($binary);
    is $status, 0, 'it is installed' or diag $output;
    like $output, qr/^installed \Q$target\E$/m, 'below its prefix';
    is +(stat $target)[2] & 07777, 0644, 'to be read by all';
    is_deeply [sort map { s{.*/}{}r } glob "$dir/prefix/modules/{.,}*.*o*"], [$name], 'and nothing else';
};

subtest 'a module that is in use' => sub {
    $nginx->launch;
    is get($nginx->port, '/a')->{status}, 200, 'an nginx that runs with it';
    link $target, "$dir/mapped" or die "link: $!";
    my $content = slurp($target);
    open my $longer, '>>', "$dir/tree/build/$name" or die "$name: $!";
    print {$longer} "\0" x 100;
    close $longer;
    my ($status, $output) = install($binary);
    is $status, 0, 'a new one is installed' or diag $output;
    is -s $target, 100 + length $content, 'in place of it';
    ok slurp("$dir/mapped") eq $content, 'and not over it';
    is get($nginx->port, '/a')->{status}, 200, 'that nginx goes on';
    $nginx->reload;
    is get($nginx->port, '/a')->{status}, 200, 'over a reload, too';
    $nginx->stop;
};

subtest 'a module that this nginx does not load' => sub {
    my $before = slurp($target);
    $nginx->write_file("tree/build/$name", 'nonsense');
    my ($status, $output) = install($binary);
    isnt $status, 0, 'is not installed';
    like $output, qr/dlopen\(\) ".*" failed.*does not load this module, so it was not installed/s, 'which is said';
    ok slurp($target) eq $before, 'and the former one stays';
    use_module($built);
};

subtest 'the folder that nginx names' => sub {
    my $other = wrapper('other', "--prefix=$dir/other --modules-path=$dir/lib/modules --with-compat");
    like +(install($other))[1], qr{^installed \Q$dir/lib/modules/$name\E$}m, 'by --modules-path';
    ok -s "$dir/lib/modules/$name", 'it is';
    my ($status, $output) = install($other, DESTDIR => "$dir/image");
    is $status, 0, 'or below DESTDIR' or diag $output;
    ok -s "$dir/image$dir/lib/modules/$name", 'for a package';
    like +(install(wrapper('none', '--with-compat'), DESTDIR => "$dir/image"))[1],
        qr{^installed \Q$dir/image/usr/local/nginx/modules/$name\E$}m, "else where nginx's sources put it";
};

done_testing;

# An nginx that says it was configured so; else the one that is tested.
sub wrapper {
    my ($as, $arguments) = @_;
    my $path = $nginx->write_file("nginx-$as", <<"SH");
#!/bin/sh
[ "\$1" != -V ] || { echo 'configure arguments: $arguments' >&2; exit 0; }
exec @{[AiLimit::Nginx::binary()]} "\$@"
SH
    chmod 0755, $path;
    return $path;
}

# (exit code, output)
sub install {
    my ($nginx_bin, %env) = @_;
    local @ENV{'NGINX_BIN', keys %env} = ($nginx_bin, values %env);
    my $output = qx(bash '$dir/tree/scripts/install.sh' 2>&1);
    return ($?, $output);
}

sub use_module { my ($path) = @_; return copy($path, "$dir/tree/build/$name") || die "$path: $!" }

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or return '';
    local $/;
    return scalar readline $file;
}
