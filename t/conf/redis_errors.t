# Tests that mistakes in ai_limit_redis and sync= fail nginx -t with one line that names the directive, the word and the
# line, but never a password. A correct configuration loads, whether Redis is there or not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Mistakes;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->prepare(http => '', files => {
    password => "the-secret\r\nanother line\n",
    empty    => '',
    blank    => "\nthe-secret\n",
    text     => "no certificate\n",
});
my $dir = $nginx->dir;

my $redis = 'ai_limit_redis redis://127.0.0.1:6379/0 sync=strict';
my $tls = 'ai_limit_redis rediss://127.0.0.1:6379/0 sync=strict';
my $policy = 'ai_limit_policy p key=$arg_k rate=1r/s';
my $mistakes = AiLimit::Mistakes->new($nginx,
    http     => "HERE\n",
    shared   => "$redis;\nHERE\n",
    server   => "server {\nHERE\n}\n",
    location => "server {\nlocation / {\nHERE\n}\n}\n",
    if       => "server {\nlocation / {\nif (\$arg_k) {\nHERE\n}\n}\n}\n",
);

my @bad_syncs = ('', 'on', 'Strict', 'often', '-1', '-1ms', '0', '0ms', '0s', '10001ms', '11s', '10s1ms', '1m', '1h', '1.5s',
    '1us', '10xs', 'ms', '11', '500', '99999999999999999999', '18446744073709551617ms');

# The place, the line, and the word that the message must have.
my @mistakes = (
    [http => 'ai_limit_redis;', 'number of arguments'],
    [http => 'ai_limit_redis sync=strict;', 'sync='],
    [http => 'ai_limit_redis sync=100ms;', 'sync='],
    [shared => "$redis;", 'duplicate'],
    (map { [$_ => "$redis;", 'not allowed'] } qw(server location if)),

    (map { [http => "ai_limit_redis $_ sync=strict;", $_] } (
        '127.0.0.1:6379', 'localhost', 'http://127.0.0.1', 'REDIS://127.0.0.1', 'redis:127.0.0.1', 'redis:/127.0.0.1',
        'redis://', 'rediss://', 'redis:///0', 'redis://:6379', 'redis://:6379/0', 'rediss://:6379/0',
        'redis://127.0.0.1:', 'redis://127.0.0.1:0', 'redis://127.0.0.1:65536', 'redis://127.0.0.1:port', 'redis://127.0.0.1:6379:1',
        'redis://127.0.0.1:6379/x', 'redis://127.0.0.1:6379/-1', 'redis://127.0.0.1:6379/1.5', 'redis://127.0.0.1:6379/0/1',
        'redis://127.0.0.1:6379/0/', 'redis://127.0.0.1:6379/0?db=1', 'redis://127.0.0.1:6379/99999999999999999999',
        'redis://[::1', 'redis://[::1]x', 'redis://[nonsense]:6379', 'unix:', 'unix:/' . 'p' x 120,
    )),
    [http => 'ai_limit_redis redis://127.0.0.1 redis://127.0.0.2 sync=strict;', 'redis://127.0.0.2'],
    [http => 'ai_limit_redis redis://127.0.0.1 unix:/tmp/redis.sock sync=strict;', 'unix:/tmp/redis.sock'],

    [http => "$redis shiny;", 'shiny'],
    [http => "$redis shiny=1;", 'shiny='],
    [http => "$redis Prefix=a;", 'Prefix='],
    [http => "$redis \"\";", '""'],
    (map { [http => "ai_limit_redis redis://127.0.0.1 sync=$_;", "sync=$_"] } @bad_syncs, 'strict,off'),
    (map { [http => "$redis sync=$_;", 'sync='] } 'strict', '100ms'),
    (map { my $name = $_; map { [http => "$redis $name=$_;", "$name=$_"] } '', 'soon', '0', '0ms', '-50ms', '50xs', '1.5s', '99999999999999999999' }
        'timeout', 'connect_timeout'),
    [http => "$redis timeout=1s timeout=2s;", 'timeout='],
    [http => "$redis connect_timeout=1s connect_timeout=2s;", 'connect_timeout='],
    (map { [http => "$redis on_failure=$_;", "on_failure=$_"] } '', 'panic', 'Local', 'local,allow', 'deny'),
    [http => "$redis on_failure=local on_failure=allow;", 'on_failure='],
    (map { [http => "$redis prefix=$_;", "prefix=$_"] } '', 'p' x 65, 'a\{b', 'a\}b', "\xc3\xa4"),
    [http => "$redis \"prefix=two words\";", 'prefix=two words'],
    [http => "$redis prefix=a prefix=b;", 'prefix='],

    [http => "$redis user=;", 'user='],
    [http => "$redis user=alice;", 'alice'],
    [http => "$redis user=alice user=bob password=a;", 'user='],
    [http => "$redis password=;", 'password='],
    [http => "$redis password=a password=b;", 'password='],
    [http => "$redis password=a password_file=$dir/password;", 'password_file='],
    [http => "$redis password_file=$dir/password password=a;", 'password='],
    [http => "$redis password_file=;", 'password_file='],
    [http => "$redis password_file=$dir/missing;", "$dir/missing"],
    [http => "$redis password_file=missing;", "$dir/missing"],
    [http => "$redis password_file=$dir;", $dir],
    [http => "$redis password_file=$dir/empty;", "$dir/empty"],
    [http => "$redis password_file=$dir/blank;", "$dir/blank"],

    (map { [http => "$tls ssl_verify=$_;", "ssl_verify=$_"] } '', 'yes', 'On', 'optional'),
    [http => "$tls ssl_verify=on ssl_verify=off;", 'ssl_verify='],
    [http => "$tls ssl_trusted_certificate=;", 'ssl_trusted_certificate='],
    [http => "$tls ssl_trusted_certificate=$dir/missing;", "$dir/missing"],
    [http => "$tls ssl_trusted_certificate=$dir/text;", "$dir/text"],
    [http => "$redis ssl_trusted_certificate=$dir/text;", 'ssl_trusted_certificate='],
    [http => "$redis ssl_verify=off;", 'ssl_verify='],
    [http => 'ai_limit_redis unix:/tmp/redis.sock sync=strict ssl_verify=on;', 'ssl_verify='],

    (map { [shared => "$policy sync=$_;", "sync=$_"] } @bad_syncs, '$arg_s'),
    [shared => "$policy sync=off sync=strict;", 'sync=strict'],
    [shared => "$policy sync=1s sync=2s;", 'sync=2s'],
    [http => "$policy sync=100ms;", '"p"'],
    [http => "$policy sync=strict;", '"p"'],
    [http => 'ai_limit_policy p key=$arg_k concurrency=1 sync=strict;', '"p"'],
);

