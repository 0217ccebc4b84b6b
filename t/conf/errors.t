# Tests that a mistake in a directive fails nginx -t with one line, which names the directive, the offending word and
# the line. A correct configuration loads.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Mistakes;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->prepare(http => '');

# The places of the line in a configuration; HERE stands for the line.
my $mistakes = AiLimit::Mistakes->new($nginx,
    main     => "HERE\n",
    http     => "ai_limit_policy before key=\$arg_k rate=1r/s;\nHERE\n",
    zones    => "ai_limit_zone zone=one:1m;\nai_limit_zone zone=two:1m;\nHERE\n",
    server   => "ai_limit_policy p key=\$arg_k rate=1r/s;\nserver {\nHERE\n}\n",
    location => "ai_limit_policy p key=\$arg_k rate=1r/s;\nserver {\nlocation / {\nHERE\n}\n}\n",
    if       => "ai_limit_policy p key=\$arg_k rate=1r/s;\nserver {\nlocation / {\nif (\$arg_k) {\nHERE\n}\n}\n}\n",
);

my $policy = 'ai_limit_policy p key=$arg_k';
my $many = join ' ', map { "p$_" } 1 .. 17;

# The place, the line, and the word that the message must have.
my @mistakes = (
    [location => 'ai_limit p P;', 'P'],
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s wait=x;', 'invalid value "wait=x", expected a time up to 1h'],
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s wait=2h;', 'invalid value "wait=2h", expected a time up to 1h'],
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s wait=1s queue=0;', 'invalid value "queue=0", expected a whole number'],
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s wait=1s queue=1.5;', 'invalid value "queue=1.5"'],
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s label=;', 'empty label in "label="'],
    (map { [http => "ai_limit_policy p key=\$arg_k rate=1r/s warn=$_;", "invalid value \"warn=$_\", expected a percentage from 1 to 100"] }
        '0', '101', '%', '80%%', '8.5', '$arg_w'),
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s queue=5;', 'only a policy with wait= can have "queue=5"'],
    [http => 'ai_limit_policy p key=$arg_k rate=1r/s wait=0 queue=5;', 'only a policy with wait= can have "queue=5"'],
    [http => 'ai_limit_policy p key=$arg_k rate=upstream warn=80;', 'rate=upstream cannot be combined with "warn=80"'],
    [location => 'ai_limit_self on;', 'number of arguments in "ai_limit_self"'],
    [location => 'ai_limit_self; ai_limit_self;', '"ai_limit_self" directive is duplicate'],
    [server => 'ai_limit_self;', '"ai_limit_self" directive is not allowed here'],
    [http => 'ai_limit_body_field $user;', 'number of arguments'],
    [http => 'ai_limit_body_field user /user;', '"user"'],
    [http => 'ai_limit_body_field $ /user;', '"$"'],
    [http => 'ai_limit_body_field $1 /user;', '"$1"'],
    [http => 'ai_limit_body_field $a-b /user;', '"$a-b"'],
    [http => 'ai_limit_body_field $user user;', 'JSON Pointer "user"'],
    [http => 'ai_limit_body_field $user "";', 'JSON Pointer ""'],
    [http => 'ai_limit_body_field $ai_limit_model /user;', 'ai_limit_model'],
    [http => 'ai_limit_body_field $user /a; ai_limit_body_field $user /b;', 'user'],
    [server => 'ai_limit_body_field $user /user;', 'not allowed'],
    [http => 'ai_limit_zone;', 'number of arguments'],
    [http => 'ai_limit_zone on_full=evict;', 'on_full=evict'],
    [http => 'ai_limit_zone zone=;', 'zone='],
    [http => 'ai_limit_zone zone=z;', 'zone=z'],
    [http => 'ai_limit_zone zone=:1m;', 'zone=:1m'],
    [http => 'ai_limit_zone zone=z:;', 'zone=z:'],
    [http => 'ai_limit_zone zone=z:lots;', 'zone=z:lots'],
    [http => 'ai_limit_zone zone=z:-1m;', 'zone=z:-1m'],
    [http => 'ai_limit_zone zone=z:1;', 'zone=z:1'],
    [http => 'ai_limit_zone zone=z:4k;', 'zone=z:4k'],
    [http => 'ai_limit_zone zone=z:1m zone=y:1m;', 'zone=y:1m'],
    [http => 'ai_limit_zone zone=z:1m on_full=panic;', 'on_full=panic'],
    [http => 'ai_limit_zone zone=z:1m on_full=evict on_full=allow;', 'on_full=allow'],
    [http => 'ai_limit_zone zone=z:1m shiny;', 'shiny'],
    [http => 'ai_limit_zone z:1m;', 'z:1m'],
    [zones => 'ai_limit_zone zone=one:2m;', 'one'],

    [http => 'ai_limit_policy;', 'number of arguments'],
    [http => 'ai_limit_policy p;', '"p"'],
    [http => "$policy;", '"p"'],
    [http => 'ai_limit_policy p rate=1r/s;', '"p"'],
    [http => 'ai_limit_policy key=$arg_k rate=1r/s;', 'key=$arg_k'],
    [http => 'ai_limit_policy off key=$arg_k rate=1r/s;', 'off'],
    [http => 'ai_limit_policy "" key=$arg_k rate=1r/s;', '""'],
    [http => 'ai_limit_policy "two words" key=$arg_k rate=1r/s;', 'two words'],
    [http => 'ai_limit_policy quo\"te key=$arg_k rate=1r/s;', 'quo"te'],
    [http => 'ai_limit_policy ' . 'n' x 65 . ' key=$arg_k rate=1r/s;', 'n' x 65],
    [http => 'ai_limit_policy before key=$arg_k rate=1r/s;', 'before'],
    [http => 'ai_limit_policy BEFORE key=$arg_k rate=1r/s;', 'BEFORE'],
    [http => 'ai_limit_policy p key= rate=1r/s;', 'key='],
    [http => "$policy key=\$arg_j rate=1r/s;", 'key=$arg_j'],
    [http => "$policy rate=1r/s rate=2r/s;", 'rate=2r/s'],
    [http => "$policy rate=1r/s shiny;", 'shiny'],
    [http => "$policy rate=1r/s shiny=1;", 'shiny=1'],
    [http => "$policy rate=1r/s dry_run=on;", 'dry_run=on'],
    [http => "$policy rate=1r/s dry_run dry_run;", 'dry_run'],
    [http => "$policy rate=1r/s Burst=2;", 'Burst=2'],
    # Parameters of limit_req, and quotes inside of a word.
    [http => "$policy rate=1r/s nodelay;", q("nodelay", which is limit_req's: burst= says how many may come at once)],
    [http => "$policy rat=1r/s;", q(invalid parameter "rat=1r/s", expected key=, rate=, )],
    [http => 'ai_limit_zone 1m;', q(invalid parameter "1m", expected zone=name:size)],
    [http => "$policy rate=1r/s delay=5;", q("delay=5", which is limit_req's)],
    (map { [location => "ai_limit $_;", qq("@{[(split)[0]]}", which is limit_req's: ai_limit takes the names of policies)] }
        'zone=one', 'zone=one burst=5 nodelay', 'burst=5', 'delay=5'),
    [location => 'ai_limit p nodelay;', q(unknown policy "nodelay", which is limit_req's: nothing is delayed without wait=)],
    [http => "$policy rate=1r/s zone=one:10m;", 'unknown zone "one:10m", a size is given in ai_limit_zone zone=name:size'],
    (map { [http => "ai_limit_zone $_ zone=z:1m;", "\"$_\", the key and the rate belong to ai_limit_policy"] }
        '$arg_k', 'key=$arg_k', 'rate=1r/s'),
    [http => 'ai_limit_policy p key="$arg_a:$arg_b" rate=1r/s;', 'write them around the whole word, such as "key=$a:$b"'],
    [http => q(ai_limit_policy p key='$arg_a:$arg_b' rate=1r/s;), 'quotes inside of "key='],
    [http => "$policy rate=\"1r/s\";", 'quotes inside of "rate="1r/s""'],
    [http => 'ai_limit_zone zone="z:1m";', 'quotes inside of "zone="z:1m""'],

    (map { [http => "$policy rate=$_;", "rate=$_"] } (
        '', 'lots', '60', '60r', '60r/', 'r/m', '/m', '-1r/m', '+1r/m', '60x/m', '60r/x', '60r/min', '60_r/m',
        '60r/0m', '60r/-1m', '60r/m/m', '60R/m', '60r/M', '60KKr/m', '60mr/m', '1.r/m', '.5r/m', '1.5.5r/m', '1,5r/m',
        '1e3r/m', '0r/m', '0.0r/m', '60r/1.5m', '60kkr/m', '1001Gr/m', '99999999999999999999r/m', '1r/367d', '1r/99999999999999999999s',
        '0.0000000001r/m',
    )),
    [http => "$policy rate=0.5r/s algorithm=sliding_window;", 'rate=0.5r/s'],
    [http => "$policy rate=0.5r/s algorithm=fixed_window;", 'rate=0.5r/s'],
    [http => "$policy rate=5Gr/d algorithm=sliding_window;", 'rate=5Gr/d'],
    [http => "$policy rate=1r/s concurrency=1;", 'concurrency=1'],

    (map { [http => "$policy concurrency=$_;", "concurrency=$_"] } '', 0, -1, 1.5, '4k', 'many', '4x'),
    [http => "$policy concurrency=1 concurrency=2;", 'concurrency=2'],
    [http => "$policy concurrency=1 algorithm=token_bucket;", 'algorithm=token_bucket'],
    [http => "$policy concurrency=1 burst=2;", 'burst=2'],
    [http => "$policy concurrency=1 cost=2;", 'cost=2'],
    [http => "$policy concurrency=1 tz=+01:00;", 'tz=+01:00'],
    (map { [http => "$policy rate=1r/s share=$_;", "share=$_"] } '', 'all'),
    [http => "$policy rate=1r/s share=\$arg_a share=\$arg_b;", 'share=$arg_b'],
    (map { [http => "$policy rate=1r/s share=\$arg_a weight=$_;", "weight=$_"] } '', 0, 1001, 1.5, 'x'),
    [http => "$policy rate=1r/s weight=2;", 'only a policy with share= can have "weight=2"'],
    [http => "$policy concurrency=1 weight=2;", 'only a policy with share= can have "weight=2"'],

    (map { [http => "$policy rate=upstream headroom=$_;", "headroom=$_"] } '', -1, 91, 1.5, '5%%', 'half'),
    [http => "$policy rate=1r/s headroom=5;", 'only a policy with rate=upstream can have "headroom=5"'],
    (map { [http => "$policy rate=upstream $_;", "rate=upstream cannot be combined with \"$_\""] }
        'algorithm=sliding_window', 'burst=2', 'cost=2', 'count=input', 'tz=+01:00'),
    [http => "$policy rate=upstream sync=strict; ai_limit_redis redis://127.0.0.1:6379;", 'rate=upstream needs sync=off'],
    [http => "$policy rate=upstream; ai_limit_redis redis://127.0.0.1:6379;", 'rate=upstream needs sync=off'],
    [http => 'ai_limit_policy ' . 'p' x 51 . ' key=all rate=upstream;', 'too long a name'],
    [http => (join ' ', 'ai_limit p1 p2 p3 p4;', map { "ai_limit_policy p$_ key=all rate=upstream;" } 1 .. 4), 'too many policies'],

    (map { [http => "$policy rate=1r/s algorithm=$_;", "algorithm=$_"] } '', 'leaky_bucket', 'Token_Bucket', 'concurrency', '$arg_a'),
    [http => "$policy rate=1r/s algorithm=token_bucket algorithm=token_bucket;", 'algorithm=token_bucket'],
    (map { [http => "$policy rate=1r/s burst=$_;", "burst=$_"] } '', 0, -1, 1.5, '5k', 'many', '$arg_b'),
    [http => "$policy rate=1r/s burst=1 burst=2;", 'burst=2'],
    [http => "$policy rate=1r/s algorithm=sliding_window burst=2;", 'burst=2'],
    [http => "$policy rate=1r/s burst=2 algorithm=fixed_window;", 'burst=2'],
    (map { [http => "$policy rate=1r/s cost=$_;", "cost=$_"] } '', -1, 1.5, 'much', '0x1'),
    [http => "$policy rate=1r/s cost=1 cost=2;", 'cost=2'],
    (map { [http => "$policy rate=1r/d algorithm=fixed_window tz=$_;", "tz=$_"] } (
        '', '9', '09:00', '+9:00', '+0900', '+09:60', '+15:00', '-14:01', '+09:00:00', 'UTC', 'Asia/Tokyo', '$arg_t',
    )),
    [http => "$policy rate=1r/d tz=+09:00;", 'tz=+09:00'],
    [http => "$policy rate=1r/d algorithm=sliding_window tz=+09:00;", 'tz=+09:00'],
    [http => "$policy rate=1r/d algorithm=fixed_window tz=+09:00 tz=+10:00;", 'tz=+10:00'],
    (map { [http => "$policy rate=1r/s phase=$_;", "phase=$_"] } '', 'content', 'Access', 'post_access'),
    [http => "$policy rate=1r/s phase=access phase=preaccess;", 'phase=preaccess'],
    [http => "$policy rate=1r/s zone=;", 'zone='],
    [http => "$policy rate=1r/s zone=missing;", 'missing'],
    [zones => "$policy rate=1r/s zone=three;", 'three'],
    [zones => "$policy rate=1r/s;", '"p"'],
    [zones => "$policy rate=1r/s zone=one zone=two;", 'zone=two'],
    [server => "$policy rate=1r/s;", 'not allowed'],
    [location => "ai_limit_zone zone=z:1m;", 'not allowed'],

    (map { my $place = $_; (
        [$place => 'ai_limit;', 'number of arguments'],
        [$place => 'ai_limit missing;', 'missing'],
        [$place => 'ai_limit p missing;', 'missing'],
        [$place => 'ai_limit p p;', '"p"'],
        [$place => 'ai_limit off p;', 'off'],
        [$place => 'ai_limit p off;', 'off'],
        [$place => "ai_limit $many;", 'p17'],
        [$place => 'ai_limit p; ai_limit off;', 'duplicate'],
    ) } qw(server location if)),
    [main => 'ai_limit p;', '"p"'],

    (map { my $place = $_; (
        [$place => 'ai_limit_headers;', 'number of arguments'],
        [$place => 'ai_limit_headers github;', '"github", expected auto, x-ratelimit, ietf, openai, anthropic or off'],
        [$place => 'ai_limit_headers OpenAI;', 'OpenAI'],
        [$place => 'ai_limit_headers "";', '""'],
        [$place => 'ai_limit_headers ietf ietf;', 'ietf'],
        [$place => 'ai_limit_headers off ietf;', 'off'],
        [$place => 'ai_limit_headers ietf off;', 'off'],
        [$place => 'ai_limit_headers openai auto;', 'auto'],
        [$place => 'ai_limit_headers off off;', 'off'],
        [$place => 'ai_limit_headers ietf; ai_limit_headers off;', 'duplicate'],
        [$place => 'ai_limit_error_format;', 'number of arguments'],
        [$place => 'ai_limit_error_format xml;', '"xml", expected auto, json, openai, anthropic, gemini, ollama, bedrock, cohere, problem or off'],
        [$place => 'ai_limit_error_format JSON;', 'JSON'],
        [$place => 'ai_limit_error_format json openai;', 'number of arguments'],
        [$place => 'ai_limit_error_format json; ai_limit_error_format json;', 'duplicate'],
        (map { [$place => "ai_limit_websocket $_;", $_] } 'watch', 'on', 'REFUSE', '""'),
        [$place => 'ai_limit_websocket;', 'number of arguments'],
        [$place => 'ai_limit_websocket pass; ai_limit_websocket pass;', 'duplicate'],
        [$place => 'ai_limit_status;', 'number of arguments'],
        (map { [$place => "ai_limit_status $_;", $_] } '399', '600', '0', '-429', 'teapot', '4xx', '429.0', '999999999999999999999'),
        [$place => 'ai_limit_status 429 503;', '503'],
        (map { [$place => "ai_limit_status 429 $_;", $_] }
            'never=', 'never=399', 'blocked=600', 'blocked=no', 'never=400x', 'always=400', 'NEVER=400'),
        [$place => 'ai_limit_status never=400;', 'never=400'],
        [$place => 'ai_limit_status 429 never=400 never=413;', 'never=413'],
        [$place => 'ai_limit_status 429 never=400 blocked=403 blocked=401;', 'number of arguments'],
        [$place => 'ai_limit_status 429; ai_limit_status 503;', 'duplicate'],
        [$place => 'ai_limit_dry_run;', 'number of arguments'],
        [$place => 'ai_limit_dry_run maybe;', 'maybe'],
        [$place => 'ai_limit_dry_run 1;', '1'],
        [$place => 'ai_limit_dry_run on; ai_limit_dry_run on;', 'duplicate'],
        [$place => 'ai_limit_unreadable_body;', 'number of arguments'],
        [$place => 'ai_limit_unreadable_body drop;', 'drop'],
        [$place => 'ai_limit_unreadable_body reject; ai_limit_unreadable_body estimate;', 'duplicate'],
        [$place => 'ai_limit_log_level;', 'number of arguments'],
        [$place => 'ai_limit_log_level loud;', 'loud'],
        [$place => 'ai_limit_log_level debug;', 'debug'],
        [$place => 'ai_limit_log_level info; ai_limit_log_level warn;', 'duplicate'],
    ) } qw(http server location)),
    (map { [if => $_, 'not allowed'] }
        'ai_limit_headers ietf;', 'ai_limit_error_format json;', 'ai_limit_status 429;', 'ai_limit_dry_run on;', 'ai_limit_log_level info;'),
);

# Variables are looked up behind all directives, by nginx, which tells their names alone.
my @unknown = (
    'key=$unknown rate=1r/s', 'key=a$unknown rate=1r/s', 'key=$arg_k rate=$unknown', 'key=$arg_k rate=${unknown}r/s',
    'key=$arg_k concurrency=$unknown', 'key=$arg_k rate=1r/s share=$unknown', 'key=$arg_k rate=1r/s share=$arg_a weight=$unknown', 'key=$arg_k rate=1r/s cost=$unknown',
);

# Configurations that load, in http{}.
my %correct = (
    'nothing at all' => '',
    'a policy that nobody uses' => 'ai_limit_policy p key=$arg_k rate=1r/s;',
    'a zone that nobody uses' => 'ai_limit_zone zone=z:1m;',
    'policies behind their use' => 'server { ai_limit p; } ai_limit_policy p key=$arg_k rate=1r/s;',
    'zones behind their use' => 'ai_limit_policy p key=$arg_k rate=1r/s zone=z; ai_limit_zone zone=z:1m; ai_limit_zone zone=y:1m;',
    'variables behind their use' => 'ai_limit_policy p key=$k rate=$r; map $arg_a $k { default a; } map $arg_a $r { default 1r/s; }',
    'every level' => 'ai_limit_policy p key=$arg_k rate=1r/s; ai_limit p; server { ai_limit p; location / { ai_limit p;'
        . ' if ($arg_a) { ai_limit off; } location /a { ai_limit off; } } location /b { if ($arg_b) { ai_limit p; } } }',
    'the other directives on every level' => join(' ', map { "$_ server { $_ location / { $_ } }" }
        'ai_limit_headers x-ratelimit ietf openai anthropic; ai_limit_error_format openai; ai_limit_status 400;'
        . ' ai_limit_dry_run on; ai_limit_log_level info;'),
    'WebSockets' => 'ai_limit_websocket refuse; server { ai_limit_websocket pass; location / { ai_limit_websocket refuse; } }',
    'statuses of their own' => 'ai_limit_status 503 never=413 blocked=401; server { ai_limit_status 429 blocked=599; }',
    'what the path says' => 'ai_limit_headers auto; ai_limit_error_format auto; server { ai_limit_error_format ollama;'
        . ' location / { ai_limit_error_format bedrock; location /a { ai_limit_error_format cohere; } } }',
    'off' => 'ai_limit off; ai_limit_headers off; ai_limit_error_format off; ai_limit_dry_run off; ai_limit_status 599;',
    'the smallest zone' => 'ai_limit_zone zone=z:32k; ai_limit_policy p key=$arg_k rate=1r/s;',
    'two zones' => 'ai_limit_zone zone=a:1m on_full=evict; ai_limit_zone zone=b:1m on_full=reject;'
        . ' ai_limit_policy p key=$arg_k rate=1r/s zone=a; ai_limit_policy q key=$arg_k concurrency=1 zone=b; ai_limit p q;',
    'sixteen policies' => join(' ', map { "ai_limit_policy p$_ key=\$arg_k rate=1r/s;" } 1 .. 16)
        . ' ai_limit ' . join(' ', map { "p$_" } 1 .. 16) . ';',
    'any kind of name' => 'ai_limit_policy A-1.b_' . 'c' x 58 . ' key=$arg_k rate=1r/s;',
    'any kind of key' => 'ai_limit_policy a key=everybody rate=1r/s; ai_limit_policy b key=$arg_a:${arg_b}c rate=1r/s;'
        . ' ai_limit_policy c "key=$arg_a and $arg_b" rate=1r/s; ai_limit_policy d key=$1 rate=1r/s;',
    'every algorithm' => 'ai_limit_policy a key=$arg_k rate=1r/s algorithm=token_bucket burst=5 cost=2 phase=access dry_run;'
        . ' ai_limit_policy b key=$arg_k rate=1kr/h algorithm=sliding_window cost=$arg_c phase=preaccess;'
        . ' ai_limit_policy c key=$arg_k rate=1Mr/month algorithm=fixed_window tz=-09:30 cost=0;'
        . ' ai_limit_policy d key=$arg_k concurrency=5 phase=preaccess dry_run; ai_limit_policy e key=$arg_k concurrency=$arg_n;'
        . ' ai_limit_policy f key=all rate=1r/s share=$arg_k weight=1000; ai_limit_policy g key=all concurrency=5 share=a$arg_k weight=$arg_w;',
    'waits' => 'ai_limit_policy p key=$arg_k rate=1r/s wait=0; ai_limit_policy q key=$arg_k rate=1r/s wait=1h queue=1000000;'
        . ' ai_limit_policy u key=all rate=upstream headroom=10% wait=1s share=$arg_k reserve=max phase=preaccess sync=off; ai_limit_policy s key=$arg_k concurrency=2 wait=500ms share=$arg_t weight=2; ai_limit p q s;',
    'every rate' => join(' ', map { my $name = 'p' . $_ =~ s/\W//gr; "ai_limit_policy $name key=\$arg_k rate=$_;" }
        qw(60r/m 100Kr/d 0.5r/s 1000r/h 100r/15m 1r/366d 1r/52w 1r/12month 1.5kr/d 2Mr/w 1Gr/month 1000Gr/s 0.0001r/s)),
    'values of several variables' => 'ai_limit_policy p key=$arg_k rate=${arg_n}r/$arg_p; ai_limit_policy q key=$arg_k concurrency=1$arg_n;',
);

subtest "mistake: $$_[1]" => sub { $mistakes->is_refused(@$_) } for @mistakes;
for my $parameters (@unknown) {
    my ($code, $output) = $nginx->test_config(http => "ai_limit_policy p $parameters;");
    isnt $code, 0, "mistake: $parameters";
    like $output, qr/\[emerg\].*unknown "unknown" variable/, 'names the variable';
}
for my $name (sort keys %correct) {
    my ($code, $output) = $nginx->test_config(http => $correct{$name});
    is $code, 0, "correct: $name" or diag $output;
    $output =~ s/^.*no ai_limit names.*\n//mg;    # that is no part of what is tried here
    unlike $output, qr/\[(?:warn|error|emerg|alert)\]/, 'without a warning';
}

# Warned of, with the line of the directive: {what: [nginx.conf, the warning]}.
my $used = 'ai_limit_policy p key=$arg_k rate=1r/s; ai_limit p;';
my $open = qr/\[warn\].*ai_limit_api: "write=on" without allow and deny or auth_basic lets everybody change limits, in \S+:\d+$/m;
my %warned = (
    'a policy that nobody uses' => ['ai_limit_policy p key=$arg_k rate=1r/s;', qr/\[warn\].*ai_limit_policy: no ai_limit names "p", so it limits nothing, in \S+:\d+$/m],
    'one that is used' => [$used],
    'one that is used in an if' => ['ai_limit_policy p key=$arg_k rate=1r/s; server { location / { if ($arg_a) { ai_limit P; } } }'],
    'a location that shows no limits' => ['server { location /a { ai_limit_self; } }', qr/\[warn\].*ai_limit_self: "ai_limit" names no policy here, so there is no limit to show, in \S+:\d+$/m],
    'one whose policies are switched off' => ["$used server { location /a { ai_limit off; ai_limit_self; } }", qr/\[warn\].*ai_limit_self:/],
    'one that shows those of http' => ["$used server { location /a { ai_limit_self; } }"],
    'an API that everybody may write to' => ['server { location /a/ { ai_limit_api write=on; } }', $open],
    'one that shows' => ['server { location /a/ { ai_limit_api; } location /b/ { ai_limit_api write=off; } }'],
    'one that some may write to' => ['server { location /a/ { ai_limit_api write=on; allow 127.0.0.1; deny all; } }'],
    'one that some may write to by IPv6' => ['server { location /a/ { ai_limit_api write=on; allow ::1; } }'],
    'one whose server says who may' => ['server { deny all; location /a/ { ai_limit_api write=on; } }'],
    'one behind a password' => ['server { location /a/ { ai_limit_api write=on; auth_basic api; auth_basic_user_file users; } }'],
    'one behind auth_request' => ['server { auth_request /b; location /a/ { ai_limit_api write=on; } }'],
    'one of several servers' => ['server { deny all; location /a/ { ai_limit_api write=on; } } server { location /a/ { ai_limit_api write=on; } }', $open],
);
for my $name (sort keys %warned) {
    my ($http, $warning) = @{$warned{$name}};
    my ($code, $output) = $nginx->test_config(http => $http);
    is $code, 0, $name or diag $output;
    if ($warning) { like $output, $warning, 'is warned of' }
    else          { unlike $output, qr/\[warn\]/, 'is not warned of' }
}
done_testing;
