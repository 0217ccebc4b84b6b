# Tests that mistakes in what belongs to token limits fail nginx -t with one line that names the directive, the word and
# the line. A correct configuration loads.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Mistakes;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->prepare(http => '', files => {'prices.json' => '{"m":{"input_cost_per_token":1e-6}}'});
my $mistakes = AiLimit::Mistakes->new($nginx,
    http     => "HERE\n",
    server   => "server {\nHERE\n}\n",
    location => "server {\nlocation / {\nHERE\n}\n}\n",
    if       => "server {\nlocation / {\nif (\$arg_k) {\nHERE\n}\n}\n}\n",
);
my $tokens = 'ai_limit_policy p key=$arg_k rate=100t/m';
my $requests = 'ai_limit_policy p key=$arg_k rate=100r/m';
my $slots = 'ai_limit_policy p key=$arg_k concurrency=4';
my $money = 'ai_limit_policy p key=$arg_k rate=20usd/d';

# The place, the line, and the word that the message must have.
my @mistakes = (
    [http => "$tokens cost=1;", 'cost=1'],
    [http => "ai_limit_policy p key=\$arg_k cost=\$arg_c rate=100t/m;", 'cost=$arg_c'],
    (map { my $policy = $_; map { [http => "$policy $_;", $_] } 'reserve=auto', 'reserve=off', 'reserve=100', 'overrun=cut', 'count=total', 'count=input:1' }
        $requests, $slots),
    [http => 'ai_limit_policy p key=$arg_k reserve=5 rate=100r/m;', 'reserve=5'],
    (map { [http => "$tokens reserve=$_;", "reserve=$_"] } '', 'on', '-1', '1.5', '5k', 'Auto', 'auto,off', 'auto:', 'auto:-1', 'auto:x', 'auto:1:2', 'max:5', 'Max'),
    [http => "$money cost=5;", 'a rate in usd cannot be combined with "cost=5", the prices of what an answer uses are its cost'],
    [http => "$money count=total;", 'a rate in usd cannot be combined with "count=total", the prices of what an answer uses are its weights'],
    (map { [http => "$money reserve=$_;", "reserve=$_"] } '-1', '0.0000001', '5USD', '5usd/d', 'auto:0.5', 'auto:5usd'),
    (map { [http => "$money burst=$_;", "burst=$_"] } '0', '0.0000001', '-1', '5USD', '1k'),
    (map { [http => "$tokens burst=$_;", "burst=$_"] } '0.5', '5usd'),
    [http => "$tokens reserve=5usd;", 'reserve=5usd'],
    [http => "$money algorithm=sliding_window burst=5;", 'burst=5'],
    [http => 'ai_limit_policy p key=$arg_k rate=5kusd/d algorithm=sliding_window;', 'at most 4294.967295usd'],
    [http => 'ai_limit_policy p key=$arg_k rate=0.0000015usd/d algorithm=fixed_window;', 'millionths of a dollar'],
    (map { [http => "ai_limit_policy p key=\$arg_k rate=$_;", "rate=$_"] } '20USD/d', '20usd', '0usd/d', '1001kusd/d', '2Musd/month'),
    [http => 'ai_limit_policy p key=$arg_k rate=5x/m;', 'r (requests), t (LLM tokens) or usd (US dollars)'],
    [http => "$tokens reserve=5 reserve=6;", 'reserve=6'],
    (map { [http => "$tokens overrun=$_;", "overrun=$_"] } '', 'on', 'Cut', '$arg_o'),
    [http => "$tokens overrun=maybe;", 'expected overrun=debt or overrun=cut'],
    (map { [http => "$tokens count=$_;", "count=$_"] } (
        '', 'all', 'Total', 'input,output', 'input:', 'input:x', ':1', 'input:-1', 'input:1,', ',input:1', 'input:1,,output:2',
        'input:1,input:2', 'prompt:1', 'cached:1', 'reasoning_tokens:1', 'input:1e3', 'input:.5', 'input:1.', 'total:1', 'input:1,total',
        'input:0.0000000001', 'input:99999999999', 'input:0',
    )),
    [http => "$tokens count=input count=output;", 'count=output'],
    (map { [http => "ai_limit_policy p key=\$arg_k rate=$_;", "rate=$_"] } '100T/m', '100tokens/m', '100kkt/m', 'kt/m', '0t/m', '100t'),
    [http => 'ai_limit_usage;', 'number of arguments'],
    [http => 'ai_limit_usage on;', 'on'],
    [http => 'ai_limit_usage auto auto;', 'auto'],
    [http => 'ai_limit_usage auto input=/a output=/b;', 'auto'],
    [http => 'ai_limit_usage input=/a output=/b auto;', 'auto'],
    [http => 'ai_limit_usage input=usage output=/b;', 'input=usage'],
    [http => 'ai_limit_usage input=/a output=b/c;', 'output=b/c'],
    [http => 'ai_limit_usage input=/a~2 output=/b;', 'input=/a~2'],
    [http => 'ai_limit_usage input=/a output=/b~;', 'output=/b~'],
    [http => 'ai_limit_usage input= output=/b;', 'input='],
    [http => 'ai_limit_usage input=/a output=/b total=;', 'total='],
    [http => 'ai_limit_usage input=/a input=/b output=/c;', 'input=/b'],
    [http => 'ai_limit_usage input=/a output=/b shiny=/c;', 'shiny=/c'],
    [http => 'ai_limit_usage prompt=/a output=/b;', 'prompt=/a'],
    [http => 'ai_limit_usage auto; ai_limit_usage auto;', 'duplicate'],
    [http => 'ai_limit_include_usage;', 'number of arguments'],
    [http => 'ai_limit_include_usage maybe;', 'maybe'],
    [http => 'ai_limit_include_usage on off;', 'number of arguments'],
    [http => 'ai_limit_include_usage on; ai_limit_include_usage on;', 'duplicate'],
    [http => 'ai_limit_max_output;', 'number of arguments'],
    [http => 'ai_limit_max_output 1 2 3;', 'number of arguments'],
    (map { [http => "ai_limit_max_output $_;", $_] } 'on', 'rest', '4k', '-1', '1.5', '0', '$arg_m', 'Remaining'),
    [http => 'ai_limit_max_output 5; ai_limit_max_output 6;', 'duplicate'],
    [http => 'ai_limit_max_output off field=/max_tokens;', 'field=/max_tokens'],
    [http => 'ai_limit_max_output 5 path=/max_tokens;', 'path=/max_tokens'],
    (map { [http => "ai_limit_max_output 5 field=$_;", "field=$_"] } '', 'max_tokens', '/', '/a//b', '/a~2', '/a/b/c/d/e'),
    [http => 'ai_limit_max_output remaining;', 'remaining'],
    [http => "ai_limit_max_output remaining; $requests; server { ai_limit p; }", 'remaining'],
    [http => "ai_limit_max_output remaining; $tokens; server { location / { ai_limit p; ai_limit_max_output 5; } }", 'remaining'],
    (map { my $place = $_; map { [$place => $_->[0], $_->[1]] } (
        ['ai_limit_usage input=usage output=/b;', 'input=usage'],
        ['ai_limit_usage auto; ai_limit_usage auto;', 'duplicate'],
        ['ai_limit_include_usage maybe;', 'maybe'],
        ['ai_limit_include_usage on; ai_limit_include_usage on;', 'duplicate'],
    ) } qw(server location)),
    [if => 'ai_limit_usage auto;', 'not allowed'],
    [if => 'ai_limit_include_usage on;', 'not allowed'],
    [if => 'ai_limit_max_output 5;', 'not allowed'],
);

