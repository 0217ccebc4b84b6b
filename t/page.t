# The page of ai_limit_api in a browser: t/page, with Chromium. npm installs what drives it into build/page.

use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use AiLimit::Nginx;
use AiLimit::NodeTests;

$ENV{CHROMIUM} //= chromium() // plan skip_all => 'there is no Chromium';
my $tests = AiLimit::NodeTests->install('page');
my $page = abs_path("$FindBin::Bin/../src/nginx/page.html");
my $status = qx(node '$FindBin::Bin/page/print_example.mjs');

# Where the page is, and what it asks for.
my $nginx = AiLimit::Nginx->start(module => 0, files => {'status.json' => $status}, http => <<"CONF");
    server {
        listen 127.0.0.1:%%PORT_0%%;

        location = /ai_limit/ { rewrite ^ /ai_limit/page.html last; }
        location = /ai_limit/page.html {
            internal;
            default_type text/html;
            add_header Content-Security-Policy "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
            alias $page;
        }
        location = /ai_limit/status {
            default_type application/json;
            alias %%DIR%%/status.json;
        }
    }
CONF
$ENV{BASE_URL} = 'http://127.0.0.1:' . $nginx->port . '/ai_limit';

cmp_ok -s $page, '<', 50_000, 'the page is small';
$tests->report($tests->start('page.mjs'));
$nginx->stop;
done_testing;

sub chromium {
    for my $name (qw(chromium chromium-browser)) {
        for my $dir (split /:/, $ENV{PATH} // '') {
            return "$dir/$name" if -x "$dir/$name";
        }
    }
    return;
}
