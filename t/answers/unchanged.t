# Tests that nginx neither changes nor stops what passes through: large answers, trailers, ranges, HEAD, files, with and
# without buffers. nginx does not charge what costs nothing: answers from a cache, 304, HEAD.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;
use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $file = join '', map { "line $_ of a file\n" } 1 .. 20_000;
my $nginx = AiLimit::Nginx::binary();
my $threads = qx($nginx -V 2>&1) =~ /--with-threads/ ? 'aio threads;' : '';
my $t = AiLimit::Tokens->start(
    files => {'file.txt' => $file},
    policies => <<"CONF",
    ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;
    proxy_cache_path %%DIR%%/cache keys_zone=answers:1m;
CONF
    locations => <<'CONF' =~ s/THREADS/$threads/r,
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /buffered/ { proxy_buffering on; proxy_buffers 8 4k; proxy_buffer_size 4k; proxy_pass http://model/; }
        location /disk/ { proxy_buffering on; proxy_buffers 2 4k; proxy_busy_buffers_size 4k; sendfile on; proxy_pass http://model/; }
        location /http10/ { proxy_http_version 1.0; proxy_pass http://model/; }
        location /trailer/ { add_trailer X-Trailer "of nginx"; proxy_pass http://model/; }
        location /file.txt { root %%DIR%%; }
        location /sendfile/ { alias %%DIR%%/; sendfile on; }
        location /threads/ { alias %%DIR%%/; THREADS }
        location /cached/ {
            proxy_cache answers;
            proxy_cache_methods GET HEAD POST;
            proxy_cache_key $request_uri;
            proxy_cache_valid 200 1h;
            proxy_cache_revalidate on;
            proxy_buffering on;
            add_header X-Cache $upstream_cache_status;
            proxy_pass http://model/;
        }
CONF
);
my $used = 'prompt_tokens=30&completion_tokens=12';

subtest 'an answer of 100 MB' => sub {
    my $size = 100 * 1024 * 1024;
    my $stream = chat(stream => 1, include_usage => 1);
    for my $request (["/bytes?size=$size&type=text/event-stream"], ["/v1/chat/completions?size=$size&$used", $stream]) {
        # Perl would take longer to read them.
        my ($got, $sent) = map { $t->by_curl($_, @$request) } $t->port, $t->model->port;
        ok $got->{complete} && $got->{size} >= $size, "$request->[0]: all of it comes";
        is $got->{digest}, $sent->{digest}, 'as it was sent';
    }
    is $t->left_at_last($LIMIT - 42), $LIMIT - 42, 'and its usage is charged';
};

for my $prefix ('/buffered', '/disk', '/http10') {
    subtest $prefix => sub {
        my @answers = (
            ["/bytes?size=3000000"],
            ["/v1/chat/completions?size=3000000&$used", chat(stream => 1, include_usage => 1)],
            ["/v1/chat/completions?$used&text=" . 'x' x 5000, chat()],
        );
        for my $answer (@answers) {
            my ($path, $body) = @$answer;
            $t->new_client;
            my $got = $t->ask("$prefix$path", $body);
            ok $got->{complete}, 'all of it comes';
            ok $got->{body} eq request($t->model->port, path => $path, $body ? (method => 'POST', body => $body) : ())->{body},
                'as it was sent';
            is $t->left, $LIMIT - ($body ? 42 : 0), 'and is charged';
        }
    };
}

subtest 'a slow reader' => sub {
    $t->new_client;
    my $body = chat(stream => 1, include_usage => 1);
    my $pending = $t->begin("/buffered/v1/chat/completions?size=3000000&$used", $body);
    $pending->head;
    select undef, undef, undef, 0.2;
    my $answer = $pending->finish;
    ok $answer->{complete}, 'gets all of it';
    is $t->left, $LIMIT - 42, 'and is charged';
};

subtest 'trailers' => sub {
    for my $path ('/v1/chat/completions', '/trailer/v1/chat/completions') {
        $t->new_client;
        my $pending = $t->begin("$path?trailers=1&$used", chat(), headers => [TE => 'trailers']);
        my $answer = $pending->finish;
        ok $answer->{complete}, 'an answer with a trailer';
        my $raw = join '', map { $_->[1] } @{$pending->arrivals};
        like $raw, qr/\r\n0\r\nX-Trailer: of nginx\r\n\r\n$/, 'that nginx adds' if $path =~ /trailer/;
        is $t->left, $LIMIT - 42, 'is charged';
    }
};

subtest 'files' => sub {
    $t->new_client;
    for my $path ('/file.txt', '/sendfile/file.txt', '/threads/file.txt') {
        ok $t->ask($path)->{body} eq $file, $path;
        my $range = $t->ask($path, undef, headers => [Range => 'bytes=100-199,1000-1009']);
        is $range->{status}, 206, 'ranges of it';
        like $range->{body}, qr/\r\n\Q@{[substr $file, 100, 100]}\E\r\n.*\r\n\Q@{[substr $file, 1000, 10]}\E\r\n/s, 'are what they are';
        my $modified = $t->ask($path)->{headers}{'last-modified'};
        is $t->ask($path, undef, headers => ['If-Modified-Since' => $modified])->{status}, 304, 'not modified';
    }
    is $t->left, $LIMIT, 'cost nothing';
};

subtest 'a cache' => sub {
    for my $case (['POST', "/cached/v1/chat/completions?$used&n=1", chat()],
        ['stream', "/cached/v1/chat/completions?$used&n=2", chat(stream => 1, include_usage => 1)],
        ['no usage', '/cached/v1/chat/completions?usage=0&n=3', chat()]) {
        my ($name, $path, $body) = @$case;
        $t->new_client;
        my $miss = $t->ask($path, $body);
        is $miss->{headers}{'x-cache'}, 'MISS', "$name: an answer of the server";
        my $charged = $name eq 'no usage' ? estimate() + 7 : 42;
        is $t->left, $LIMIT - $charged, 'is charged';
        my $hit = $t->ask($path, $body);
        is $hit->{headers}{'x-cache'}, 'HIT', 'the same from the cache';
        ok $hit->{body} eq $miss->{body}, 'is the same';
        is $hit->{log}{source}, 'none', 'uses nothing';
        is $t->left, $LIMIT - $charged, 'and costs nothing';
        my $range = $t->ask($path, $body, headers => [Range => 'bytes=5-14']);
        is $range->{body}, substr($miss->{body}, 5, 10), 'a range of it, too' if $range->{status} == 206;
        is $t->left, $LIMIT - $charged, 'costs nothing';
    }
};

subtest 'HEAD and 304' => sub {
    $t->new_client;
    my $head = $t->ask('/v1/models', undef, method => 'HEAD');
    is_deeply [$head->{status}, $head->{complete}], [200, 1], 'HEAD';
    is $t->ask('/raw?status=304')->{status}, 304, '304 of the server';
    is $t->ask('/cached/v1/models', undef, method => 'HEAD')->{status}, 200, 'HEAD that is cached';
    is $t->left, $LIMIT, 'cost nothing';
};

$t->stop;
done_testing;
