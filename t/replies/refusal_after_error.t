# A location that error_page leads to from an upstream's error refuses with its own status.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http qw(get);
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(http => <<'CONF');
    ai_limit_policy fallback key=$remote_addr rate=1r/h;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        error_page 502 /fallback;
        location / { proxy_pass http://127.0.0.1:1; }
        location /fallback { ai_limit fallback; empty_gif; }
    }
CONF

is get($nginx->port, '/')->{status}, 502, 'the fallback answers';
my $refused = get($nginx->port, '/');
is $refused->{status}, 429, 'then refuses';
ok $refused->{headers}{'retry-after'} > 0, 'and says how long to wait';
like $refused->{body}, qr/rate_limit_exceeded/, 'in its body too';

$nginx->stop;
done_testing;
