# A request's body is read for what it asks however the client has encoded it, and reaches the server as it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Encode ();
use Test::More;

use AiLimit::Http;
use AiLimit::Tokens;
use ModelServer::Encoding qw(encoder);

my $LIMIT = 10_000_000;
my $t = AiLimit::Tokens->start(
    policies => "ai_limit_policy tokens key=\$http_x_key rate=1t/month burst=$LIMIT reserve=max;",
    server => 'client_max_body_size 4m; client_body_buffer_size 1m;',
    locations => <<'CONF',
        ai_limit tokens;
        location / { proxy_pass http://model; }
        location /file/ { client_body_buffer_size 1k; proxy_pass http://model/; }
CONF
);

my $has_brotli = qx(brotli --version 2>&1) =~ /brotli/;
my $euro = "\x{20AC}\x{1F600}";
my $text = $euro x 20;
my $body = Encode::decode('UTF-8', chat(text => $text, max_tokens => 70));
my $long = Encode::decode('UTF-8', chat(text => $text x 5_000, max_tokens => 70));
my $held = estimate(40) + 70;
my $held_long = estimate(200_000) + 70;

for my $coding (qw(gzip deflate raw-deflate br)) {
    subtest $coding => sub {
        plan skip_all => 'no command brotli' if $coding eq 'br' && !$has_brotli;
        my $name = $coding eq 'raw-deflate' ? 'deflate' : $coding;
        for my $path ('', '/file') {
            is reserved_for("$path/raw", coded($coding, utf8($body)), $name), $held, "$path: is read";
            is reserved_for("$path/raw", coded($coding, utf8($long)), $name), $held_long, 'a long one, too';
            is reserved_for("$path/raw", coded($coding, Encode::encode('UTF-16LE', $body)), $name), $held, 'and with UTF-16 inside';
        }
    };
}

subtest 'encodings of Unicode' => sub {
    for my $encoding (qw(UTF-8 UTF-16LE UTF-16BE UTF-32LE UTF-32BE)) {
        for my $mark ('', "\x{FEFF}") {
            my $name = $encoding . ($mark ? ' with a byte order mark' : '');
            for my $path ('', '/file') {
                is reserved_for("$path/raw", Encode::encode($encoding, $mark . $body)), $held, "$path $name: is read";
            }
            is reserved_for('/file/raw', Encode::encode($encoding, $mark . $long)), $held_long, 'a long one, too';
        }
    }
};

subtest 'usage is asked for behind a byte order mark' => sub {
    my $conf = $t->conf(%{$t->{options}}) =~ s/(ai_limit tokens;)/$1 ai_limit_include_usage on;/r;
    $t->nginx->reload(http => $conf);
    my $answer = $t->ask('/v1/chat/completions?prompt_tokens=321&completion_tokens=123', "\xEF\xBB\xBF" . chat(stream => 1));
    is usage_of($answer), 'in=321 out=123 cached=0 total=444 source=response', 'and reported';
};

$t->stop;
done_testing;

# Returns what nginx reserves for a body, which must reach the upstream unchanged.
sub reserved_for {
    my ($path, $bytes, $coding) = @_;
    my $answer = $t->ask("$path?type=text/plain", $bytes, headers => [defined $coding ? ('Content-Encoding' => $coding) : ()]);
    ok $answer->{body} eq $bytes, 'comes as it is' or diag "status $answer->{status}, " . length $answer->{body};
    return $answer->{log}{reserved};
}

sub utf8 { return Encode::encode('UTF-8', $_[0]) }

sub coded {
    my ($coding, $bytes) = @_;
    return encoder({encoding => $coding})->($bytes, 1);
}
