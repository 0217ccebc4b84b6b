# The Debian package: built, installed, upgraded and removed with Debian's nginx, on a machine of its own.

use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use JSON::PP ();
use Test::More;

use AiLimit::Machine;

use constant MODULE  => '/usr/lib/nginx/modules/ngx_http_ai_limit_module.so';
use constant ENABLED => '/etc/nginx/modules-enabled/50-mod-http-ai-limit.conf';
use constant STATE   => '/var/lib/nginx/ai_limit';
use constant NEWER   => '0.1.9';

my $scratch = File::Temp->newdir;
my $root = abs_path("$FindBin::Bin/../..");
my $name = 'libnginx-mod-http-ai-limit';

plan skip_all => 'this is not the nginx that is tested' if $ENV{NGINX_SRC} || $ENV{NGINX_BIN} || $ENV{AI_LIMIT_MODULE};
plan skip_all => 'nginx is not one of Debian that modules can be packaged for' if !-x '/usr/bin/dh_nginx';
my $machine = AiLimit::Machine->start
    // plan skip_all => 'packages are only installed on a machine of its own, which takes root, namespaces and an overlay';

my $tree_before = qx(git -C '$root' status --porcelain);
my $built = qx(cd '$root' && scripts/deb.sh 2>&1);
is $?, 0, 'the package is built' or BAIL_OUT($built);
my ($package) = $built =~ m{^(build/deb/\S+\.deb) };
is qx(git -C '$root' status --porcelain), $tree_before, 'and leaves no change in the tree';

$machine->bring("$root/$package", '/root/first');
$machine->bring(newer_than("$root/$package"), '/root/second');
$machine->bring("$root/t/lib", '/srv');
my ($first, $second) = map { "/root/$_/*.deb" } qw(first second);

# Removes whatever nginx serves on the real machine.
$machine->run("dpkg --purge $name; rm -f /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*");
my $model = $machine->start_command('exec perl /srv/lib/model_server.pl 8081');
readline $model;
write_site('');
$machine->must('invoke-rc.d nginx start');

subtest 'installed' => sub {
    my $master = master();
    my ($status, $output) = $machine->run("dpkg --install $first");
    is $status, 0, 'without an error' or diag $output;
    is $machine->must('readlink ' . ENABLED), "/usr/share/nginx/modules-available/mod-http-ai-limit.conf\n",
        'the module is enabled';
    is_deeply [$machine->run('nginx -t -q')], [0, ''], 'nginx accepts it';
    ok $machine->wait_for(loaded()), 'the running nginx loads it';
    is master(), $master, 'by a reload';
    is $machine->must('stat -c "%U %G %a" ' . STATE), "www-data www-data 750\n", 'there is a folder for state';
    my $docs = "/usr/share/doc/$name";
    is_deeply [$machine->run("cd $docs && ls README.md docs/README.md conf-examples/quickstart.conf changelog.gz copyright examples/quickstart.conf >/dev/null")],
        [0, ''], 'and documentation';
};

subtest 'it limits' => sub {
    write_site(limits());
    is_deeply [$machine->run('nginx -t -q')], [0, ''], 'nginx accepts limits';
    $machine->must('invoke-rc.d nginx reload');
    ok $machine->wait_for('curl -sf http://127.0.0.1/ai_limit/status >/dev/null'), 'which a reload brings';
    is statuses('a', 4), '200 200 200 429', 'and which is valid';
    is status()->{version}, version(), 'by this version';
};

subtest 'what is counted' => sub {
    $machine->must('touch /root/counted');
    ok $machine->wait_for('test ' . STATE . '/counts -nt /root/counted'), 'is saved by the workers';
    $machine->must('invoke-rc.d nginx restart');
    ok $machine->wait_for('curl -sf http://127.0.0.1/ai_limit/status >/dev/null'), 'over a restart';
    is statuses('a', 1), '429', 'it stays';
};

subtest 'upgraded' => sub {
    my $master = master();
    my $answer = $machine->start_command(
        q(curl -sN -d '{"stream":true}' 'http://127.0.0.1/v1/chat/completions?gate=g'));
    like readline($answer), qr/^data:/, 'while an answer is under way';
    my ($status, $output) = $machine->run("dpkg --install $second");
    is $status, 0, 'without an error' or diag $output;
    isnt master(), $master, 'another nginx takes over';
    ok $machine->wait_for(loaded()), 'with the new module';
    ok $machine->wait_for("! pgrep -P $master -fx 'nginx: worker process'"), 'to which all new requests go';
    is status()->{version}, NEWER, 'of the new version';
    is statuses('a', 1) . ' ' . statuses('b', 4), '429 200 200 200 429', 'which goes on with what was counted';
    my $rest = finish($answer);
    like $rest, qr/data: \[DONE\]/, 'the answer comes to its end';
    ok $machine->wait_for("! test -e /proc/$master/exe"), 'then the former nginx ends';
};

subtest 'upgraded with an invalid configuration' => sub {
    my $master = master();
    write_site('no_such_directive;');
    my ($status, $output) = $machine->run("dpkg --install $first");
    is $status, 0, 'that is no error';
    like $output, qr/nginx was not restarted, since its configuration does not hold/, 'but it is said';
    is master(), $master, 'nginx goes on';
    is status()->{version}, NEWER, 'with what it has';
    write_site(limits());
    $machine->must("dpkg --install $second");
    ok $machine->wait_for(loaded() . " && ! pgrep -P $master"), 'until the next one that can be taken';
};

