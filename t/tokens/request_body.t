# Tests that nginx reads the request's body for what it asks, and that the body reaches the server unchanged, however it
# comes and wherever nginx keeps it. nginx tells nobody to send a body that is not wanted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) =
    AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');
my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(
    policies => <<"CONF",
    ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;
    ai_limit_policy early  key=\$http_x_key rate=1r/month burst=1 phase=preaccess;
    ai_limit_policy count  key=\$http_x_key rate=1r/month burst=1;
    ai_limit_policy slots  key=\$http_x_key concurrency=1;
    ai_limit_policy spent  key=\$http_x_key rate=1t/month burst=100 reserve=max;
    ai_limit_policy static key=\$http_x_key rate=1t/month burst=100 reserve=off;
CONF
    server => "listen 127.0.0.1:%%PORT_1%%$listen; $http2 client_max_body_size 2m;",
    locations => <<'CONF',
        ai_limit tokens;
        ai_limit_unreadable_body estimate;
        location / { proxy_pass http://model; }
        location /file/ { client_body_buffer_size 1k; proxy_pass http://model/; }
        location /only_file/ { client_body_in_file_only clean; proxy_pass http://model/; }
        location /unbuffered/ { proxy_request_buffering off; proxy_pass http://model/; }
        location /small/ { client_max_body_size 1k; proxy_pass http://model/; }
        location /early/ { ai_limit early tokens; proxy_pass http://model/; }
        location /count/ { ai_limit count tokens; proxy_pass http://model/; }
        location /spent/ { ai_limit spent; proxy_pass http://model/; }
        location /spent_trial/ { ai_limit spent; ai_limit_dry_run on; proxy_pass http://model/; }
        location /static/ { ai_limit static; proxy_pass http://model/; }
CONF
);

my %bodies = (
    small => chat(max_tokens => 70),
    large => chat(text => 'x' x 300_000, max_tokens => 70),
    spaced => "{ \"messages\" : [ {\"role\":\"user\",\"content\":\"" . 'x' x 40 . "\"} ] ,\r\n\t\"max_tokens\" : 70 }\n",
    'no JSON' => join('', map { chr } 0 .. 255) x 8,
);
my %held = (small => 70 + estimate(), large => 70 + estimate(300_000), spaced => 70 + estimate(), 'no JSON' => 256 * 8 / 4);

for my $path ('', '/file', '/only_file', '/unbuffered') {
    subtest $path eq '' ? 'in memory' : $path => sub {
        for my $name (sort keys %bodies) {
            my $body = $bodies{$name};
            my $answer = $t->ask("$path/raw?type=image/png", $body);
            ok $answer->{body} eq $body, "$name: comes as it is";
            is $answer->{log}{reserved}, $held{$name}, 'and is read';
            $answer = $t->ask("$path/raw?type=image/png", chunked($body, 1000),
                headers => ['Transfer-Encoding' => 'chunked']);
            ok $answer->{body} eq $body, 'in chunks, too';
            is $answer->{log}{reserved}, $held{$name}, 'and is read';
        }
    };
}

subtest 'a body that comes slowly' => sub {
    my $body = $bodies{small};
    my $socket = connected();
    print {$socket} "POST /raw?type=image/png HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Key: slow\r\nX-Id: slow\r\nContent-Length: "
        . length($body) . "\r\n\r\n";
    for my $part (unpack '(a30)*', $body) {
        select undef, undef, undef, 0.01;
        print {$socket} $part;
    }
    like all_of($socket), qr/\r\n\r\n\Q$body\E$/, 'comes as it is';
    is $t->logged_id('slow')->{reserved}, $held{small}, 'and is read';
};

subtest 'requests one after the other on one connection' => sub {
    my $all = many($t->port, requests => 20, pipeline => 5, method => 'POST', path => '/raw?type=image/png', keep => 1,
        headers => {'X-Key' => 'pipeline'}, body => sub { chat(text => "number $_[0]") });
    is_deeply [map { $_->{body} } @{$all->{responses}}], [map { chat(text => "number $_") } 0 .. 19], 'each has its own';
};

subtest 'Expect: 100-continue' => sub {
    my $body = $bodies{small};
    my ($before, $after) = expecting('/raw?type=image/png', $body, 'expect-1');
    like $before, qr{^HTTP/1\.1 100 Continue\r\n\r\n$}, 'a request that is accepted gets 100 Continue';
    like $after, qr/\r\n\r\n\Q$body\E$/, 'and goes on';
    is $t->logged_id('expect-1')->{reserved}, $held{small}, 'and is read';

    for my $path ('/early', '/count') {
        $t->new_client;
        is $t->ask("$path/v1/models")->{status}, 200, "$path: one passes";
        my ($refusal) = expecting("$path/raw", $body, "expect$path");
        like $refusal, qr{^HTTP/1\.1 429 }, 'a refusal that needs no body comes at once';
    }
    $t->new_client;
    $t->ask('/static/v1/chat/completions?prompt_tokens=60&completion_tokens=60', $body);
    my ($refusal) = expecting('/static/raw', $body, 'expect-static');
    like $refusal, qr{^HTTP/1\.1 429 }, 'also where reserve=off and nothing remains';
    $t->new_client;
    my ($go_on) = expecting('/spent/raw?type=image/png', $body, 'expect-some');
    like $go_on, qr{^HTTP/1\.1 100 }, 'a client that has something left is asked for its body, whatever that will reserve';
    $t->ask('/spent/v1/chat/completions?prompt_tokens=60&completion_tokens=60', $body);
    my ($spent) = expecting('/spent/raw', $body, 'expect-spent');
    like $spent, qr{^HTTP/1\.1 429 }, 'one that has nothing left is not';
    is $t->logged_id('expect-spent')->{result}, 'REJECTED', 'as the log says';
    my ($trial) = expecting('/spent_trial/raw', $body, 'expect-trial');
    like $trial, qr{^HTTP/1\.1 100 }, 'on a dry run it is';
};

subtest 'too large a body' => sub {
    $t->new_client;
    for my $how ('length', 'chunks') {
        my $body = chat(text => 'x' x 3000);
        my $answer = $how eq 'length' ? $t->ask('/small/raw', $body)
            : $t->ask('/small/raw', chunked($body, 500), headers => ['Transfer-Encoding' => 'chunked']);
        is $answer->{status}, 413, "by its $how: 413, as nginx gives it";
        like $answer->{body}, qr/413 Request Entity Too Large/, 'with its page';
    }
    is $t->left, $LIMIT, 'costs nothing';
};

subtest 'HTTP/2' => sub {
    plan skip_all => 'curl without HTTP/2' if qx(curl --version) !~ /\bHTTP2\b/;
    for my $path ('', '/file', '/unbuffered') {
        for my $name (sort keys %bodies) {
            my $id = "h2$path-$name" =~ tr/ /_/r;
            my $file = $t->nginx->write_file('sent', '');
            open my $out, '>:raw', $file or die "$file: $!";
            print {$out} $bodies{$name};
            close $out;
            my $got = curl('--data-binary', "\@$file", '-H', "X-Id: $id", '-H', 'X-Key: h2', "$path/raw?type=image/png");
            ok $got eq $bodies{$name}, "$path $name: comes as it is";
            is $t->logged_id($id)->{reserved}, $held{$name}, 'and is read';
        }
    }
    # curl does not always see what comes while it sends.
    curl('-d', chat(text => 'x' x 3000), '-H', 'X-Id: h2-refused', '-H', 'X-Key: h2', '/small/raw');
    is $t->logged_id('h2-refused')->{status}, 413, 'too large a body';
};

subtest 'a client that leaves in the middle of its body' => sub {
    $t->new_client;
    my $socket = connected();
    print {$socket} "POST /raw HTTP/1.1\r\nHost: a\r\nX-Id: gone\r\nX-Key: @{[$t->key]}\r\nContent-Length: 100000\r\n\r\n{\"max";
    close $socket;
    is $t->logged_id('gone')->{status}, 400, 'gets no answer';
    is $t->left, $LIMIT, 'and costs nothing';
};

$t->stop;
done_testing;

sub chunked {
    my ($body, $size) = @_;
    return join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$size)*", $body) . "0\r\n\r\n";
}

sub connected {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die "connect: $!";
    $socket->autoflush(1);
    return $socket;
}

# Returns what comes before the body is sent, and what comes after it.
sub expecting {
    my ($path, $body, $id) = @_;
    my $socket = connected();
    print {$socket} "POST $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Id: $id\r\nX-Key: @{[$t->key]}\r\n"
        . "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: " . length($body) . "\r\n\r\n";
    my $before = '';
    while ($before !~ /\r\n\r\n/) {
        IO::Select->new($socket)->can_read(AiLimit::Nginx::PATIENCE) or return "nothing came: $before";
        sysread $socket, $before, 65536, length $before or last;
    }
    return $before if $before !~ m{^HTTP/1\.1 100 };
    print {$socket} $body;
    return ($before, all_of($socket));
}

# Reads until the server closes; nginx logs the request when both sides have closed.
sub all_of {
    my ($socket) = @_;
    my $all = do { local $/; <$socket> } // '';
    close $socket;
    return $all;
}

sub curl {
    my (@arguments) = @_;
    my $path = pop @arguments;
    my @command = ('curl', '-s', '--max-time', 20, '--http2-prior-knowledge', '-H', 'Content-Type: application/json', @arguments);
    open my $pipe, '-|', @command, 'http://127.0.0.1:' . $t->port(1) . $path or die "curl: $!";
    local $/;
    return scalar(<$pipe>) // '';
}
