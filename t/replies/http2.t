# Tests that HTTP/2 clients are limited and informed as HTTP/1.1 ones are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Nginx;

plan skip_all => 'curl without HTTP/2' if qx(curl --version) !~ /\bHTTP2\b/;

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) =
    AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');

my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    ai_limit_policy one key=\$ai_limit_client rate=1r/h burst=1;
    ai_limit_policy header key=\$http_x_user rate=1r/h burst=1;

    server {
        listen 127.0.0.1:%%PORT_0%%$listen;
        $http2
        location / { ai_limit one; empty_gif; }
        location /header { ai_limit header; empty_gif; }
    }
CONF

my $path = '/';

sub curl {
    my (@arguments) = @_;
    my @command = ('curl', '-s', '--max-time', 20, '--http2-prior-knowledge', @arguments);
    open my $pipe, '-|', @command, 'http://127.0.0.1:' . $nginx->port . $path or die "curl: $!";
    local $/;
    return scalar(<$pipe>) // '';
}

my $passed = curl('-i', '-H', 'x-api-key: a');
like $passed, qr{^HTTP/2 200}, 'the first request passes';
like $passed, qr/^x-ratelimit-limit: 1\r$/mi, 'and shows its limit';
like $passed, qr/^x-ratelimit-remaining: 0\r$/mi, 'and what remains';

my $refused = curl('-i', '-H', 'x-api-key: a');
like $refused, qr{^HTTP/2 429}, 'the second is refused';
like $refused, qr/^retry-after: 3[56]\d\d\r$/mi, 'and says when to come back';
like $refused, qr/^content-type: application\/json/mi, 'in JSON';
like $refused, qr/"error":"rate_limit_exceeded"/, 'with a body';

my $status = sub { curl('-o', '/dev/null', '-w', '%{http_code}', '-H', $_[0]) };
my @statuses = map { $status->('x-api-key: b') } 1 .. 3;
is_deeply \@statuses, [200, 429, 429], 'another key has a limit of its own';

# HTTP/2 brings a value as it is, and nginx takes nothing off it.
my @spellings = ('c', "c\t", 'c ', "c \t ");
is_deeply [map { $status->("authorization: Bearer $_") } @spellings], [200, (429) x 3], 'white space makes no other client';
$path = '/header';
is_deeply [map { $status->("x-user: $_") } @spellings], [200, (429) x 3], 'nor another key of a header';

$nginx->stop;
done_testing;
