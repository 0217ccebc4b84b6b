# Tests that counts outlive nginx (ai_limit_zone state=), however it ends. A file that cannot be read or written keeps
# no nginx from limiting.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience qw(wait_until);

use constant SAVES => 5;    # seconds, from one save to the next

my $nginx = start();
my $api = AiLimit::Api->new($nginx->port);
my $state = $nginx->dir . '/state/ai.state';

subtest 'counts survive a restart' => sub {
    my $begun = time;
    statuses($_, 'a', 4, '200 200 200 429') for qw(bucket sliding fixed);
    is +($api->key(PUT => 'policy=bucket&key=raised&rate=5r/h&ttl=1h'))[0], 200, 'a key has another rate';
    statuses('bucket', 'raised', 1, '200');
    my $before = $api->requests('bucket');
    $nginx->stop(graceful => 1);
    ok -s $state, 'what is counted is in a file';
    is sprintf('%o', (stat $state)[2] & 07777), '600', 'that is for nobody else';
    is_deeply [glob "$state.*"], [], 'and nothing is beside it';
    $nginx->launch;
    statuses($_, 'a', 1, '429') for qw(bucket sliding fixed);
    is $api->requests('bucket')->[0], $before->[0], 'counts go on';
    statuses('bucket', 'raised', 5, '200 200 200 200 429');
    is_deeply [map { $_->{rate} } @{$api->status->{overrides}}], ['5r/h'], 'as does the other rate';
};

subtest 'counts survive when all processes are killed' => sub {
    statuses('bucket', 'b', 4, '200 200 200 429');
    wait_for_save();
    $nginx->kill_all;
    $nginx->launch;
    statuses('bucket', 'a', 1, '429');
    statuses('bucket', 'b', 1, '429');
};

subtest 'counts survive when a worker is killed' => sub {
    $nginx->kill_worker($_) for $nginx->workers;
    statuses('bucket', 'b', 1, '429');
    wait_for_save(70);    # the one that was saving may have been among them
    pass 'another one saves';
};

subtest 'another size, other rates' => sub {
    $nginx->stop;
    $nginx->write_config(http => conf(size => '2m', rate => '10r/h'));
    $nginx->launch;
    statuses('bucket', 'b', 8, '200 200 200 200 200 200 200 429');
    $nginx->stop;
    $nginx->write_config(http => conf(size => '512k'));
    $nginx->launch;
    statuses('bucket', 'b', 1, '429');
    statuses('sliding', 'a', 1, '429');
};

subtest 'counts survive reloads' => sub {
    statuses('bucket', 'c', 4, '200 200 200 429');
    $nginx->reload;
    wait_for_save();
    $nginx->kill_all;
    $nginx->launch;
    statuses('bucket', 'c', 1, '429');
};

