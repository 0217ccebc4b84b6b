# A client's request is charged for the answer that the client gets, once, whatever nginx asks of whom besides.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Tokens;

my $LIMIT = 100_000;
my $t = AiLimit::Tokens->start(
    left => [qw(tokens early other)],
    files => {'ssi.shtml' => '<!--# include virtual="/part" --><!--# include virtual="/part" -->'},
    policies => join('', map { "ai_limit_policy $$_[0] key=\$http_x_key rate=1t/month burst=$LIMIT $$_[1] reserve=max;\n" }
        ['tokens', ''], ['early', 'phase=preaccess'], ['other', ''])
        . 'ai_limit_policy once key=$http_x_key rate=100r/month; ai_limit_policy again key=$http_x_key rate=100r/month;',
    locations => <<'CONF',
        ai_limit early tokens;
        recursive_error_pages on;
        location /plain/     { proxy_pass http://model/; }
        location /auth/      { auth_request /ask; proxy_pass http://model/; }
        location /mirror/    { mirror /ask; proxy_pass http://model/; }
        location /slow_copy/ { mirror /ask_slowly; mirror_request_body off; proxy_pass http://model/; }
        location /denied/    { deny all; proxy_pass http://model/; }
        location /forbidden/ { auth_request /no; proxy_pass http://model/; }
        location /twice/     { error_page 418 = @other; proxy_intercept_errors on; proxy_pass http://model/; }
        location @other      { ai_limit early tokens other; rewrite ^/twice(.*)$ $1?prompt_tokens=20&completion_tokens=22? break; proxy_pass http://model; }
        location /accel/     { proxy_pass http://127.0.0.1:%%PORT_1%%; }
        location /inner/     { internal; proxy_pass http://model/; }
        location /rewritten/ { rewrite ^/rewritten(.*)$ /plain$1 last; }
        location /tried/     { try_files /nothing @tried; }
        location @tried      { rewrite ^/tried(.*)$ $1 break; proxy_pass http://model; }
        location /after_other/ { post_action @after; proxy_pass http://model/; }
        location @after      { ai_limit other; rewrite ^ /v1/chat/completions?prompt_tokens=300? break; proxy_pass http://model; }
        location /small/     { ai_limit once tokens; client_max_body_size 100; error_page 413 /large; proxy_pass http://model/; }
        location = /large    { ai_limit other again; add_header X-Left "$ai_limit_remaining_once,$ai_limit_remaining_other,$ai_limit_remaining_again" always; empty_gif; }
        location /after/     { post_action /ask; proxy_pass http://model/; }
        location = /ssi.shtml { root %%DIR%%; ssi on; ssi_types *; }
        location = /part     { proxy_pass http://model/v1/models?prompt_tokens=500; }
        location = /ask {
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_pass http://model/v1/chat/completions?prompt_tokens=300&completion_tokens=300;
        }
        location = /ask_slowly {
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_pass http://model/v1/chat/completions?delay=300&prompt_tokens=300;
        }
        location = /no       { return 403; }
    }
    server {
        listen 127.0.0.1:%%PORT_1%%;
        access_log off;
        location / { add_header X-Accel-Redirect "/inner/v1/chat/completions?prompt_tokens=20&completion_tokens=22"; return 200; }
CONF
);
my $chat = '/v1/chat/completions?prompt_tokens=20&completion_tokens=22';
my $body = chat(max_tokens => 1000);

# Each: what the request goes through, the path, and what is left of `other` if it takes part.
my @ways = (
    ['nothing', "/plain$chat"],
    ['auth_request', "/auth$chat"],
    ['mirror', "/mirror$chat"],
    ['a mirror that takes longer', "/slow_copy$chat"],
    ['error_page to one policy more', '/twice/v1/chat/completions?status=418', 42],
    ['X-Accel-Redirect', '/accel/'],
    ['rewrite', "/rewritten$chat"],
    ['try_files', "/tried$chat"],
    ['post_action', "/after$chat"],
    ['post_action to another policy', "/after_other$chat"],
);
for my $way (@ways) {
    my ($name, $path, $other) = @$way;
    for my $stream (0, 1) {
        subtest "$name, " . ($stream ? 'streamed' : 'whole') => sub {
            $t->new_client;
            my $answer = $t->ask($path, chat(max_tokens => 1000, stream => $stream, include_usage => 1));
            is $answer->{status}, 200, 'is answered';
            is usage_of($answer), 'in=20 out=22 cached=0 total=42 source=response', 'and counted';
            is $t->left, $LIMIT - 42, 'and charged';
            is $t->left('early'), $LIMIT - 42, 'in each phase';
            is $t->left('other'), $LIMIT - ($other // 0), 'and nobody else';
        };
    }
}

for my $path ('/denied', '/forbidden') {
    subtest "$path: who is not let in" => sub {
        $t->new_client;
        is $t->ask("$path$chat", $body)->{status}, 403, 'learns so';
        is_deeply [map { $t->left($_) } qw(tokens early)], [$LIMIT, $LIMIT], 'and pays nothing, in either phase';
    };
}

subtest 'a body that turns out to be too large' => sub {
    $t->new_client;
    my $chunked = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a50)*', chat(text => 'x' x 500)) . "0\r\n\r\n";
    my $answer = $t->ask("/small$chat", $chunked, headers => ['Transfer-Encoding' => 'chunked']);
    is $answer->{status}, 413, 'is refused';
    is $answer->{headers}{'x-left'}, ",$LIMIT,99", 'and the policies of the page, all of them and no others, are asked';
};

subtest 'parts of a page' => sub {
    $t->new_client;
    my $page = $t->ask('/ssi.shtml');
    like $page->{body}, qr/test-model.*test-model/s, 'come from a server';
    is $t->left, $LIMIT, 'and cost nothing';
};

$t->stop;
done_testing;