# Secrets that must not be shown.
my @secrets = (
    'ai_limit_redis redis://user:the-secret@127.0.0.1:6379/0 sync=strict;',
    'ai_limit_redis redis://:the-secret@127.0.0.1 sync=strict;',
    'ai_limit_redis rediss://the-secret@127.0.0.1:6379/0 sync=strict;',
    'ai_limit_redis redis:/user:the-secret@127.0.0.1 sync=strict;',
    'ai_limit_redis Redis://user:the-secret@127.0.0.1 sync=strict;',
    'ai_limit_redis user:the-secret@127.0.0.1 sync=strict;',
    "$redis password=the-secret password=the-secret;",
    "$redis password=the-secret password_file=$dir/password;",
    "$redis password_file=$dir/password password=the-secret;",
    "$redis passwort=the-secret;",
    "$redis pass=the-secret;",
    "$redis Password=the-secret;",
    "$redis auth:the-secret\@somebody;",
    "$redis password_file=$dir/blank;",
    "$redis password=the-secret shiny;",
    'ai_limit_redis redis://127.0.0.1:x password=the-secret sync=strict;',
    'ai_limit_redis password=the-secret sync=strict;',
    'ai_limit_redis password=the-secret;',
    "$tls password=the-secret ssl_trusted_certificate=$dir/missing;",
);

my %correct = (
    'every address' => [map { "ai_limit_redis $_ sync=strict;" }
        qw(redis://127.0.0.1 redis://127.0.0.1/ redis://127.0.0.1:6379 redis://127.0.0.1:6379/ redis://127.0.0.1:6379/15
           redis://localhost:6379 rediss://127.0.0.1 rediss://[::1]:6379/1 redis://[::1] unix:/tmp/redis.sock)],
    'every parameter' => ["$redis user=alice password=the-secret prefix=a:b.c on_failure=reject timeout=1s connect_timeout=1500;",
        "$tls password_file=$dir/password ssl_verify=off on_failure=allow;", "$tls on_failure=local ssl_verify=on;",
        "$redis password_file=password prefix=" . 'p' x 64 . ';', 'ai_limit_redis sync=off timeout=5ms redis://127.0.0.1;',
        "$redis 'password=with space and \$dollar';"],
    'policies of both kinds' => ["$redis; $policy; ai_limit_policy q key=\$arg_k concurrency=1 sync=off;"
        . ' ai_limit_policy t key=$arg_k rate=1kt/m sync=strict; server { ai_limit p q t; }'],
    'no sync=' => ['ai_limit_redis redis://127.0.0.1;', "ai_limit_redis redis://127.0.0.1; $policy; server { ai_limit p; }"],
    'every interval' => [map { ("ai_limit_redis redis://127.0.0.1 sync=$_;", "ai_limit_redis redis://127.0.0.1; $policy sync=$_; server { ai_limit p; }") }
        qw(1ms 100ms 1s 10s 10000ms 9s999ms 5)],
    'intervals, also where Redis decides' => ["$redis; $policy sync=1s; ai_limit_policy q key=\$arg_k concurrency=1 sync=1s;"
        . ' ai_limit_policy t key=$arg_k rate=1kt/m sync=50ms; ai_limit_policy u key=$arg_k rate=1kt/m reserve=off sync=50ms;'
        . ' server { ai_limit p q t u; }'],
    'sharers and waits, however exact' => [map { "$redis; $policy share=\$arg_t wait=1s sync=$_; ai_limit_policy q key=\$arg_k concurrency=1 wait=1s;"
        . ' server { ai_limit p q; }' } qw(off strict 100ms)],
    'sync=off without Redis' => ["$policy sync=off; server { ai_limit p; }"],
    'the directive behind its use' => ["$policy sync=strict; server { ai_limit p; } $redis;"],
);

subtest "mistake: $$_[1]" => sub { $mistakes->is_refused(@$_) } for @mistakes;
subtest "kept to itself: $_" => sub {
    my $output = $mistakes->is_refused(http => $_, '');
    unlike $output, qr/the-secret/, 'without the password';
} for @secrets;
for my $name (sort keys %correct) {
    for my $http (@{$correct{$name}}) {
        $mistakes->is_accepted($name, $http);
    }
}
done_testing;
