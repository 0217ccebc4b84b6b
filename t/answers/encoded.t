# Answers that are compressed are counted like others, and reach the client as the server sent them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Compress::Raw::Zlib qw(MAX_WBITS WANT_GZIP_OR_ZLIB Z_OK Z_STREAM_END);
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;

my $LIMIT = 1_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /buffered/ { proxy_buffering on; proxy_pass http://model/; }
        location /gunzip/ { gunzip on; proxy_pass http://model/; }
        location /gzip/ { gzip on; gzip_types *; gzip_min_length 1; proxy_pass http://model/; }
CONF
);

my $used = 'prompt_tokens=321&completion_tokens=123';
my $expected = 'in=321 out=123 cached=0 total=444 source=response';
my %bodies = (
    'whole' => ['/v1/chat/completions', chat()],
    'a stream' => ['/v1/chat/completions', chat(stream => 1, include_usage => 1)],
    'Anthropic' => ['/v1/messages', chat(stream => 1)],
    'a JSON array' => ['/v1beta/models/g:streamGenerateContent', '{"contents":[]}'],
    'binary' => ['/model/m/converse-stream', '{"messages":[]}'],
    'long' => ['/v1/chat/completions?size=500000', chat(stream => 1, include_usage => 1)],
);
my $has_brotli = qx(brotli --version 2>&1) =~ /brotli/;

for my $encoding (qw(gzip deflate raw-deflate br)) {
    subtest $encoding => sub {
        plan skip_all => 'no command brotli' if $encoding eq 'br' && !$has_brotli;
        for my $name (sort keys %bodies) {
            my ($path, $body) = @{$bodies{$name}};
            my $with = sub { $path . ($path =~ /\?/ ? '&' : '?') . join '&', $used, "encoding=$encoding", @_ };
            # Straight from the model server.
            my $sent = post($t->model->port, $with->(), $body)->{body};
            for my $how ('', $name eq 'long' ? 'split=1000' : 'split=3') {
                $t->new_client;
                my $answer = $t->ask($with->($how || ()), $body, headers => ['Accept-Encoding' => 'gzip, deflate, br']);
                is usage_of($answer), $expected, join ' ', $name, $how;
                is $t->left, $LIMIT - 444, 'is charged';
                is $answer->{headers}{'content-encoding'}, $encoding eq 'raw-deflate' ? 'deflate' : $encoding,
                    'stays compressed';
                ok $answer->{body} eq $sent, 'byte for byte';
            }
        }
        my $answer = $t->ask("/buffered/v1/chat/completions?$used&encoding=$encoding", chat());
        is usage_of($answer), $expected, 'buffered';
    };
}

subtest 'an encoded answer that is cut short' => sub {
    $t->new_client;
    # Each piece is flushed, so a client has read it.
    my $answer = $t->ask('/v1/chat/completions?encoding=gzip&cut=4', chat(stream => 1, include_usage => 1));
    ok !$answer->{complete}, 'a compressed stream';
    is usage_of($answer), 'in=' . estimate() . ' out=5 cached=0 total=' . (estimate() + 5) . ' source=estimate',
        'costs what could be read of it';
};

subtest 'an answer that claims to be compressed' => sub {
    my $text = post($t->model->port, "/v1/chat/completions?$used", chat())->{body};
    # nginx charges a body that it cannot read at all by its bytes.
    my $by_bytes = int(length($text) / 4);
    for my $encoding ('gzip', 'deflate', 'br', 'zstd', 'gzip, br') {
        $t->new_client;
        my $answer = $t->ask("/v1/chat/completions?$used&claims=" . ($encoding =~ s{ }{%20}r), chat());
        is $answer->{body}, $text, "$encoding: it is passed on";
        is $answer->{log}{source}, 'estimate', 'and estimated';
        is $t->left, $LIMIT - estimate() - $by_bytes, 'from the prompt and its bytes';
    }
};

subtest 'nginx decompresses or compresses the answer' => sub {
    my $answer = $t->ask("/gunzip/v1/chat/completions?$used&encoding=gzip", chat());
    is usage_of($answer), $expected, 'gunzip';
    like $answer->{body}, qr/"usage"/, 'for a client that cannot';
    $answer = $t->ask("/gzip/v1/chat/completions?$used", chat(), headers => ['Accept-Encoding' => 'gzip']);
    is usage_of($answer), $expected, 'gzip';
    is $answer->{headers}{'content-encoding'}, 'gzip', 'for a client that can';
    like unpacked($answer->{body}), qr/"usage"/, 'which can read it';
};

$t->stop;
done_testing;

sub unpacked {
    my ($packed) = @_;
    my ($inflate) = Compress::Raw::Zlib::Inflate->new(-WindowBits => WANT_GZIP_OR_ZLIB, -AppendOutput => 1);
    my $text = '';
    my $status = $inflate->inflate($packed, $text);
    return $status == Z_STREAM_END || $status == Z_OK ? $text : '';
}
