# Tests what the error log says of a refusal, and that no secret gets there.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $log_format = '$status $ai_limit_status $ai_limit_policy $ai_limit_client "$request"';
my $nginx = AiLimit::Nginx->start(access_log => $log_format, http => <<'CONF');
    ai_limit_policy user   key=$http_x_key      rate=6r/h burst=1;
    ai_limit_policy client key=$ai_limit_client rate=6r/h burst=1;
    ai_limit_policy addr   key=$ai_limit_addr   rate=6r/h burst=1;
    ai_limit_policy real   key=$remote_addr     rate=6r/h burst=1;
    ai_limit_policy model  key=$ai_limit_client:$http_x_key rate=6r/h burst=1;
    ai_limit_policy path   key=$uri             rate=6r/h burst=1;
    ai_limit_policy large  key=$http_x_key      rate=10r/d cost=11;
    ai_limit_policy try    key=$http_x_key      rate=6r/h burst=1 dry_run;
    ai_limit_policy day    key=day:$http_x_key  rate=1r/d;
    ai_limit_policy bearer key=$http_authorization rate=6r/h burst=1;
    ai_limit_policy x      key=$http_x_api_key     rate=6r/h burst=1;
    ai_limit_policy azure  key=$http_api_key       rate=6r/h burst=1;
    ai_limit_policy google key=$http_x_goog_api_key rate=6r/h burst=1;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Forwarded-For;

        location /user    { ai_limit user;   empty_gif; }
        location /client  { ai_limit client; empty_gif; }
        location /addr    { ai_limit addr;   empty_gif; }
        location /real    { ai_limit real;   empty_gif; }
        location /model   { ai_limit model;  empty_gif; }
        location /path    { ai_limit path;   empty_gif; }
        location /large   { ai_limit large;  empty_gif; }
        location /longest { ai_limit user day; empty_gif; }
        location /page    { ai_limit user;   error_page 429 /page.html; empty_gif; }
        location /keys    { ai_limit bearer x azure google client; empty_gif; }
        location /keys/x  { ai_limit x;      empty_gif; }
        location /keys/bearer { ai_limit bearer; empty_gif; }
        location /try     { ai_limit try;    empty_gif; }
        location /dry_run { ai_limit user;   ai_limit_dry_run on; empty_gif; }

        location /info   { ai_limit user; ai_limit_log_level info;   empty_gif; }
        location /notice { ai_limit user; ai_limit_log_level notice; empty_gif; }
        location /warn   { ai_limit user; ai_limit_log_level warn;   empty_gif; }
        location /error  { ai_limit user; ai_limit_log_level error;  empty_gif; }
        location /quiet  {
            error_log %%DIR%%/quiet.log warn;
            ai_limit user; ai_limit_log_level notice; empty_gif;
        }
    }
CONF

# The key of a policy, and how it is shown.
my %shown = (
    'sk-1234567890-9f2c'        => 'sk-1…9f2c',
    '0123456789ab'              => '0123…89ab',
    '0123456789a'               => '01…',
    'abcd'                      => 'a…',
    'abc'                       => '…',
    'ip:2001:db8::'             => 'ip:2001:db8::',
    'key:0123456789abcdef'      => 'key:0123456789abcdef',
    '192.168.100.200'           => '192.168.100.200',
    '2001:db8:1:2:3:4:5:6'      => '2001:db8:1:2:3:4:5:6',
    '192.168.100.200.1'         => '192.…00.1',
    'secret-key:with-ip:inside' => 'secr…side',
    'x' x 5000                  => 'xxxx…xxxx',
    "abc\"\\defghijk\x1b"       => 'abc\x22…ijk\x1B',
    "\xc3\xa4\xc3\xb6 to \xc3\xbc\xc3\x9f" => '\xC3\xA4\xC3\xB6…\xC3\xBC\xC3\x9F',
);
subtest 'a key is shown shortened' => sub {
    for my $key (sort keys %shown) {
        my ($first, $second) = lines_of(2, '/user', 'X-Key' => $key);
        is $first, '', 'nothing is said of what passes';
        is message($second), qq(limiting requests, policy: "user", key: "$shown{$key}", retry after: 600s),
            substr $shown{$key}, 0, 60;
        like $second, qr/^[^\n]* \[error\] .*, client: 127\.0\.0\.1, server: .*\n\z/, 'in one line, as nginx does';
    }
};

subtest 'each policy is logged with its key' => sub {
    my @from = ('X-Forwarded-For' => '2001:db8:1:2:3:4:5:6');
    my $client = 'key:' . substr sha256_hex('sk-of-client'), 0, 32;
    my %said = (
        '/client' => ['client', 'ip:127.0.0.1'],
        '/addr'   => ['addr',   '2001:db8:1:2::', @from],
        '/real'   => ['real',   '2001:db8:1:2:3:4:5:6', @from],
        '/model'  => ['model',  "$client:gpt", 'x-api-key' => 'sk-of-client', 'X-Key' => 'gpt'],
    );
    for my $path (sort keys %said) {
        my ($policy, $key, @headers) = @{$said{$path}};
        is message((lines_of(2, $path, @headers))[1]),
            qq(limiting requests, policy: "$policy", key: "$key", retry after: 600s), $path;
    }
};

