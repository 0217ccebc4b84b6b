# Tests which policies apply where: those of the innermost level that names any.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(http => <<'CONF');
    ai_limit outer;
    ai_limit_policy outer  key=$http_x_key rate=1r/h burst=100;
    ai_limit_policy server key=$http_x_key rate=1r/h burst=200;
    ai_limit_policy inner  key=$http_x_key rate=1r/h burst=300;
    ai_limit_policy early  key=$http_x_key rate=1r/h burst=400 phase=preaccess;

    add_header X-Left "$ai_limit_remaining_outer $ai_limit_remaining_server $ai_limit_remaining_inner $ai_limit_remaining_early";

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { empty_gif; }
        location /off { ai_limit off; empty_gif; }
        location /off/on { ai_limit outer early; empty_gif; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        ai_limit server;
        location / { empty_gif; }
        location /inner { ai_limit inner; location /inner/most { empty_gif; } }
        location /early { ai_limit early; empty_gif; }
        location /outer { ai_limit off; location /outer/most { empty_gif; } }
        location /if {
            empty_gif;
            if ($arg_who = inner) { ai_limit inner early; }
            if ($arg_who = off)   { ai_limit off; }
            if ($arg_who = same)  { set $nothing ""; }
        }
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        ai_limit off;
        location / { empty_gif; }
    }
CONF
my $keys = 0;

# The server, the path, and what applies.
for (
    [0, '/',             'outer'],
    [0, '/off',          'nothing'],
    [0, '/off/on',       'outer early'],
    [1, '/',             'server'],
    [1, '/inner/most',   'inner'],
    [1, '/early',        'early'],
    [1, '/outer/most',   'nothing'],
    [1, '/if',           'server'],
    [1, '/if?who=inner', 'inner early'],
    [1, '/if?who=off',   'nothing'],
    [1, '/if?who=same',  'server'],
    [2, '/',             'nothing'],
) {
    my ($server, $path, $wanted) = @$_;
    my $left = get($nginx->port($server), $path, 'X-Key' => ++$keys)->{headers}{'x-left'};
    my %policies = (99 => 'outer', 199 => 'server', 299 => 'inner', 399 => 'early');
    is join(' ', map { $policies{$_} } split ' ', $left // '') || 'nothing', $wanted, "server $server, $path: $wanted";
}

$nginx->stop;
done_testing;