subtest 'removed' => sub {
    is statuses('c', 4), '200 200 200 429', 'something was counted';
    $machine->must('invoke-rc.d nginx restart');    # which saves
    write_site('');
    my ($status, $output) = $machine->run("dpkg --remove $name");
    is $status, 0, 'without an error' or diag $output;
    is_deeply [$machine->run('nginx -t -q')], [0, ''], 'nginx is content without it';
    ok $machine->wait_for('curl -s http://127.0.0.1/without | grep served'), 'and the running nginx is reloaded';
    is +($machine->run('test -s ' . STATE . '/counts'))[0], 0, 'that is kept';

    $machine->must("dpkg --install $second");
    write_site(limits());
    $machine->must('nginx -t -q && invoke-rc.d nginx reload');
    ok $machine->wait_for('curl -sf http://127.0.0.1/ai_limit/status >/dev/null'), 'installed again, it is back';
    is statuses('c', 1), '429', 'and goes on with it';
    write_site('');
};

subtest 'purged' => sub {
    my ($status, $output) = $machine->run("dpkg --purge $name");
    is $status, 0, 'without an error' or diag $output;
    is_deeply [$machine->run('nginx -t -q')], [0, ''], 'nginx is content without it';
    is $machine->must('find /etc/nginx /usr /var/lib/nginx -name "*ai[-_]limit*" -path "*nginx*"'), '', 'nothing is left';
};

subtest 'nginx does not run' => sub {
    $machine->must('invoke-rc.d nginx stop');
    my ($status, $output) = $machine->run("dpkg --install $first && dpkg --install $second && dpkg --purge $name");
    is $status, 0, 'it is installed, upgraded and purged' or diag $output;
    isnt +($machine->run('pgrep -x nginx'))[0], 0, 'and nginx is not started';
};

undef $machine;
done_testing;

# The same as a newer version would be; but for its number nothing in the module has changed.
sub newer_than {
    my ($path) = @_;
    my ($old, $new) = (version(), NEWER);
    my $tree = "$scratch/tree";
    system('dpkg-deb', '--raw-extract', $path, $tree) == 0 or die "dpkg-deb: $?";
    edit("$tree/DEBIAN/control", sub { s/^Version: .*/Version: $new-1/m });
    edit($tree . MODULE, sub { s/\Q$old\E\0/$new\0/ });
    unlink "$tree/DEBIAN/md5sums";
    system("dpkg-deb --root-owner-group --build '$tree' '$scratch/newer.deb' >/dev/null") == 0 or die "dpkg-deb: $?";
    return "$scratch/newer.deb";
}

sub edit {
    my ($path, $change) = @_;
    local $_ = AiLimit::Machine::slurp($path);
    $change->() or die "$path has nothing to change";
    open my $file, '>', $path or die "$path: $!";
    print {$file} $_;
    return close $file;
}

sub version {
    my ($version) = AiLimit::Machine::slurp("$root/src/core/words/version.h") =~ /kVersion\[\] = "(.*)"/;
    return $version;
}

sub write_site {
    my ($limits) = @_;
    return $machine->write_file('/etc/nginx/conf.d/site.conf', <<"CONF");
        server {
            listen 127.0.0.1:80;
            location = /without { return 200 served; }
            location /v1/ { proxy_pass http://127.0.0.1:8081; proxy_buffering off; }
        }
        $limits
CONF
}

sub limits {
    return <<"CONF";
        ai_limit_zone zone=ai:1m state=@{[STATE]}/counts;
        ai_limit_policy few key=\$http_x_key rate=3r/h;
        server {
            listen 127.0.0.2:80;
            location /limited { ai_limit few; empty_gif; }
        }
        server {
            listen 127.0.0.1:80;
            server_name 127.0.0.1;
            location /v1/ { proxy_pass http://127.0.0.1:8081; proxy_buffering off; }
            location /ai_limit/ { ai_limit_api; }
        }
CONF
}

# Returns the statuses of the next `count` requests of a key.
sub statuses {
    my ($key, $count) = @_;
    my $one = "curl -s -o /dev/null -w '%{http_code} ' -H 'X-Key: $key' http://127.0.0.2/limited";
    return $machine->must(join '; ', ($one) x $count) =~ s/ $//r;
}

sub status { return JSON::PP->new->utf8->decode($machine->must('curl -sf http://127.0.0.1/ai_limit/status')) }
sub master { return $machine->must('cat /run/nginx.pid') =~ s/\s//gr }

# A command that tells whether the running nginx has the module, as it is there.
sub loaded { return 'grep -q "' . MODULE . '$" /proc/$(cat /run/nginx.pid)/maps' }

# Lets an answer that waits for the model server go on; all of it.
sub finish {
    my ($answer) = @_;
    $machine->must('for i in 1 2 3 4 5 6 7 8 9 10; do curl -s "http://127.0.0.1:8081/next?gate=g"; done');
    local $/;
    return readline $answer;
}
