# Tests the page of ai_limit_api in a browser: t/page, with Chromium. npm installs what drives it into build/page.
# nginx's own answers are true; the browser's tests replace its answers for states that nginx does not get into by
# itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::NodeTests;
use AiLimit::Patience qw(wait_until);

$ENV{CHROMIUM} //= chromium() // plan skip_all => 'there is no Chromium';
my $tests = AiLimit::NodeTests->install('page');
my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(workers => 2, http => <<"CONF");
    ai_limit_zone zone=ai:1m;
    ai_limit_policy addr   key=\$http_x_addr rate=5r/h;
    ai_limit_policy user   key=\$http_x_key rate=1000r/h;
    ai_limit_policy tried  key=\$http_x_key rate=1r/h dry_run;
    ai_limit_policy slots  key=\$http_x_key concurrency=4;
    ai_limit_policy tokens key=\$http_x_key rate=1Mt/h;
    ai_limit_policy shared key=all concurrency=2 share=key:\$http_x_key wait=100s;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { ai_limit addr user tried; empty_gif; }
        location /v1/ { ai_limit tokens slots; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /shared/ { ai_limit shared; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /ai_limit/ { ai_limit_api write=on; }
    }
CONF
$ENV{BASE_URL} = 'http://127.0.0.1:' . $nginx->port . '/ai_limit';

for my $key ('sk-1234567890abcdef', '<script>alert(1)</script>', ('key:0123456789abcdef0123456789abcdef') x 3) {
    get($nginx->port, '/', 'X-Key' => $key);
}
is get($nginx->port, '/', 'X-Addr' => '192.0.2.1')->{status}, $_ < 5 ? 200 : 429, 'an address' for 0 .. 6;
post($nginx->port, '/v1/chat/completions?prompt_tokens=1234&completion_tokens=567', '{}',
    'Content-Type' => 'application/json', 'X-Key' => 'talks');
is request($nginx->port, method => 'PUT', path => '/ai_limit/keys?policy=user&key=ip:192.0.2.7&rate=1r/h&ttl=1h')->{status},
    200, 'a key has another rate';

my @streams = map { stream($_) } qw(busy busy);
my $waiting = start_request($nginx->port, path => '/shared/v1/models', headers => ['X-Key' => 'idle'], deadline => 600);
ok wait_until(sub { AiLimit::Api->new($nginx->port)->policy('shared')->{waits}{now} == 1 }), 'a request waits';

cmp_ok length get($nginx->port, '/ai_limit/')->{body}, '<', 55_000, 'the page is small';
$tests->report($tests->start('page.mjs'));
is get($nginx->port, '/', 'X-Addr' => '192.0.2.1')->{status}, 200, 'what was reset on the page is';
$_->abort for @streams, $waiting;
$nginx->stop;
done_testing;

# A stream that keeps its slot.
sub stream {
    my ($key) = @_;
    my $stream = start_request($nginx->port, method => 'POST', path => '/shared/v1/chat/completions?chunk_delay=600000',
        body => '{"stream":true}', headers => ['X-Key' => $key], deadline => 600);
    $stream->head;
    return $stream;
}

sub chromium {
    for my $name (qw(chromium chromium-browser)) {
        for my $dir (split /:/, $ENV{PATH} // '') {
            return "$dir/$name" if -x "$dir/$name";
        }
    }
    return;
}
