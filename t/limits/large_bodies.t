# A large body is read in several turns: other requests are served meanwhile, however it is encoded and whatever becomes
# of its client.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use IO::Socket::INET;
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;
use ModelServer::Encoding qw(encoder);

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) = AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');
my $LIMIT = 100_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    server => "listen 127.0.0.1:%%PORT_1%%$listen; $http2 client_max_body_size 64m; client_body_buffer_size 1m;",
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /memory/ { client_body_buffer_size 64m; proxy_pass http://model/; }
        location = /other { ai_limit off; return 204; }
CONF
);

# This text lacks its last bracket, so it is refused as soon as it has been read.
my $keys = '{' . '"a":1,' x 1_500_000;
my $text = join '', map { chr(97 + $_ % 26) . $_ } 1 .. 150_000;

# Decoded, it is nothing, but that takes its time.
my $members = coded('') x 250_000;

subtest 'others are served while it is read' => sub {
    my %bodies = (plain => [$keys], 'gzip of nothing' => [$members, 'gzip']);
    for my $path ('/raw', '/memory/raw') {
        for my $name (sort keys %bodies) {
            # A client that is delayed itself sees nothing, so the test tries again.
            my $served = 0;
            for my $round (1 .. 5) {
                $served = served_meanwhile("$path?round=$round", @{$bodies{$name}}) and last;
            }
            cmp_ok $served, '>', 0, "$path, $name: $served requests";
        }
    }
};

subtest 'what it asks for is known' => sub {
    my $long = chat(text => $text, max_tokens => 70);
    my %bodies = (plain => [$long], gzip => [coded($long), 'gzip']);
    for my $path ('', '/memory') {
        for my $name (sort keys %bodies) {
            my ($body, $coding) = @{$bodies{$name}};
            my $answer = $t->ask("$path/v1/chat/completions", $body, headers => [defined $coding ? ('Content-Encoding' => $coding) : ()]);
            is $answer->{log}{reserved}, 70 + estimate(length $text), "$path $name: what is reserved";
        }
    }
    my @pending = map { $t->begin('/v1/chat/completions', $long) } 1 .. 3;
    is $_->finish->{status}, 200, 'several at a time' for @pending;
};

subtest 'HTTP/2' => sub {
    plan skip_all => 'curl without HTTP/2' if qx(curl --version) !~ /\bHTTP2\b/;
    my $file = $t->nginx->write_file('sent', chat(text => $text, max_tokens => 70));
    my @curl = ('curl', '-s', '--max-time', 20, '--http2-prior-knowledge', '-H', 'Content-Type: application/json', '-H', 'X-Key: k',
        '-H', 'X-Id: h2', '--data-binary', "\@$file");
    open my $pipe, '-|', @curl, 'http://127.0.0.1:' . $t->port(1) . '/v1/chat/completions' or die "curl: $!";
    like do { local $/; <$pipe> }, qr/"choices"/, 'is answered';
    is $t->logged_id('h2')->{reserved}, 70 + estimate(length $text), 'and read';
};

# Four compressed bodies are read at a time, and each of these takes several turns. One that waits is looked at after 60 s
# at the latest.
subtest 'many compressed bodies at a time' => sub {
    my $begin = time;
    my @sockets = map { sending('/raw', "many$_", $members, 'gzip') } 0 .. 9;
    print {$_} '"' for @sockets;
    close $sockets[$_] for 1, 5, 8;
    for my $i (0, 2 .. 4, 6, 7, 9) {
        my $socket = $sockets[$i];
        my $answer = do { local $/; <$socket> };
        is +($answer =~ m{^HTTP/1\.1 (\d+)})[0], 400, "body $i is read";
    }
    like $t->logged_id("many$_")->{status}, qr/^(?:499|400)$/, "that client $_ leaves is noticed" for 1, 5, 8;
    cmp_ok time - $begin, '<', 45, 'each is read as soon as another one ends';
};

subtest 'a client that leaves meanwhile' => sub {
    my $socket = sending('/raw', 'gone', $keys);
    print {$socket} '"';
    close $socket;
    like $t->logged_id('gone')->{status}, qr/^(?:499|400)$/, 'is noticed';
    is get($t->port, '/other')->{status}, 204, 'and nginx lives on';
    is scalar(() = $t->nginx->error_log =~ /\[alert\]|exited on signal/g), 0, 'without an alert';
};

$t->stop;
done_testing;

# A request that has sent all of its body but the last byte, which nginx has read.
sub sending {
    my ($path, $id, $body, $coding) = @_;
    my $header = defined $coding ? "Content-Encoding: $coding\r\n" : '';
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die "connect: $!";
    $socket->autoflush(1);
    print {$socket} "POST $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Key: k\r\nX-Id: $id\r\n${header}Content-Length: "
        . (length($body) + 1) . "\r\n\r\n$body";
    get($t->port, '/other') for 1 .. 3;
    return $socket;
}

# Returns how many requests are answered between a body's last byte and its own answer. If the body is read in one go,
# none is: what nginx hears of first, it does first.
sub served_meanwhile {
    my ($path, @body) = @_;
    my $socket = sending($path, 'large', @body);
    my $served = 0;
    print {$socket} '"';
    until (IO::Select->new($socket)->can_read(0)) {
        last if get($t->port, '/other')->{status} != 204;
        $served++ if !IO::Select->new($socket)->can_read(0);
    }
    my $answer = do { local $/; <$socket> };
    is +($answer =~ m{^HTTP/1\.1 (\d+)})[0], 400, 'it is read';
    return $served;
}

sub coded { return encoder({encoding => 'gzip'})->($_[0], 1) }