subtest 'one line for each refusal' => sub {
    is message((lines_of(1, '/large', 'X-Key' => 'a-large-request'))[0]),
        'limiting requests, policy: "large", key: "a-la…uest", retry after: never', 'that never fits';
    is message((lines_of(2, '/longest', 'X-Key' => 'longest-of-two'))[1]),
        'limiting requests, policy: "day", key: "day:…-two", retry after: 86400s', 'of several, the one that waits longest';
    my @lines = lines_of(3, '/page', 'X-Key' => 'an-error-page');
    is_deeply [map { scalar(() = /limiting requests/g) } @lines], [0, 1, 1], 'that has a page of its own';
};

subtest 'a dry run' => sub {
    for my $path ('/try', '/dry_run') {
        my $policy = $path eq '/try' ? 'try' : 'user';
        my ($first, $second, $third) = lines_of(3, $path, 'X-Key' => "a-dry-run-of-$path");
        is $first, '', "$path: nothing is said of what fits";
        for ($second, $third) {
            is message($_), qq(limiting requests, policy: "$policy", key: "a-dr…@{[substr $path, -4]}", retry after: 600s, dry run),
                'then that it would be refused';
        }
    }
};

subtest 'log levels' => sub {
    for my $level (qw(info notice warn error)) {
        like((lines_of(2, "/$level", 'X-Key' => "level-$level"))[1], qr/ \[$level\] .*limiting requests/, $level);
    }
    lines_of(2, '/quiet', 'X-Key' => 'who-is-quiet');
    open my $log, '<', $nginx->dir . '/quiet.log' or die "quiet.log: $!";
    is_deeply [<$log>], [], 'a log of a higher level has none';
};

subtest 'bytes that would break the line' => sub {
    # nginx decodes $uri; a header cannot hold these.
    my @lines = lines_of(2, '/path/%0d%0a2026/01/01%20[forged]%20line%1b[31m%22');
    is message($lines[1]), 'limiting requests, policy: "path", key: "/pat…31m\x22", retry after: 600s', 'within';
    my ($first, $second) = lines_of(2, '/path/of-many-%0d%0a%1b%7f');
    is message($second), 'limiting requests, policy: "path", key: "/pat…\x0D\x0A\x1B\x7F", retry after: 600s', 'at the end';
    is scalar(() = $second =~ /\n/g), 1, 'make no second line';
    unlike $nginx->error_log . $nginx->access_log, qr/[\r\x1b\x7f]|^\S+ \S+ \[forged\]/m, 'nor anything else in the logs';
};

subtest 'no key is in any log' => sub {
    my %secrets = map { $_ => "secret-of-$_-" . 'abcdefgh' x 4 } qw(bearer x azure google);
    my @headers = (
        Authorization    => "Bearer $secrets{bearer}",
        'x-api-key'      => $secrets{x},
        'api-key'        => $secrets{azure},
        'x-goog-api-key' => $secrets{google},
    );
    # Four different keys are none: the request is counted by its address, which has asked nothing before.
    my @status = map { request($nginx->port, path => $_, headers => \@headers, from => '127.0.0.9')->{status} } ('/keys') x 3,
        ('/keys/x', '/keys/bearer') x 2;
    is_deeply \@status, [200, (429) x 6], 'passed and refused';
    while (my ($name, $value) = splice @headers, 0, 2) {
        get($nginx->port, '/client', $name => $value) for 1 .. 3;
    }
    my $logs = $nginx->error_log . $nginx->access_log;
    for my $name (sort keys %secrets) {
        my $secret = $secrets{$name};
        my @parts = map { quotemeta substr $secret, $_, 10 } 0 .. length($secret) - 10;
        my $any = join '|', @parts;
        unlike $logs, qr/$any/, "nothing longer than ten characters of it: $name";
    }
    like $logs, qr/key:@{[substr sha256_hex($secrets{x}), 0, 32]}/, 'but what it is known by';
};

$nginx->stop;
done_testing;

# Sends `count` requests and returns what the error log says of the refusal of each.
sub lines_of {
    my ($count, $path, @headers) = @_;
    my @said;
    for (1 .. $count) {
        my $seen = length $nginx->error_log;
        get($nginx->port, $path, @headers);
        my $news = substr $nginx->error_log, $seen;
        push @said, join '', grep { /limiting requests/ } split /(?<=\n)/, $news;
    }
    return @said;
}

sub message {
    my ($line) = @_;
    return $line =~ /(limiting requests.*?), client: / ? $1 : "no such line: $line";
}
