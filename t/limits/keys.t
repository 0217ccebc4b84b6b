# Keys of any length and of any bytes are limited, each on its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(encode_base64);
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(http => <<'CONF');
    large_client_header_buffers 8 128k;
    # The name from basic authentication may hold any byte but a colon.
    ai_limit_policy argument key=$arg_k rate=1r/h burst=1;
    ai_limit_policy joined key=$joined rate=1r/h burst=1;
    ai_limit_policy header key=$http_x_key rate=1r/h burst=1;
    ai_limit_policy joined_header key=$http_x_key-$uri rate=1r/h burst=1;
    ai_limit_policy mapped_header key=$of_header rate=1r/h burst=1;
    ai_limit_policy name key=$remote_user rate=1r/h burst=1;
    map $arg_k $joined { default "$arg_k$arg_k$arg_k$arg_k$arg_k$arg_more"; }

    map $http_x_key $of_header { default "user $http_x_key"; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location = /argument { ai_limit argument; empty_gif; }
        location = /joined { ai_limit joined; empty_gif; }
        location = /header { ai_limit header; empty_gif; }
        location = /joined_header { ai_limit joined_header; empty_gif; }
        location = /mapped_header { ai_limit mapped_header; empty_gif; }
        location = /seen_before { if ($http_x_key = none) { return 404; } ai_limit header; empty_gif; }
        location = /name { ai_limit name; empty_gif; }
    }
CONF

for my $length (1, 2, 15, 16, 17, 64, 128, 240, 241, 254, 255, 256, 257, 1000, 1024, 4096, 8192, 60_000) {
    subtest "$length bytes" => sub {
        my $key = random_text($length);
        my $other = substr($key, 0, -1) . (substr($key, -1) eq 'a' ? 'b' : 'a');
        limited_each('an argument', sub { get($nginx->port, "/argument?k=$_[0]") }, $key, $other);
        limited_each('a header', sub { get($nginx->port, '/header', 'X-Key' => $_[0]) }, $key, $other);
    };
}

subtest 'more than 65,535 bytes' => sub {
    my $fifth = random_text(13_107);
    my $get = sub { get($nginx->port, "/joined?k=$fifth&more=$_[0]") };
    limited_each('of one length', $get, random_text(1), '-');
    limited_each('of several lengths', $get, map { random_text($_) } 0, 2, 1000, 40_000);
};

subtest 'white space around a header is no part of a key' => sub {
    for my $location (qw(header joined_header mapped_header seen_before)) {
        my @spellings = map { $_ =~ s/k/key of $location/r } 'k', "k\t", "\tk", " \t k", "k \t ", "\t\tk\t\t";
        is_deeply [map { get($nginx->port, "/$location", 'X-Key' => $_)->{status} } @spellings], [200, (429) x 5], $location;
    }
    my $get = sub { get($nginx->port, '/header', 'X-Key' => [@_])->{status} };
    is_deeply [$get->('often', 'often'), $get->('', 'often'), $get->("often\t", ''), $get->("\toften", 'often', ' ')], [200, (429) x 3],
        'nor does it help to send the header several times';
    is_deeply [$get->("\t"), $get->("\t")], [200, 200], 'nothing but white space is no key';
};

subtest 'keys of any bytes' => sub {
    my $get = sub {
        my ($name) = @_;
        return get($nginx->port, '/name', Authorization => 'Basic ' . encode_base64("$name:x", ''));
    };
    my @names = ("a\r\nb", "a\rb", "a\nb", "a\eb", "a\0b", "a\0c", "a\0", "a", "\0", "\0\0", "\r\n",
        "\xff\xfe", "\xc3\x28", "\e[31mred", ' ', '"', '\\', "'", '%00', "\x7f", "\t");
    limited_each('a name', $get, @names);
    my $refused = $get->("a\r\nb");
    unlike $refused->{headers}{'x-ratelimit-limit'} // '', qr/b/, 'no header is split';
    ok $nginx->error_log !~ /[\x00-\x09\x0b-\x1f\x7f]/, 'and no control character goes to the log as it is';
    my @lines = grep { /limiting requests/ } split /\n/, $nginx->error_log;
    is scalar(grep { !/^\d{4}.*limiting requests, policy: "\w+", key: ".*", retry after: \d+s/ } @lines), 0,
        'nor splits a line of it';
};

my ($longest) = sort { $b <=> $a } map { length } split /\n/, $nginx->error_log;
cmp_ok $longest, '<', 4096, 'the log has no long key';
$nginx->stop;
done_testing;

# Each key passes once and is refused then, whatever the other keys do.
sub limited_each {
    my ($what, $get, @keys) = @_;
    my @first = map { $get->($_)->{status} } @keys;
    my @second = map { $get->($_)->{status} } @keys;
    is_deeply \@first, [(200) x @keys], "$what: each passes";
    is_deeply \@second, [(429) x @keys], "$what: each is refused the second time";
    return;
}

sub random_text {
    my ($length) = @_;
    my @letters = ('a' .. 'z', 0 .. 9);
    return join '', map { $letters[rand @letters] } 1 .. $length;
}