my %correct = (
    'every rate' => join(' ', map { my $name = 'p' . $_ =~ s/\W//gr; "ai_limit_policy $name key=\$arg_k rate=$_;" }
        qw(1t/s 100kt/m 2Mt/d 1.5Mt/h 10Gt/month 100t/15m 0.5t/s)),
    'every rate in usd' => join(' ', 'ai_limit_prices prices.json;', map { my $name = 'p' . $_ =~ s/\W//gr; "ai_limit_policy $name key=\$arg_k rate=$_;" }
        qw(0.5usd/h 20usd/d 1kusd/month 1Musd/month 0.000001usd/s 100usd/15m)),
    'money with everything' => 'ai_limit_prices prices.json; ai_limit_policy a key=$arg_k rate=20usd/d burst=0.5 reserve=0.05 overrun=cut; ai_limit_policy b key=$arg_k rate=4kusd/d'
        . ' algorithm=sliding_window reserve=0.05usd; ai_limit_policy c key=$arg_k rate=20usd/month algorithm=fixed_window tz=+09:00 reserve=auto:500;'
        . ' ai_limit_policy d key=$arg_k rate=20usd/d burst=5usd; ai_limit_policy e key=$arg_k rate=$arg_r burst=0.5 reserve=0.05;',
    'every reserve=' => join(' ', map { my $n = s/\W//gr; "ai_limit_policy r$n key=\$arg_k rate=100t/m reserve=$_;" }
        'auto', 'auto:500', 'auto:0', 'max', 'off', '0', '500', '$arg_r'),
    'every count=' => join(' ', map { my $n = substr s/\W//gr, 0, 60; "ai_limit_policy c$n key=\$arg_k rate=100t/m count=$_;" }
        'total', 'input', 'output', 'input:1,output:4', 'output:0.000000001', 'input:2.5,output:10,cached_input:1.25', 'cached_input:1', 'seconds:1',
        'input:1,cached_input:0.1,cache_write:1.25,cache_write_1h:2,audio_input:3,output:5,reasoning:6,audio_output:7,images:8,searches:9,seconds:10',
        '$arg_c', 'input:$arg_c'),
    'every algorithm' => 'ai_limit_policy a key=$arg_k rate=1kt/m burst=5000; ai_limit_policy b key=$arg_k rate=1kt/m algorithm=sliding_window;'
        . ' ai_limit_policy c key=$arg_k rate=1kt/d algorithm=fixed_window tz=+09:00 dry_run phase=preaccess;',
    'a rate from a variable' => 'ai_limit_policy a key=$arg_k rate=$arg_r reserve=5 overrun=cut count=output;',
    'the model in a key' => 'ai_limit_policy a key=$ai_limit_client:$ai_limit_model rate=1t/m; ai_limit_policy b key=$ai_limit_model concurrency=1;',
    'the directives on every level' => join(' ', map { "$_ server { $_ location / { $_ } }" } 'ai_limit_usage auto; ai_limit_include_usage on;'),
    'every ai_limit_max_output' => 'ai_limit_policy m key=$arg_k rate=1kt/m; ai_limit_max_output remaining;'
        . ' server { ai_limit m; location /a { ai_limit off; } location /b { ai_limit_max_output 4000; }'
        . ' location /c { ai_limit_max_output off; } location /d { ai_limit_max_output 1 field=/a/b~1c; } }',
    'pointers' => 'ai_limit_usage input=/usage/in output=/usage/out; server { ai_limit_usage input=/a~1b/0 output=/~0 total=/t; }',
    'every variable' => 'log_format a "$ai_limit_model $ai_limit_stream $ai_limit_input_tokens $ai_limit_output_tokens'
        . ' $ai_limit_cached_tokens $ai_limit_total_tokens $ai_limit_reserved_tokens $ai_limit_usage_source";',
);

subtest "mistake: $$_[0]: $$_[1]" => sub { $mistakes->is_refused(@$_) } for @mistakes;
for my $name (sort keys %correct) {
    # nginx -t warns of a policy that nobody uses.
    my @policies = $correct{$name} =~ /ai_limit_policy (\w+)/g;
    my $use = @policies ? "server { listen 127.0.0.1:1; ai_limit @policies; }" : '';
    $mistakes->is_accepted($name, "$correct{$name} $use");
}
done_testing;
