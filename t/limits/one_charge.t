# A client's request is charged once, whatever nginx makes of it inside.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

# `http2` moved from `listen` to a directive of its own in 1.25.1.
my ($listen, $http2) =
    AiLimit::Nginx::version_number() >= 1_025_001 ? ('', 'http2 on;') : (' http2', '');

my $nginx = AiLimit::Nginx->start(
    files => {
        'page.txt'   => 'page',
        'index.txt'  => 'index',
        'ssi.shtml'  => '<!--# include virtual="/part?1" --> <!--# include virtual="/part?2" wait="yes" -->',
    },
    http => <<"CONF",
    ai_limit_policy early key=\$http_x_key rate=1r/h burst=100 phase=preaccess;
    ai_limit_policy late  key=\$http_x_key rate=1r/h burst=100;
    ai_limit_policy other key=\$http_x_key rate=1r/h burst=100;

    # Refuses the second request of a key.
    ai_limit_policy first      key=\$http_x_key rate=1r/h burst=1;
    ai_limit_policy first_soon key=\$http_x_key rate=1r/h burst=1 phase=preaccess;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_1%%$listen;
        $http2
        root %%DIR%%;
        ai_limit early late;
        ai_limit_error_format off;
        recursive_error_pages on;

        location = /left {
            add_header X-Left "\$ai_limit_remaining_early \$ai_limit_remaining_late \$ai_limit_remaining_other";
            ai_limit early late other;
            empty_gif;
        }

        location = /page.txt   { }
        location = /part       { ai_limit early late other; proxy_pass http://127.0.0.1:%%PORT_2%%/part; }

        location = /error_page       { error_page 404 /page.txt; }
        location = /error_page_200   { error_page 404 =200 /page.txt; }
        location = /error_page_named { error_page 404 = \@named; }
        location = /error_page_other { error_page 404 = \@other; }
        location = /error_page_twice { error_page 404 = /error_page_named; }
        location = /upstream_error   { error_page 404 /page.txt; proxy_intercept_errors on; proxy_pass http://127.0.0.1:%%PORT_2%%/missing; }
        location \@named             { rewrite ^ /page.txt break; }
        location \@other             { ai_limit early late other; rewrite ^ /page.txt break; }

        location = /try_files        { try_files /missing /page.txt; }
        location = /try_files_named  { try_files /missing \@named; }
        location = /try_files_here   { try_files /page.txt =404; }

        location = /accel            { proxy_pass http://127.0.0.1:%%PORT_2%%/accel; }
        location = /accel_named      { proxy_pass http://127.0.0.1:%%PORT_2%%/accel_named; }
        location = /accel_twice      { proxy_pass http://127.0.0.1:%%PORT_2%%/accel_twice; }
        location = /internal         { internal; try_files /page.txt =404; }

        location = /auth_request     { auth_request /part; try_files /page.txt =404; }
        location = /mirror           { mirror /part; proxy_pass http://127.0.0.1:%%PORT_2%%/page; }
        location = /ssi.shtml        { ssi on; ssi_types *; }

        location = /rewrite          { rewrite ^ /page.txt last; }
        location = /rewrite_chain    { rewrite ^ /rewrite last; }
        location = /if               { if (\$http_x_key) { rewrite ^ /rewrite last; } }
        location = /                 { index index.txt; }
        location = /index.txt        { }
        location = /post_action      { post_action /internal; proxy_pass http://127.0.0.1:%%PORT_2%%/page; }

        # Locations for a request that was refused.
        location = /fallback      { ai_limit first; error_page 429 = \@fallback; empty_gif; }
        location \@fallback       { ai_limit other; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location = /fallback_soon { ai_limit first_soon; error_page 429 = \@fallback; empty_gif; }
        location = /fallback_free { ai_limit first; error_page 429 = \@free; empty_gif; }
        location \@free           { ai_limit off; proxy_pass http://127.0.0.1:%%PORT_2%%; }
        location = /fallback_full { ai_limit first; error_page 429 = \@full; empty_gif; }
        location \@full           { ai_limit first_soon; empty_gif; }
        location = /own_page      { ai_limit first; error_page 429 /own_429.txt; empty_gif; }
        location = /soon_page     { ai_limit first_soon late; error_page 429 /soon_429.txt; empty_gif; }
        location = /soon_429.txt  { ai_limit first_soon late; try_files /page.txt =404; }
        location = /own_429.txt   { ai_limit first; try_files /page.txt =404; }
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        location / { return 200 page; }
        location = /missing     { return 404; }
        location = /part        { return 200 part; }
        location = /accel       { add_header X-Accel-Redirect /internal; return 200; }
        location = /accel_named { add_header X-Accel-Redirect \@named; return 200; }
        location = /accel_twice { add_header X-Accel-Redirect /accel; return 200; }
    }
CONF
);
my $keys = 0;

my %clients = ('HTTP/1.1' => \&over_http1, 'HTTP/2' => \&over_http2);
delete $clients{'HTTP/2'} if qx(curl --version) !~ /\bHTTP2\b/;

for my $client (sort keys %clients) {
    subtest $client => sub {
        my $ask = $clients{$client};
        is_deeply [$ask->('/page.txt', ++$keys)], [200, 'page'], 'a request passes';
        is charges($keys), '1 1 0', 'and is charged';
        # Each: what the request goes through, the path, the status, the body and the charges.
        is_charged($ask, @$_) for (
            ['error_page',                    '/error_page',       404, 'page'],
            ['error_page with a status',      '/error_page_200',   200, 'page'],
            ['error_page to a name',          '/error_page_named', 200, 'page'],
            ['error_page of error_page',      '/error_page_twice', 200, 'page'],
            ['error_page to one policy more', '/error_page_other', 200, 'page', '1 1 1'],
            ['error_page for the upstream',   '/upstream_error',   404, 'page'],
            ['try_files',                     '/try_files',        200, 'page'],
            ['try_files to a name',           '/try_files_named',  200, 'page'],
            ['try_files without a redirect',  '/try_files_here',   200, 'page'],
            ['X-Accel-Redirect',              '/accel',            200, 'page'],
            ['X-Accel-Redirect to a name',    '/accel_named',      200, 'page'],
            ['X-Accel-Redirect twice',        '/accel_twice',      200, 'page'],
            ['auth_request',                  '/auth_request',     200, 'page'],
            ['mirror',                        '/mirror',           200, 'page'],
            ['SSI',                           '/ssi.shtml',        200, 'part part'],
            ['rewrite',                       '/rewrite',          200, 'page'],
            ['rewrite twice',                 '/rewrite_chain',    200, 'page'],
            ['rewrite in if',                 '/if',               200, 'page'],
            ['index',                         '/',                 200, 'index'],
            ['post_action',                   '/post_action',      200, 'page'],
        );
    };
}

subtest 'several requests on one connection' => sub {
    $keys++;
    many($nginx->port, requests => 5, path => '/error_page', headers => {'X-Key' => $keys});
    is charges($keys), '5 5 0', 'are charged one by one';
    $keys++;
    many($nginx->port, requests => 5, pipeline => 5, path => '/accel', headers => {'X-Key' => $keys});
    is charges($keys), '5 5 0', 'also when they are sent at once';
};

subtest 'a fallback after a refusal' => sub {
    for my $path ('/fallback', '/fallback_soon') {
        my $key = ++$keys;
        is ask($path, $key)->{headers}{'content-type'}, 'image/gif', "$path: the first request passes";
        my $second = ask($path, $key);
        is $second->{status}, 200, 'the second is answered by the fallback';
        is $second->{body}, 'page', 'as it answers everybody';
        is $second->{headers}{'x-ratelimit-remaining'}, 99, 'and learns the policy';
        ok !exists $second->{headers}{$_}, "without $_" for qw(retry-after cache-control);
        is charges($key), '0 0 1', 'which alone was charged';
    }
    my $key = ++$keys;
    ask('/fallback_free', $key);
    my $free = ask('/fallback_free', $key);
    is $free->{status}, 200, 'a fallback without policies';
    ok !exists $free->{headers}{'retry-after'}, 'without Retry-After';

    $key = ++$keys;
    ask('/fallback_full', $key) for 1 .. 2;
    my $full = ask('/fallback_full', $key);
    is $full->{status}, 429, 'a fallback that refuses as well';
    like $full->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'says when to come back';
};

subtest 'a separate page for a refusal' => sub {
    my $key = ++$keys;
    is ask('/own_page', $key)->{status}, 200, 'the first request passes';
    my $refused = ask('/own_page', $key);
    is $refused->{status}, 429, 'the second is refused';
    is $refused->{body}, 'page', 'with that page, though the same policy stands there';
    like $refused->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'and Retry-After';

    $key = ++$keys;
    ask('/soon_page', $key) for 1 .. 2;
    is charges($key), '0 1 0', 'for which the policies that the refusal spared are not charged';
};

$nginx->stop;
done_testing;

sub is_charged {
    my ($ask, $name, $path, $status, $body, $charges) = @_;
    my $key = ++$keys;
    is_deeply [$ask->($path, $key)], [$status, $body], $name;
    is charges($key), $charges // '1 1 0', "$name is charged once";
    return;
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
    my @options = ('-s', '--max-time', 20, '--http2-prior-knowledge', '-w', ' %{http_code}', '-H', "X-Key: $key");
    open my $pipe, '-|', 'curl', @options, 'http://127.0.0.1:' . $nginx->port(1) . $path or die "curl: $!";
    local $/;
    my ($body, $status) = <$pipe> =~ /^(.*) (\d+)$/s;
    return ($status, $body);
}

# Returns what a key was charged so far by the policies early, late and other.
sub charges {
    my ($key) = @_;
    my $left = ask('/left', $key)->{headers}{'x-left'} // 'nothing said';
    return join ' ', map { 100 - 1 - $_ } split / /, $left;
}
