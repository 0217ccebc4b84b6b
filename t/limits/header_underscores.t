# A key that nginx reads from a header is the same to a policy, however the header is spelled.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http qw(request);
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(http => <<'CONF');
    ai_limit_policy p key=$http_x_api_key rate=1r/h;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        underscores_in_headers on;
        location / { ai_limit p; add_header X-Key $http_x_api_key always; empty_gif; }
    }
CONF

sub answer {
    my (@headers) = @_;
    return request($nginx->port, path => '/', headers => [@headers]);
}

is answer('X_Api_Key' => 'real')->{status}, 200, 'an underscore is let in';
is answer('X_Api_Key' => 'real')->{status}, 429, 'and counts';
my $both = answer('X_Api_Key' => 'real', 'X-Api-Key' => 'made-up');
is $both->{status}, ($both->{headers}{'x-key'} eq 'real' ? 429 : 200), 'nginx and the policy read the same header';
is answer('X-Api-Key' => 'dash')->{status}, 200, 'a dash is let in';
is answer('X-Api-Key' => 'dash')->{status}, 429, 'and counts';
is answer('X-Api-Key' => $_)->{status}, 429, 'with white space around it, too' for "dash\t", "\t dash";

$nginx->stop;
done_testing;
