# make builds for the version of nginx that is installed, or says what to do: scripts/build.sh.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp ();
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/../..");
my $dir = File::Temp->newdir;
make_path("$dir/bin", "$dir/tree/scripts", map({ "$dir/tree/src/$_" } qw(core prices redis nginx)), "$dir/elsewhere");
for my $name (qw(scripts/build.sh scripts/nginx-source.sh config config.make)) {
    copy("$root/$name", "$dir/tree/$name") or die "$name: $!";
    chmod 0755, "$dir/tree/$name";
}
# A version that no distribution has, in nginx.org's words.
my $ORG = 'nginx version: nginx/1.99.7';
my $flags = 'configure arguments: --prefix=/etc/nginx --modules-path=/usr/lib/nginx/modules --with-compat';

subtest "nginx.org's nginx without a source in apt" => sub {
    program('nginx', qq(echo '$ORG' >&2; [ "\$1" = -v ] || echo '$flags' >&2));
    program($_, 'exit 100') for qw(apt-get apt-cache);
    my ($status, $output) = build();
    isnt $status, 0, 'nothing is built';
    like $output, qr{^\Q$dir\E/bin/nginx is nginx 1\.99\.7, and no source of this version was found}m, 'what is missing is said';
    like $output, qr{curl \S+ https://nginx\.org/download/nginx-1\.99\.7\.tar\.gz && tar }, 'where it is to be had';
    like $output, qr{^  make install NGINX_SRC=nginx-1\.99\.7 NGINX_BIN=\Q$dir\E/bin/nginx$}m, 'and what to do with it';
};

# apt with the source of one version.
sub offer {
    my ($version) = @_;
    program('apt-cache', qq(echo 'Version: $version-1~bookworm'));
    program('apt-get', <<"SH");
case "\$*" in
    *" source "*) mkdir -p nginx-$version/src/core
        echo '#define NGINX_VERSION "$version"' >nginx-$version/src/core/nginx.h
esac
SH
    return;
}

subtest 'apt has the source of another version' => sub {
    offer('1.22.1');
    my ($status, $output) = build();
    isnt $status, 0, 'it is not taken';
    like $output, qr/no source of this version was found/, 'and that is said';
    ok !-e "$dir/tree/build/nginx-source/nginx-1.22.1", 'it is not even fetched';
    make_path("$dir/tree/build/nginx-source/nginx-1.22.1/src/core");
    write_file('tree/build/nginx-source/nginx-1.22.1/src/core/nginx.h', '#define NGINX_VERSION "1.22.1"');
    ($status, $output) = build();
    like $output, qr/no source of this version was found/, 'one of an earlier build is not taken either';
};

subtest 'apt has the source of this version' => sub {
    offer('1.99.7');
    my ($status, $output) = build();
    like $output, qr/^building the module for nginx 1\.99\.7/m, 'it is for that version';
    like slurp("$dir/tree/build/nginx-installed/.from"), qr{/nginx-source/nginx-1\.99\.7 1\.99\.7$}, 'with that source';
};

subtest 'nginx is from no package' => sub {
    remove_tree("$dir/tree/build");
    program('dpkg-query', 'exit 1');
    my ($status, $output) = build();
    like $output, qr/^building the module for nginx 1\.99\.7/m, "apt's source is taken all the same";
    unlink "$dir/bin/dpkg-query";
    make_path("$dir/tree/build/nginx-source/nginx-1.22.1/src/core");
    write_file('tree/build/nginx-source/nginx-1.22.1/src/core/nginx.h', '#define NGINX_VERSION "1.22.1"');
};

subtest 'another server that is called nginx' => sub {
    program('nginx', q(echo 'nginx version: openresty/1.27.1.1' >&2));
    my ($status, $output) = build();
    isnt $status, 0, 'is not built for by guess';
    like $output, qr/is openresty\/1\.27\.1\.1\. Build with its source tree: make install NGINX_SRC=path/, 'which is said';
};

subtest 'a source for an nginx that is of another version' => sub {
    program('nginx', "echo '$ORG' >&2");
    my ($status, $output) = build(NGINX_SRC => "$dir/tree/build/nginx-source/nginx-1.22.1", NGINX_BIN => "$dir/bin/nginx");
    isnt $status, 0, 'is refused';
    like $output, qr/is 1\.99\.7, but NGINX_SRC=\S+ is 1\.22\.1/, 'with both versions';
};

subtest 'a fork of nginx and its source' => sub {
    my $tree = "$dir/fork";
    make_path("$tree/src/core");
    write_file('fork/src/core/nginx.h', '#define NGINX_VERSION "1.27.1"');
    my %says = (
        OpenResty => q(echo 'nginx version: openresty/1.27.1.1'),
        freenginx => q(echo 'nginx version: freenginx/1.27.1'),
        Angie     => q(echo 'Angie version: Angie/1.9.0'; [ "$1" = -v ] || echo 'nginx version: nginx/1.27.1'),
    );
    for my $fork (sort keys %says) {
        remove_tree("$dir/tree/build/nginx-src");
        program('fork', "{ $says{$fork}; } >&2");
        my ($status, $output) = build(NGINX_SRC => $tree, NGINX_BIN => "$dir/bin/fork");
        unlike $output, qr/but NGINX_SRC/, "$fork: the source fits";
        like slurp("$dir/tree/build/nginx-src/.from"), qr{^\Q$tree\E 1\.27\.1$}, 'and is built';
    }
};

# nginx's configure runs `config` between its own lists and auto/module.
subtest 'a part of nginx (--add-module)' => sub {
    make_path("$dir/nginx/auto");
    write_file('nginx/auto/feature', 'ngx_found=no');
    write_file('nginx/auto/module', 'eval ${ngx_module_type}_MODULES=\"\$${ngx_module_type}_MODULES $ngx_module_name\"');
    write_file('nginx/configure', <<'SH');
HTTP_FILTER_MODULES='ngx_http_write_filter_module ngx_http_headers_filter_module'
. "$ngx_addon_dir/config"
echo $HTTP_FILTER_MODULES $HTTP_AUX_FILTER_MODULES
SH
    local @ENV{qw(ngx_addon_dir ngx_module_link)} = ("$dir/tree", 'ADDON');
    is qx(cd '$dir/nginx' && sh configure),
        "ngx_http_write_filter_module ngx_http_ai_limit_pages_module ngx_http_headers_filter_module ngx_http_ai_limit_module\n",
        "has one filter before add_header's and one behind it, as a dynamic module has";
};

is_deeply [glob "$dir/elsewhere/*"], [], 'nothing is written to the folder that a build is called from';
done_testing;

# (exit status, output)
sub build {
    my (%env) = @_;
    delete local @ENV{qw(NGINX_SRC NGINX_BIN OUT SANITIZE AI_LIMIT_WERROR)};
    local @ENV{'PATH', keys %env} = ("$dir/bin:$ENV{PATH}", values %env);
    my $output = qx(cd '$dir/elsewhere' && '$dir/tree/scripts/build.sh' 2>&1);
    return ($?, $output);
}

sub program {
    my ($name, $text) = @_;
    write_file("bin/$name", "#!/bin/sh\n$text\n");
    return chmod 0755, "$dir/bin/$name";
}

sub write_file {
    my ($name, $text) = @_;
    open my $file, '>', "$dir/$name" or die "$name: $!";
    print {$file} $text;
    return close $file;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar readline $file;
}
