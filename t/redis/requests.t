# Requests of any kind, decided on in Redis: each is charged once, whatever nginx makes of it inside, and its body
# reaches upstream unchanged, read before or not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Patience qw(PATIENCE wait_until);
use AiLimit::Redis;

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) =
    AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');

my $model = AiLimit::ModelServer->start;
my $redis = AiLimit::Redis->start;
my $nginx = AiLimit::Nginx->start(
    workers => 2,
    log_level => 'notice',
    files => {'page.txt' => 'page', 'index.txt' => 'index', 'ssi.shtml' => '<!--# include virtual="/part" -->'},
    http => <<"CONF",
    # No answer of Redis is late, however busy this machine is.
    ai_limit_redis @{[$redis->url]} sync=strict timeout=30s connect_timeout=30s;

    map \$http_x_look \$cost { default 1; 1 0; }
    ai_limit_policy early key=\$http_x_key rate=1r/h burst=100 cost=\$cost phase=preaccess;
    ai_limit_policy late  key=\$http_x_key rate=1r/h burst=100 cost=\$cost;
    ai_limit_policy here  key=\$http_x_key rate=1r/h burst=100 cost=\$cost sync=off;
    ai_limit_policy other key=\$http_x_key rate=100r/d cost=\$cost algorithm=sliding_window;

    # Refuses the second request of a key.
    ai_limit_policy first      key=\$http_x_key rate=1r/h burst=1;
    ai_limit_policy first_soon key=\$http_x_key rate=1r/h burst=1 phase=preaccess;

    ai_limit_policy tokens key=\$http_x_key rate=1Mt/month reserve=max;
    ai_limit_policy slots  key=\$http_x_key concurrency=50;
    ai_limit_policy model  key=\$http_x_key:\$ai_limit_model rate=1r/h burst=2;

    upstream model { server 127.0.0.1:@{[$model->port]}; keepalive 4; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_1%%$listen;
        $http2
        root %%DIR%%;
        client_max_body_size 2m;
        ai_limit early here late;
        ai_limit_error_format off;
        # Bodies here are any bytes.
        ai_limit_unreadable_body estimate;
        recursive_error_pages on;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /left {
            add_header X-Left "\$ai_limit_remaining_early \$ai_limit_remaining_here \$ai_limit_remaining_late \$ai_limit_remaining_other";
            ai_limit early here late other;
            empty_gif;
        }

        location = /page.txt   { }
        location = /part       { ai_limit early late other; return 200 part; }
        location = /error_page       { error_page 404 /page.txt; }
        location = /error_page_named { error_page 404 = \@named; }
        location = /error_page_other { error_page 404 = \@other; }
        location = /error_page_twice { error_page 404 = /error_page_named; }
        location \@named             { rewrite ^ /page.txt break; }
        location \@other             { ai_limit early here late other; rewrite ^ /page.txt break; }
        location = /try_files        { try_files /missing /page.txt; }
        location = /try_files_named  { try_files /missing \@named; }
        location = /accel            { proxy_pass http://127.0.0.1:%%PORT_2%%/accel; }
        location = /accel_named      { proxy_pass http://127.0.0.1:%%PORT_2%%/accel_named; }
        location = /internal         { internal; try_files /page.txt =404; }
        location = /auth_request     { auth_request /part; try_files /page.txt =404; }
        location = /mirror           { mirror /part; proxy_pass http://127.0.0.1:%%PORT_2%%/page; }
        location = /ssi.shtml        { ssi on; ssi_types *; }
        location = /rewrite          { rewrite ^ /page.txt last; }
        location = /                 { index index.txt; }
        location = /index.txt        { }
        location = /post_action      { post_action /internal; proxy_pass http://127.0.0.1:%%PORT_2%%/page; }
        location = /any              { satisfy any; allow 127.0.0.1; deny all; auth_basic here; try_files /page.txt =404; }

        # Locations for a request that was refused.
        location = /fallback      { ai_limit first; error_page 429 = \@fallback; try_files /page.txt =404; }
        location = /fallback_soon { ai_limit first_soon; error_page 429 = \@fallback; try_files /page.txt =404; }
        location \@fallback       { ai_limit other; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location = /own_page      { ai_limit first_soon late; error_page 429 /own_429.txt; try_files /page.txt =404; }
        location = /own_429.txt   { ai_limit first_soon late; try_files /page.txt =404; }

        location /raw        { proxy_pass http://model; }
        location /file/      { client_body_buffer_size 1k; proxy_pass http://model/; }
        location /unbuffered/ { proxy_request_buffering off; proxy_pass http://model/; }
        location /only_file/ { client_body_in_file_only clean; proxy_pass http://model/; }
        location /read/      { ai_limit early tokens late; client_body_buffer_size 1k; proxy_pass http://model/; }
        location /model/     { ai_limit model late; proxy_pass http://model/; }
        location /refused/   { ai_limit first; proxy_pass http://model/; }
        location /refused_soon/ { ai_limit first_soon tokens; proxy_pass http://model/; }
        location /slots      { ai_limit slots; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location = /connections { ai_limit off; stub_status; }
        location /gif        { empty_gif; }
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        location / { return 200 page; }
        location /fallback      { return 200 fallback; }
        location = /accel       { add_header X-Accel-Redirect /internal; return 200; }
        location = /accel_named { add_header X-Accel-Redirect \@named; return 200; }
    }
CONF
);
my $keys = 0;

my %clients = ('HTTP/1.1' => \&over_http1, 'HTTP/2' => \&over_http2);
delete $clients{'HTTP/2'} if qx(curl --version) !~ /\bHTTP2\b/;

for my $client (sort keys %clients) {
    subtest "redirects, $client" => sub {
        my $ask = $clients{$client};
        # Each: what the request goes through, the path, the status, the body and the charges.
        is_charged($ask, @$_) for (
            ['nothing',                       '/page.txt',         200, 'page'],
            ['error_page',                    '/error_page',       404, 'page'],
            ['error_page to a name',          '/error_page_named', 200, 'page'],
            ['error_page of error_page',      '/error_page_twice', 200, 'page'],
            ['error_page to one policy more', '/error_page_other', 200, 'page', '1 1 1 1'],
            ['try_files',                     '/try_files',        200, 'page'],
            ['try_files to a name',           '/try_files_named',  200, 'page'],
            ['X-Accel-Redirect',              '/accel',            200, 'page'],
            ['X-Accel-Redirect to a name',    '/accel_named',      200, 'page'],
            ['auth_request',                  '/auth_request',     200, 'page'],
            ['mirror',                        '/mirror',           200, 'page'],
            ['SSI',                           '/ssi.shtml',        200, 'part'],
            ['rewrite',                       '/rewrite',          200, 'page'],
            ['index',                         '/',                 200, 'index'],
            ['post_action',                   '/post_action',      200, 'page'],
            ['satisfy any',                   '/any',              200, 'page'],
        );
    };
}

subtest 'what comes after a refusal' => sub {
    for my $path ('/fallback', '/fallback_soon') {
        my $key = new_key();
        is ask($path, $key)->{body}, 'page', "$path: the first request passes";
        my $second = ask($path, $key);
        is "$second->{status} $second->{body}", '200 fallback', 'the second is answered by the fallback';
        ok !exists $second->{headers}{'retry-after'}, 'without Retry-After';
        is charges($key), '0 0 0 1', 'which alone was charged';
    }
    my $key = new_key();
    is ask('/own_page', $key)->{status}, 200, 'a page of its own: the first passes';
    is ask('/own_page', $key)->{status}, 429, 'the second is refused';
    is charges($key), '0 0 1 0', 'and what the refusal has spared is not charged for its page';
};

subtest 'several requests on one connection' => sub {
    for my $pipeline (1, 5) {
        my $key = new_key();
        my $all = many($nginx->port, requests => 20, pipeline => $pipeline, path => '/page.txt', headers => {'X-Key' => $key});
        is_deeply $all->{status}, {200 => 20}, "$pipeline at a time: all are answered";
        is charges($key), '20 20 20 0', 'and charged';
        $key = new_key();
        $all = many($nginx->port, requests => 20, pipeline => $pipeline, method => 'POST', keep => 1,
            path => sub { ('/raw', '/read/raw', '/file/raw', '/gif')[$_[0] % 4] . '?type=text/plain' },
            headers => {'X-Key' => $key}, body => sub { "body of $_[0] " . 'x' x 3000 });
        my @bodies = map { $_->{body} } @{$all->{responses}};
        is_deeply [grep { $_ % 4 < 3 && $bodies[$_] ne "body of $_ " . 'x' x 3000 } 0 .. 19], [], 'each has its own body';
        is charges($key), '20 15 20 0', 'and is charged once';
    }
};

my %bodies = (
    small  => '{"messages":[{"role":"user","content":"Hi"}],"max_tokens":7,"model":"m"}',
    large  => '{"messages":[{"role":"user","content":"' . 'x' x 400_000 . '"}],"model":"m"}',
    binary => join('', map { chr } 0 .. 255) x 40,
    empty  => '',
);

for my $path (qw(/raw /file/raw /unbuffered/raw /only_file/raw /read/raw /model/raw)) {
    subtest "bodies to $path" => sub {
        for my $name (sort keys %bodies) {
            my $body = $bodies{$name};
            my $key = new_key();
            my $wanted = $path =~ /read/ ? '1 0 1 0' : $path =~ /model/ ? '0 0 1 0' : '1 1 1 0';
            my $answer = post($nginx->port, "$path?type=text/plain", $body, 'X-Key' => $key);
            is $answer->{status}, 200, "$name: passes";
            ok $answer->{body} eq $body, 'and comes as it is';
            is charges($key), $wanted, 'charged once';

            $key = new_key();
            $answer = post($nginx->port, "$path?type=text/plain", chunked($body, 7000), 'X-Key' => $key, 'Transfer-Encoding' => 'chunked');
            ok $answer->{body} eq $body, 'in chunks, too';
            is charges($key), $wanted, 'charged once';
            next if !$clients{'HTTP/2'};

            $key = new_key();
            ok scalar(by_curl("$path?type=text/plain", $key, $body)) eq $body, 'over HTTP/2, too';
            is charges($key), $wanted, 'charged once';
        }
    };
}

subtest 'a body that comes slowly' => sub {
    for my $path (qw(/raw /file/raw /unbuffered/raw /read/raw)) {
        my $key = new_key();
        my $body = 'a slow body ' x 20;
        my $socket = connected();
        print {$socket} "POST $path?type=text/plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Key: $key\r\nContent-Length: "
            . length($body) . "\r\n\r\n";
        for my $part (unpack '(a40)*', $body) {
            select undef, undef, undef, 0.01;
            print {$socket} $part;
        }
        like all_of($socket), qr/\r\n\r\n\Q$body\E$/, "$path: comes as it is";
        is charges($key) =~ /^1 [01] 1 0$/, 1, 'charged once';
    }
};

subtest 'a body that nobody wants' => sub {
    for my $path (qw(/gif /page.txt /left)) {
        my $key = new_key();
        my $all = many($nginx->port, requests => 6, method => 'POST', path => $path, headers => {'X-Key' => $key}, body => 'x' x 200_000);
        is $all->{failed}, 0, "$path: is discarded, and the connection goes on";
        is charges($key) =~ /^6 6 6 [06]$/, 1, 'each is charged';
    }
    for my $path (qw(/refused/raw /refused_soon/raw)) {
        my $key = new_key();
        my $all = many($nginx->port, requests => 6, method => 'POST', path => "$path?type=text/plain", headers => {'X-Key' => $key},
            body => 'y' x 200_000);
        is_deeply [$all->{failed}, $all->{status}], [0, {200 => 1, 429 => 5}], "$path: discarded with a refusal, too";

        my $socket = connected();
        print {$socket} "POST $path HTTP/1.1\r\nHost: a\r\nX-Key: $key\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n";
        IO::Select->new($socket)->can_read(PATIENCE);
        sysread $socket, my $answer, 65536;
        like $answer, qr{^HTTP/1\.1 429 }, 'which comes before 100 Continue' if $path ne '/refused_soon/raw';
        like $answer, qr{^HTTP/1\.1 (?:429|100) }, 'and comes' if $path eq '/refused_soon/raw';
    }
};

subtest 'HEAD' => sub {
    my $key = new_key();
    my $all = many($nginx->port, requests => 5, method => 'HEAD', path => '/page.txt', keep => 1, headers => {'X-Key' => $key});
    is_deeply [map { $_->{headers}{'x-ratelimit-remaining'} } @{$all->{responses}}], [reverse 95 .. 99], 'shows what remains';
    is charges($key), '5 5 5 0', 'and charged';
    $key = new_key();
    $all = many($nginx->port, requests => 3, method => 'HEAD', path => '/refused/raw', keep => 1, headers => {'X-Key' => $key});
    is_deeply [map { $_->{status} } @{$all->{responses}}[1, 2]], [429, 429], 'or refused';
    ok !(grep { !exists $_->{headers}{'retry-after'} || $_->{body} ne '' } @{$all->{responses}}[1, 2]), 'with Retry-After and no body';
};

subtest 'HTTP/2' => sub {
    my $key = new_key();
    my $streams = start_streams(40, sub { $_[0] % 2 ? '/page.txt' : '/gif' }, $key);
    is_deeply statuses_of($streams), {200 => 40}, 'streams of one connection pass';
    is charges($key), '40 40 40 0', 'and are charged';
    $key = new_key();
    is_deeply statuses_of(start_streams(40, sub { '/refused/raw' }, $key)), {200 => 1, 429 => 39}, 'exactly one passes where one may';
    plan skip_all => 'curl without HTTP/2' if !$clients{'HTTP/2'};
    like curl('-i', '-H', "X-Key: $key", url('/refused/raw')), qr/^retry-after: \d+\r$/m, 'and a refusal says when to come back';
    is curl('-I', '-H', 'X-Key: ' . new_key(), url('/page.txt')) =~ m{^HTTP/2 200.*^x-ratelimit-remaining: 99\r}ms, 1, 'HEAD';
};

subtest 'clients that go away while Redis is asked' => sub {
    my @keys = map { new_key() } 1 .. 5;
    get($nginx->port, '/slots', 'X-Key' => 'warm') for 1 .. 10;
    $redis->freeze;
    my @pending = map { my $key = $_; map { start_request($nginx->port, path => $_, headers => ['X-Key' => $key]) } '/slots', '/page.txt' } @keys;
    push @pending, map { start_request($nginx->port, path => $_, method => 'POST', body => 'x' x 10_000, headers => ['X-Key' => $keys[0]]) }
        '/slots', '/read/raw', '/unbuffered/raw', '/raw';
    my $closed = start_streams(10, sub { '/slots' }, $keys[1]);
    my $reset = start_streams(10, sub { '/slots' }, $keys[2]);
    my $stays = start_request($nginx->port, path => '/slots', headers => ['X-Key' => $keys[3]]);
    # The workers have then got all requests that were sent before these connections.
    ok wait_until(sub { connections() >= @pending + 3 }), 'all wait';
    $_->abort for @pending;
    print {$reset} map { frame(3, 0, 2 * $_ - 1, pack 'N', 8) } 1 .. 10;
    close $closed;
    ok wait_until(sub { connections() <= 3 }), 'they go';
    $redis->thaw;
    is $stays->finish->{status}, 200, 'the waiting request is answered';
    close $reset;
    ok wait_until(sub { !grep { /:slots:flights$/ } @{$redis->command('KEYS', '*')} }), 'nothing of them stays in flight';
    is get($nginx->port, '/slots', 'X-Key' => $_)->{headers}{'x-ratelimit-remaining'}, 49, 'nor here' for @keys;
};

$nginx->stop;
unlike $nginx->error_log, qr/is lost/, 'all of it was decided in Redis';
done_testing;

sub new_key { return 'key-' . ++$keys }

sub is_charged {
    my ($ask, $name, $path, $status, $body, $charges) = @_;
    my $key = new_key();
    is_deeply [$ask->($path, $key)], [$status, $body], $name;
    is charges($key), $charges // '1 1 1 0', "$name is charged once";
    return;
}

# Returns what a key was charged so far by the policies early, here, late and other. All workers count a policy that is
# not shared through Redis in the same memory.
sub charges {
    my ($key) = @_;
    my $answer = get($nginx->port, '/left', 'X-Key' => $key, 'X-Look' => 1);
    return join ' ', map { 100 - $_ } split / /, $answer->{headers}{'x-left'} // 'nothing said';
}

sub ask {
    my ($path, $key) = @_;
    return get($nginx->port, $path, 'X-Key' => $key);
}

sub over_http1 {
    my $answer = ask(@_);
    return @$answer{qw(status body)};
}

sub over_http2 {
    my ($path, $key) = @_;
    my ($body, $status) = curl('-w', ' %{http_code}', '-H', "X-Key: $key", url($path)) =~ /^(.*) (\d+)$/s;
    return ($status, $body);
}

sub url { return 'http://127.0.0.1:' . $nginx->port(1) . $_[0] }

sub by_curl {
    my ($path, $key, $body) = @_;
    my $file = $nginx->write_file('body.txt', '');
    open my $out, '>:raw', $file or die "$file: $!";
    print {$out} $body;
    close $out;
    return curl('-H', "X-Key: $key", '-H', 'Content-Type: text/plain', '--data-binary', "\@$file", url($path));
}

sub curl {
    my (@arguments) = @_;
    my @command = ('curl', '-s', '--max-time', PATIENCE, '--http2-prior-knowledge', @arguments);
    open my $pipe, '-|', @command or die "curl: $!";
    local $/;
    return scalar(<$pipe>) // '';
}

# Streams of one HTTP/2 connection, all at once -> the connection.
sub start_streams {
    my ($count, $path, $key) = @_;
    my $socket = connected(1);
    my $text = sub { pack('C', length $_[0]) . $_[0] };
    print {$socket} "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, ''), map {
        # GET, http, :path, :authority, x-key; without a table and without Huffman's code.
        frame(1, 5, 2 * $_ - 1, "\x82\x86\x04" . $text->($path->($_)) . "\x01" . $text->('localhost') . "\0" . $text->('x-key') . $text->($key))
    } 1 .. $count;
    return $socket;
}

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

# Waits for the ends of all streams of a start_streams(40) -> {status => n}.
sub statuses_of {
    my ($socket) = @_;
    my ($in, $ended, %status) = ('', 0);
    my $waiting = IO::Select->new($socket);
    while ($ended < 40 && $waiting->can_read(PATIENCE) && sysread $socket, $in, 65536, length $in) {
        while (length $in >= 9 && length $in >= 9 + (my $size = unpack 'N', "\0" . substr $in, 0, 3)) {
            my ($type, $flags) = unpack 'x3CC', $in;
            $ended++ if $type <= 1 && $flags & 1;
            $status{$1 // 200}++ if $type == 1 && substr($in, 9, $size) =~ /^[\x20-\x3f]?(?:\x88|.\x03(\d\d\d))/s;
            substr($in, 0, 9 + $size) = '';
        }
    }
    return \%status;
}

# Returns how many connections there are, beside the one that asks.
sub connections {
    return get($nginx->port, '/connections')->{body} =~ /^Active connections: (\d+)/ ? $1 - 1 : 0;
}

sub chunked {
    my ($body, $size) = @_;
    return join('', map { sprintf "%x\r\n%s\r\n", length, $_ } grep { length } unpack "(a$size)*", $body) . "0\r\n\r\n";
}

sub connected {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port($_[0])) or die "connect: $!";
    $socket->autoflush(1);
    return $socket;
}

sub all_of {
    my ($socket) = @_;
    my $all = '';
    my $waiting = IO::Select->new($socket);
    while ($waiting->can_read(PATIENCE)) {
        last if !sysread $socket, $all, 65536, length $all;
    }
    return $all;
}
