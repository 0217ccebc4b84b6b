# Uploads that are begun under made-up keys and left idle, as many as a zone has records of requests in flight: clients
# that were served before are still served.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Patience;

# A zone of 1 MB has this many (core/zone/zone.cpp), and lets keys that are not known have three quarters of them.
use constant {RECORDS => 16_384, FOR_ALL => 12_288};

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) =
    AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');

my $nginx = AiLimit::Nginx->start(log_level => 'warn', http => <<"CONF");
    ai_limit_zone zone=slots:1m;
    ai_limit_zone zone=tokens:1m;
    ai_limit_policy slots key=\$http_x_key concurrency=2 zone=slots;
    ai_limit_policy tokens key=\$http_x_key rate=1000t/h zone=tokens reserve=max;
    ai_limit_policy spent key=one rate=1t/month burst=1 zone=tokens reserve=max;
    client_body_timeout 600s;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_1%%$listen;
        $http2
        http2_max_concurrent_streams 100000;
        location /slots { ai_limit slots; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location /tokens { ai_limit tokens; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location /spent { ai_limit spent; proxy_pass http://127.0.0.1:%%PORT_2%%; }
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        location / { default_type application/json; return 200 '{"usage":{"prompt_tokens":1,"completion_tokens":1}}'; }
    }
CONF

subtest 'slots' => sub {
    is status('/slots', 'regular'), 200, 'a client is served';
    my $uploads = begin_uploads('/slots', RECORDS);
    cmp_ok $uploads->{answered}, '>=', RECORDS - FOR_ALL, 'of the uploads of made-up keys some find no record';
    cmp_ok $uploads->{answered}, '<', RECORDS, 'and others wait for their body';
    is status('/slots', 'new'), 429, 'nor does another new key';
    is_deeply [map { status('/slots', 'regular') } 1 .. 20], [(200) x 20], 'the client is served';
    end_uploads($uploads);
    my $patience = AiLimit::Patience->new(AiLimit::Nginx::PATIENCE);
    my $status;
    do { $status = status('/slots', 'new') } until $status == 200 || $patience->is_over;
    is $status, 200, 'a new one is served when the uploads are given up';
};

subtest 'tokens' => sub {
    my $uploads = begin_uploads('/tokens', RECORDS);
    is $uploads->{answered}, 0, 'uploads wait for their body';
    is status('/tokens', 'new'), 200, 'and take no record: a new key is served';
    end_uploads($uploads);
    is status('/spent', 'any'), 200, 'a client uses up its limit';
    my $refused = begin_uploads('/spent', 10);
    is $refused->{answered}, 10, 'then its uploads are refused before their body';
};

$nginx->stop;
done_testing;

sub status {
    my ($path, $key) = @_;
    return post($nginx->port, $path, '{"model":"m","messages":[],"max_tokens":1}',
        'X-Key' => $key, 'Content-Type' => 'application/json')->{status};
}

# Begins `count` requests whose bodies never come. Returns when nginx has seen all of them; {answered} counts those that
# have an answer by then.
sub begin_uploads {
    my ($path, $count) = @_;
    my $uploads = {answered => 0, connections => []};
    # nginx ends a connection of which it has to say too much at once.
    for (my $first = 1; $first <= $count; $first += 4096) {
        my $last = $first + 4095 < $count ? $first + 4095 : $count;
        my $connection = IdleUploads->begin($nginx->port(1), $path, $first, $last);
        push @{$uploads->{connections}}, $connection;
        $uploads->{answered} += $connection->{answered};
    }
    return $uploads;
}

sub end_uploads {
    my ($uploads) = @_;
    $_->end for @{$uploads->{connections}};
    return;
}

# One connection of HTTP/2 (RFC 9113) with such requests.
package IdleUploads;

use IO::Select;
use IO::Socket::INET;

use constant {HEADERS => 1, SETTINGS => 4, PING => 6, END_HEADERS => 4, ACK => 1};

# Under the made-up keys of these numbers.
sub begin {
    my ($class, $port, $path, $first, $last) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
    $socket->blocking(0);
    my $self = bless {socket => $socket, in => '', out => '', answered => 0, done => 0}, $class;
    $self->{out} = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, '');
    for ($first .. $last) {
        my @fields = (':method' => 'POST', ':scheme' => 'http', ':path' => $path, ':authority' => 'localhost',
            'x-key' => "made-up-$_", 'content-length' => 100);
        my $block = '';
        while (my ($name, $value) = splice @fields, 0, 2) {
            # RFC 7541, section 6.2.2: a literal that is not indexed, with a new name.
            $block .= "\0" . join '', map { chr(length) . $_ } $name, $value;
        }
        $self->{out} .= frame(HEADERS, END_HEADERS, 2 * ($_ - $first) + 1, $block);
    }
    $self->{out} .= frame(PING, 0, 0, 'all sent');
    my $patience = AiLimit::Patience->new(AiLimit::Nginx::PATIENCE);
    while (!$self->{done}) {
        die 'nginx does not answer' if $patience->is_over;
        $self->step;
    }
    return $self;
}

sub end { my ($self) = @_; return close $self->{socket}; }

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

sub step {
    my ($self) = @_;
    my $socket = $self->{socket};
    my $all = IO::Select->new($socket);
    IO::Select->select($all, length $self->{out} ? $all : undef, undef, 0.1);
    my $sent = length $self->{out} ? syswrite $socket, $self->{out}, 65536 : 0;
    substr($self->{out}, 0, $sent // 0) = '';
    my $got = sysread $socket, $self->{in}, 65536, length $self->{in};
    die 'nginx has closed the connection' if defined $got && $got == 0;
    while (length $self->{in} >= 9) {
        my ($high, $low, $type, $flags) = unpack 'CnCC', $self->{in};
        my $size = ($high << 16) + $low;
        last if length $self->{in} < 9 + $size;
        substr($self->{in}, 0, 9 + $size) = '';
        $self->{out} .= frame(SETTINGS, ACK, 0, '') if $type == SETTINGS && !($flags & ACK);
        $self->{answered}++ if $type == HEADERS;
        $self->{done} = 1 if $type == PING && $flags & ACK;
    }
    return;
}