# nginx upgrades only as a daemon.
subtest 'counts survive an upgrade of the binary' => sub {
    $nginx->stop;
    my ($dir, $pids) = ($nginx->dir, $nginx->dir . '/nginx.pid');
    spew("$dir/daemon.conf", slurp("$dir/nginx.conf") =~ s/daemon off;//r);
    is system($nginx->binary, '-p', $dir, '-c', "$dir/daemon.conf", '-e', "$dir/error.log"), 0, 'a daemon starts';
    await('its workers', sub { -s $pids && children(slurp($pids)) == 2 });
    statuses('bucket', 'd', 4, '200 200 200 429');
    wait_for_save();
    my $old = slurp($pids) + 0;
    kill 'USR2', $old;
    my $came = await('another one', sub { -s "$pids.oldbin" && (slurp($pids) || $old) != $old });
    my $new = $came ? slurp($pids) + 0 : 0;
    if (!$new) {
        kill 'TERM', $old;
        await('the first to be gone', sub { !alive($old) });
        return $nginx->launch;
    }
    await('its workers', sub { children($new) == 2 });
    kill 'WINCH', $old;
    await('the workers of the first to be gone', sub { !grep { $_ != $new } children($old) });
    statuses('bucket', 'd', 1, '429');
    statuses('bucket', 'after', 4, '200 200 200 429');
    wait_for_save();
    kill 'QUIT', $old;
    await('the first to be gone', sub { !alive($old) });
    my @workers = children($new);
    kill 'KILL', $new, @workers;
    await('the second to be gone', sub { !grep { alive($_) } $new, @workers });
    unlink $pids;
    $nginx->launch;
    statuses('bucket', 'after', 1, '429');
};

my %spoilt = (
    'half of a file' => ['is damaged', sub { substr $_[0], 0, length($_[0]) / 2 }],
    'one other byte' => ['is damaged', sub { my $all = $_[0]; substr($all, -100, 1) ^= "\1"; $all }],
    'something else' => ['is no state of ai_limit', sub { "hello\n" }],
    'nothing' => ['is no state of ai_limit', sub { '' }],
    'an older version' => ['is of an older version', sub { my $all = $_[0]; substr($all, 12, 4) = pack 'L', 1; $all }],
    'a newer version' => ['is of a newer version', sub { my $all = $_[0]; substr($all, 8, 4) = pack 'L', 9999; $all }],
);
for my $name (sort keys %spoilt) {
    my ($why, $spoil) = @{$spoilt{$name}};
    subtest $name => sub {
        statuses('bucket', 'e', 4, '200 200 200 429');
        $nginx->stop;
        my $bytes = $spoil->(slurp($state));
        spew($state, $bytes);
        my $seen = length $nginx->error_log;
        is +($nginx->test_config)[0], 0, 'nginx -t has nothing against it';
        is slurp($state), $bytes, 'and leaves it alone';
        $nginx->launch;
        statuses('bucket', 'e', 1, '200');
        my @lines = grep { /ai_limit/ && /\[(?:error|warn|crit|alert|emerg)\]/ } split /\n/, substr $nginx->error_log, $seen;
        is @lines, 1, 'one line in the log';
        like $lines[0], qr/the state file "\Q$state\E" \Q$why\E and is set aside/, 'says why';
        is slurp("$state.bad"), $bytes, 'it is set aside';
        unlink "$state.bad";
        $api->key(DELETE => 'policy=bucket&key=e');
    };
}

subtest 'a symbolic link' => sub {
    $nginx->stop;
    rename $state, "$state.elsewhere";
    symlink "$state.elsewhere", $state or die "symlink: $!";
    my $before = slurp("$state.elsewhere");
    my $seen = length $nginx->error_log;
    is_refused(qr/cannot be read/, 'is not followed');
    sleep 1.5 * SAVES;
    my @lines = grep { /state file/ && /\[(?:error|crit|alert|emerg)\]/ } split /\n/, substr $nginx->error_log, $seen;
    is @lines, 2, 'said once when it is not read, and once when it is not replaced';
    ok -l $state, 'nor replaced';
    is slurp("$state.elsewhere"), $before, 'and what it leads to is as it was';
    $nginx->stop;
    unlink $state, "$state.elsewhere";
};

SKIP: {
    skip 'only root can give files away, and be kept from none', 3 if $> != 0;

    subtest 'the file of another user' => sub {
        spew($state, 'theirs');
        chown 12345, 12345, $state;
        is_refused(qr/belongs to another user/, 'is not read');
        is slurp($state), 'theirs', 'nor replaced';
        $nginx->stop;
        unlink $state;
    };

    subtest 'a folder that workers cannot write to' => sub {
        $nginx->write_config(user => 'nobody nogroup');
        chmod 0755, $nginx->dir, $nginx->dir . '/state';
        is_refused(qr/cannot be saved: nginx's workers must be able to make files in its folder/, 'is said');
        like $nginx->error_log, qr/\[warn\].*nginx's workers cannot make files in ".*\/state\/", so the state file will not be saved/,
            'and warned of before';
        my $api = AiLimit::Api->new($nginx->port);
        my $state_of = sub { $api->status->{zones}[0]{state} };
        ok $state_of->()->{failed}, '/status shows the file';
        cmp_ok $state_of->()->{failures}, '>=', 1, 'and how often';
        like get($nginx->port, '/ai_limit/metrics')->{body}, qr/^ai_limit_state_failed\{zone="ai"\} 1$/m, 'so does /metrics';
        statuses('bucket', 'f', 4, '200 200 200 429');
        chown scalar(getpwnam 'nobody'), -1, $nginx->dir . '/state';
        $nginx->wait_for_log(qr/is saved again/);
        ok -s $state, 'until they can';
        ok !$state_of->()->{failed}, '/status shows that, too';
        cmp_ok abs(time - $state_of->()->{saved_at}), '<', 60, 'and when it was saved';
        $nginx->kill_all;
        $nginx->launch;
        statuses('bucket', 'f', 1, '429');
        $nginx->stop;
        $nginx->launch;
        statuses('bucket', 'f', 1, '429');
        $nginx->stop;
        $nginx->write_config(user => 'root');
    };

    subtest 'a full disk' => sub {
        my $dir = $nginx->dir . '/state';
        system("mount -t tmpfs -o size=4k,mode=755 tmpfs '$dir' 2>/dev/null") == 0
            or plan skip_all => 'cannot mount a small disk';
        my $ok = eval {
            is_refused(qr/cannot be written \(28: No space left on device\)|cannot be written/, 'is said');
            is_deeply [glob "$dir/*"], [], 'and nothing half is left';
            statuses('bucket', 'g', 4, '200 200 200 429');
            $nginx->stop;
            1;
        };
        system("umount '$dir'");
        die $@ if !$ok;
    };
}

subtest 'mistakes in the configuration' => sub {
    my ($code, $said) = AiLimit::Nginx->check(http => 'ai_limit_zone zone=a:1m state=;');
    like $said, qr/ai_limit_zone: no file in "state="/, 'no file';
    ($code, $said) = AiLimit::Nginx->check(http => 'ai_limit_zone zone=a:1m state=x state=y;');
    like $said, qr/ai_limit_zone: duplicate parameter "state=y"/, 'two files';
    ($code, $said) = AiLimit::Nginx->check(http => 'ai_limit_zone zone=a:1m state=x; ai_limit_zone zone=b:1m state=x;');
    like $said, qr/ai_limit_zone: another zone has the same file in "state=x"/, 'one file for two zones';
    ($code, $said) = AiLimit::Nginx->check(http => 'ai_limit_zone zone=a:1m state=/nowhere/at/all;');
    like $said, qr/ai_limit_zone: no such folder for the file in "state=\/nowhere\/at\/all": make it/, 'no folder';
    isnt $code, 0, 'which nginx -t refuses';
    for my $folder ('/tmp', '/tmp/') {
        ($code, $said) = AiLimit::Nginx->check(http => "ai_limit_zone zone=a:1m state=$folder;");
        like $said, qr/ai_limit_zone: a folder in place of a file in "state=$folder"/, "no file: $folder";
    }
};

$nginx->stop;
done_testing;

sub conf {
    my (%with) = (size => '1m', rate => '3r/h', @_);
    return <<"CONF";
    ai_limit_zone zone=ai:$with{size} state=state/ai.state;
    ai_limit_policy bucket  key=\$http_x_key rate=$with{rate};
    ai_limit_policy sliding key=\$http_x_key rate=3r/h algorithm=sliding_window;
    ai_limit_policy fixed   key=\$http_x_key rate=3r/12month algorithm=fixed_window;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /bucket  { ai_limit bucket; empty_gif; }
        location /sliding { ai_limit sliding; empty_gif; }
        location /fixed   { ai_limit fixed; empty_gif; }
        location /ai_limit/ { ai_limit_api write=on; allow 127.0.0.1; deny all; }
    }
CONF
}

sub start {
    # A binary that takes over has nginx's environment, which names no sanitizer's options but these.
    my $self = AiLimit::Nginx->prepare(http => conf(), workers => 2, log_level => 'notice',
        main => join '', map { "env $_;" } qw(ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS));
    mkdir $self->dir . '/state';
    return $self->launch;
}

sub statuses {
    my ($path, $key, $count, $expected) = @_;
    my @got = map { get($nginx->port, "/$path", Connection => 'close', 'X-Key' => $key)->{status} } 1 .. $count;
    return is "@got", $expected, "$path, $key: $expected";
}

# Starts nginx, which says in one line why it cannot use the file, and limits all the same.
sub is_refused {
    my ($why, $name) = @_;
    my $seen = length $nginx->error_log;
    $nginx->launch;
    $nginx->wait_for_log($why, $seen);
    statuses('bucket', 'refused' . $seen, 4, '200 200 200 429');
    return pass $name;
}

# Waits until what is counted by now is in the file, which holds the time when it was begun.
sub wait_for_save {
    my ($patience) = @_;
    my $now = 1000 * time;
    return await('a save', sub { (unpack 'q', substr(slurp($state), 40, 8) || "\0" x 8) > $now }, $patience);
}

# Waits for what is named, and fails the test if it does not come.
sub await {
    my ($what, $is_so, $patience) = @_;
    return wait_until($is_so, $patience // 30) || fail "$what came";
}

sub alive { return (slurp("/proc/$_[0]/stat") || 'Z Z Z') !~ /\) Z|^Z/ }

sub children { my ($pid) = @_; return split ' ', slurp('/proc/' . ($pid + 0) . '/task/' . ($pid + 0) . '/children') }

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or return '';
    local $/;
    return scalar readline $file;
}

sub spew {
    my ($path, $bytes) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print $file $bytes;
    return close $file;
}
