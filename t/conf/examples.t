# Each of conf-examples/ is accepted as it stands, but for its ports and paths, and does what it says.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;
use AiLimit::Redis;

my $module = AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';
my $examples = "$FindBin::Bin/../../conf-examples";
my @models = map { AiLimit::ModelServer->start } 1 .. 2;
my ($redis, @cluster);
my $json = JSON::PP->new->canonical->utf8;
my $CHAT = '{"model":"m","messages":[]}';

# The check of each example.
my %shows = (
    'fair.conf' => sub {
        my ($port) = @_;
        my $table = qx($^X $FindBin::Bin/../../scripts/fair-load.pl $port 5);
        my @got = $table =~ /^\| modest-\d +\| +(\d+) \| +(\d+) \| +(\d+) \|$/mg;
        is @got, 12, 'the script shows what four modest tenants get' or diag $table;
        my ($without, $with) = map { my $column = $_; sum0(@got[map { 3 * $_ + $column } 0 .. 3]) } 1, 2;
        cmp_ok $with, '>=', $without, "with share= no less: $with in place of $without";
        is_deeply statuses(1, $port, 'x-api-key' => 'made-up'), [401], 'nobody can make up a tenant';
    },
    'quickstart.conf' => sub {
        my ($port, $nginx) = @_;
        is_deeply statuses(6, $port, 'x-api-key' => 'a'), [(200) x 5, 429], 'five requests a minute';
        is_deeply statuses(1, $port, 'x-api-key' => 'b'), [200], 'for each key';
        my @streams = map { post($port, '/v1/chat/completions', stream_of(max_tokens => 10), 'x-api-key' => 'c') } 1 .. 3;
        is_deeply [map { $_->{status} } @streams], [200, 200, 429], '30 tokens a minute: enough for two streams';
        like $streams[1]{body}, qr/Hello.*\[DONE\]/s, 'which are whole';
        unlike $streams[1]{body}, qr/prompt_tokens/, 'and as they were asked for';
        is decode_json($streams[2]{body})->{error}{type}, 'tokens', 'the third learns why not';
        like logged($nginx, 1), qr{"POST \S+ \S+" 200 \S+ in=9 out=5 reserved=13$}, 'the log has what they used';
        my $client = 'key:' . substr sha256_hex('a'), 0, 32;
        my $api = AiLimit::Api->new($port);
        is_deeply $api->requests('per_client'), [8, 1, 0], 'the page has all of them';
        like get($port, '/ai_limit/')->{headers}{'content-type'}, qr{^text/html}, 'which is there';
        is +($api->key(DELETE => "policy=per_client&key=$client"))[0], 200, 'and a client is reset from it';
        is_deeply statuses(6, $port, 'x-api-key' => 'a'), [(200) x 5, 429], 'so that it begins anew';
        is request($port, path => '/ai_limit/', from => '127.0.0.2')->{status}, 403, 'while nobody else gets there';
        $nginx->stop;
        $nginx->launch;
        is_deeply statuses(1, $port, 'x-api-key' => 'a'), [429], 'what was used stays used over a restart';
        my $day = 'policy=day&key=key:' . substr sha256_hex('c'), 0, 32;
        is +($api->key(GET => $day))[1]{used}, 28, 'tokens, too';
    },
    'json-log.conf' => sub {
        my ($port, $nginx) = @_;
        my $chat = '/v1/chat/completions?prompt_tokens=1500&cached_tokens=500&completion_tokens=500&key=secret';
        my @key = ('x-api-key' => 'a');
        get($port, '/healthz', @key);
        post($port, $chat, stream_of(model => qq(a "b"\n\x{e4}), max_tokens => 15_000), @key);
        post($port, $chat, stream_of(max_tokens => 1), @key);
        post($port, $chat, chat_of('x' x 90_000), @key);
        my @lines = map { logged($nginx, $_, qr/^/) } 0 .. 3;
        my @said = map { $json->decode($_) } @lines;
        my $client = 'key:' . substr sha256_hex('a'), 0, 32;
        is_deeply [map { $_->{client} } @said], [($client) x 4], 'each line is JSON and names the client';
        is_deeply [@{$said[0]}{qw(status decision policy input_tokens waited)}], [200, '', '', '', ''], 'where nothing is limited';
        is $said[1]{waited}, '0.000', 'a request that has not waited says so';
        is_deeply [@{$said[1]}{qw(method path status model stream decision policy limit input_tokens cached_tokens output_tokens
            total_tokens reserved_tokens usage_source)}], ['POST', '/v1/chat/completions', 200, qq(a "b"%0A\x{e4}), 1, 'PASSED',
            'tokens', 20_000, 1500, 500, 500, 2000, 15_003, 'response'], 'where a request passes';
        is_deeply [@{$said[3]}{qw(status decision policy retry_after usage_source)}], [400, 'REJECTED', 'tokens', '', 'none'],
            'where one is refused, which will never fit';
        unlike "@lines", qr/secret/, 'no key is in it';
        unlike $nginx->error_log, qr/limiting requests/, 'and the error log is spared';
    },
    'tiers.conf' => sub {
        my ($port) = @_;
        is_deeply statuses(6, $port), [(200) x 5, 429], 'without a key: the free plan';
        is_deeply statuses(2, $port, 'x-api-key' => 'unknown'), [429, 429], 'made-up keys do not help';
        is_deeply statuses(1, $port, 'x-api-key' => $_), [429], "another spelling is made up: '$_'"
            for qw(KEY_PRO_1 Key_pro_1 key_pro_1x xkey_pro_1 key-pro-1);
        is_deeply statuses(6, $port, 'x-api-key' => 'key_pro_1'), [(200) x 6], 'a known one: its own plan';
        my @forged = ('x-api-key' => 'key_pro_1', authorization => 'Bearer made-up');
        is get($port, '/v1/models', @forged)->{headers}{'x-ratelimit-remaining'}, 53,
            'and its own count, whatever other keys are sent';
        my $pro = get($port, '/v1/models', 'x-api-key' => 'key_pro_2');
        is $pro->{headers}{'x-ratelimit-limit'}, 60, 'and what that allows';
        my $internal = get($port, '/v1/models', 'x-api-key' => 'key_internal');
        is $internal->{status}, 200, 'a plan without limits';
        is $internal->{headers}{'x-ratelimit-limit'}, undef, 'has none';
    },
    'per-user.conf' => sub {
        my ($port) = @_;
        my $ask = sub { [map { post($port, '/v1/chat/completions', chat_of('Hi', @_[1 .. $#_]), 'x-api-key' => 'a')->{status} } 1 .. $_[0]] };
        is_deeply $ask->(4, user => 'ann'), [200, 200, 200, 429], 'a user has three requests at once';
        is_deeply $ask->(4, user => 'bob'), [200, 200, 200, 429], 'another one as well';
        is_deeply $ask->(4, metadata => {user_id => 'cid'}), [200, 200, 200, 429], "also where it is named in Anthropic's way";
        is_deeply $ask->(4), [200, 200, 200, 429], 'those without a name share one limit';
    },
    'mcp-tools.conf' => sub {
        my ($port, $nginx) = @_;
        my $call = sub {
            my ($method, $tool, $client) = @_;
            my $body = $json->encode({jsonrpc => '2.0', id => 1, method => $method, params => {name => $tool, arguments => {}}});
            return post($port, '/mcp', $body, 'x-api-key' => $client // 'a')->{status};
        };
        # The model server has no such path: 404 is its answer to what has passed.
        is_deeply [map { $call->('tools/call', 'draw') } 1 .. 3], [404, 404, 429], 'a dear tool twice';
        is_deeply [map { $call->('tools/call', 'search_web') } 1 .. 3], [404, 404, 429], 'each of them';
        is $call->('tools/call', 'draw', 'b'), 404, 'for each client';
        is_deeply [map { $call->('tools/call', 'look') } 1 .. 7], [(404) x 6, 429], 'and ten calls of any tool';
        is_deeply [map { $call->('tools/list', 'draw') } 1 .. 3], [404, 404, 404], 'other methods are free';
        like logged($nginx, 0), qr{method="tools/call" tool="draw"$}, 'the log has the tool';
    },
    'layered.conf' => sub {
        my ($port) = @_;
        my @key = ('x-api-key' => 'a');
        is_deeply statuses(6, $port, @key, 'x-user-id' => 'u1'), [(200) x 5, 429], 'one user has its own limit';
        is_deeply statuses(5, $port, @key, 'x-user-id' => 'u2'), [(200) x 5], 'another does not feel it';
        my $refused = get($port, '/v1/models', @key, 'x-user-id' => 'u3');
        is $refused->{status}, 429, 'until the customer has used up all';
        like $refused->{headers}{'ratelimit'}, qr/"customer"/, 'which the headers say';
        my @streams = map { start_stream($port, 'x-api-key' => 'b') } 1 .. 4;
        is_deeply [map { $_->head } @streams], [(200) x 4], 'four streams at once';
        is_deeply statuses(1, $port, 'x-api-key' => 'b'), [429], 'and no fifth';
        $_->abort for @streams;
        my @all = map { @{statuses(1, $port, 'x-api-key' => "key$_")} } 1 .. 60;
        is $all[-1], 429, 'new keys do not help an address';
        is get($port, '/healthz')->{status}, 200, 'which can still ask for its health';
    },
    'fallback-model.conf' => sub {
        my ($port) = @_;
        my %seen = map { $_ => decode_json(get($_->port, '/count')->{body})->{count} } @models;
        my @answers = map { post($port, '/v1/chat/completions', $CHAT, 'x-api-key' => 'a') } 1 .. 71;
        my @by = map { $_->{headers}{'x-served-by'} // 'large_model' } @answers;
        is_deeply [@by[0 .. 69]], [('large_model') x 10, ('small_model') x 60], 'the large model, then the small one';
        is_deeply [map { $_->{status} } @answers], [(200) x 70, 429], 'then a refusal';
        is decode_json($answers[69]{body})->{choices}[0]{message}{content}, 'Hello from the model server.',
            'the small one has the whole request';
        is $answers[69]{headers}{'x-ratelimit-limit'}, 60, 'and learns its own limit';
        is_deeply [map { decode_json(get($_->port, '/count')->{body})->{count} - $seen{$_} } @models], [10, 60],
            'each server has seen its own requests';
    },
    'tokens.conf' => sub {
        my ($port, $nginx) = @_;
        my @key = ('x-api-key' => 'a');
        my $used = '/v1/chat/completions?prompt_tokens=1500&cached_tokens=500&completion_tokens=500';
        my $stream = start_request($port, method => 'POST', headers => \@key, path => "$used&gate=tokens",
            body => stream_of(max_tokens => 15_000));
        is $stream->head, 200, 'a stream';
        is $stream->headers->{'x-ratelimit-limit-tokens'}, 20_000, 'learns its limit in tokens';
        is $stream->headers->{'x-ratelimit-remaining-tokens'}, 20_000 - 15_003, 'of which it reserves what it may use';
        my $other = post($port, $used, stream_of(max_tokens => 6_000), @key);
        is $other->{status}, 429, 'another one cannot have that as well';
        is decode_json($other->{body})->{error}{type}, 'tokens', 'and learns so';
        is get($port, '/v1/models', @key)->{status}, 200, 'while the list of models is free';
        get($models[0]->port, '/next?gate=tokens') for 1 .. 10;
        my $answer = $stream->finish;
        unlike $answer->{body}, qr/prompt_tokens/, 'the usage, which it did not ask for, is hidden';
        like logged($nginx, 1), qr/ 200 PASSED .* stream=1 in=1500 cached=500 out=500 reserved=15003 by=response$/,
            'and logged';
        is post($port, $used, stream_of(max_tokens => 6_000), @key)->{status}, 200, 'then the other one passes';
        is post($port, $used, stream_of(max_tokens => 6_000), 'x-api-key' => 'b')->{status}, 200, 'as does another client';
        my $large = post($port, $used, chat_of('x' x 90_000), 'x-api-key' => 'c');
        is $large->{status}, 400, 'a prompt that is larger than a minute has';
        is $large->{headers}{'x-should-retry'}, 'false', 'never fits';
        is get($port, '/v1/responses', Upgrade => 'websocket', Connection => 'Upgrade', @key)->{status}, 426,
            'a WebSocket, in which nothing is counted, is refused';
        post($port, '/v1/chat/completions?prompt_tokens=150000&completion_tokens=60000', chat_of('Hi'), 'x-api-key' => 'd');
        my $spent = post($port, $used, chat_of('Hi'), 'x-api-key' => 'd');
        is $spent->{status}, 429, 'a client that has used up its day';
        my $its_client = 'key:' . substr sha256_hex('d'), 0, 32;
        like logged($nginx, 1, qr/$its_client/), qr/ 429 REJECTED (?:day|minute) .* by=none$/, 'is refused';
    },
    'redis.conf' => sub {
        my ($port, $nginx) = @_;
        my $other = AiLimit::Nginx->start(config => config_of("$examples/redis.conf"));
        my @key = ('x-api-key' => 'a');
        is_deeply [map { get($_ % 2 ? $port : $other->port, '/v1/models', @key)->{status} } 1 .. 8], [(200) x 5, (429) x 3],
            'five requests a minute, over both nginx';
        is get($other->port, '/v1/models', @key)->{headers}{'x-ratelimit-limit'}, 5, 'and so they say';
        unlike $_->error_log, qr/Redis/, 'by Redis' for $nginx, $other;
        $redis->stop;
        is get($port, '/v1/models', @key)->{status}, 429, 'without it they remember';
        is get($port, '/v1/models', 'x-api-key' => 'b')->{status}, 200, 'and go on';
    },
    'redis-cluster.conf' => sub {
        my ($port, $nginx) = @_;
        my @user = ('x-api-key' => 'a', 'x-user-id' => 'u');
        is_deeply statuses(11, $port, @user), [(200) x 10, 429], 'ten requests a minute for each user';
        is get($port, '/v1/models', 'x-api-key' => 'a', 'x-user-id' => 'v')->{headers}{'x-ratelimit-remaining'}, 89,
            'of a hundred for each customer, from which a refusal takes nothing';
        unlike $nginx->error_log, qr/Redis/, 'by the cluster';
    },
    'per-model.conf' => sub {
        my ($port, $nginx) = @_;
        my @key = ('x-api-key' => 'a');
        my $ask = sub {
            my ($model, $tokens) = @_;
            return post($port, "/v1/chat/completions?prompt_tokens=$tokens&completion_tokens=1", chat_of('Hi', model => $model), @key);
        };
        my $limit = sub { $ask->($_[0], 1)->{headers}{'x-ratelimit-limit-tokens'} };
        is_deeply [map { $limit->($_) } 'large-1', 'small-1'], [20_000, 200_000], 'each model has its limit';
        $ask->('large-1', 2_000_000);
        is $ask->('large-1', 1)->{status}, 429, 'one is used up';
        is $ask->('small-1', 1)->{status}, 200, 'the other not';
        my $path = '/openai/deployments/large-1/chat/completions';
        is post($port, $path, chat_of('Hi', model => 'small-1'), @key)->{status}, 429, 'a path goes before the body';
        is_deeply [map { $limit->($_) } 'made-up', 'Large-1', 'large-1b'], [5000, 5000, 5000], 'other names have another';
        $ask->('made-up', 500_000);
        is $ask->($_, 1)->{status}, 429, "together: '$_'" for 'made-up 2', 'Large-1', '';
        my @slow = map { start_request($port, method => 'POST', headers => ['x-api-key' => "client $_"],
            path => '/v1/chat/completions?chunk_delay=60000', body => stream_of(model => 'large-1')) } 1 .. 9;
        is_deeply [map { $_->head } @slow], [(200) x 8, 429], 'eight streams of the large one at once';
        $_->abort for @slow;
        like logged($nginx, 0), qr{" 200 \w+ model="large-1" in=1 out=1$}, 'the log has the model';
    },
    'money.conf' => sub {
        my ($port, $nginx) = @_;
        my @key = ('x-api-key' => 'a');
        my $ask = sub {
            my ($model, $in, $cached, $out) = @_;
            my $path = "/v1/chat/completions?prompt_tokens=$in&cached_tokens=$cached&completion_tokens=$out";
            return post($port, $path, qq({"model":"$model","max_tokens":1,"messages":[]}), @key);
        };
        my $left = sub { AiLimit::Api->new($port)->key(GET => 'policy=spend&key=key:' . substr sha256_hex($_[0]), 0, 32) };
        $ask->('large-1', 1000, 400, 200);
        like logged($nginx, 0), qr/ model="large-1" in=1000 cached=400 out=200 cost=0\.00492$/, 'the log has what an answer cost';
        $ask->('small-1', 1001, 400, 200);
        cmp_ok +($left->('a'))[1]{used}, '==', 0.00492 + 0.000241, 'another model has other prices; the sum is rounded up';
        $ask->('small-2', 1000, 0, 1000);
        cmp_ok +($left->('a'))[1]{used}, '==', 0.005161 + 0.001, 'a model of a provider is found';
        is $ask->('unheard-of', 1, 0, 1)->{status}, 403, 'one without a price is refused';
        is $ask->('large-1', 100_000, 0, 50_000)->{status}, 200, 'a dollar is spent';
        my $refused = $ask->('small-1', 1, 0, 1);
        is $refused->{status}, 429, 'also for another model';
        like decode_json($refused->{body})->{error}{message}, qr/1 USD/, 'and the client reads dollars';
        my $api = AiLimit::Api->new($port);
        is +($api->key(PUT => 'policy=spend&key=key:' . substr(sha256_hex('a'), 0, 32) . '&rate=2usd/d&ttl=1h'))[0], 200, 'an operator raises it';
        is $ask->('small-1', 1, 0, 1)->{status}, 200, 'and the client goes on';
    },
    'behind-a-load-balancer.conf' => sub {
        my ($port) = @_;
        my $client = sub { statuses(4, $port, 'X-Forwarded-For' => $_[0]) };
        is_deeply $client->('192.0.2.1'), [200, 200, 200, 429], 'a client behind the balancer has a limit';
        is_deeply $client->('192.0.2.2'), [200, 200, 200, 429], 'of its own';
        is_deeply $client->('203.0.113.9, 192.0.2.3'), [200, 200, 200, 429], 'whatever it says';
        is_deeply $client->('203.0.113.10, 192.0.2.3'), [429, 429, 429, 429], 'of where it came from';
        is_deeply $client->('192.0.2.4, 10.1.2.3'), [200, 200, 200, 429], 'a second balancer is none of the clients';
        is_deeply $client->('192.0.2.5, 10.1.2.3'), [200, 200, 200, 429], 'nor its address their limit';
        is_deeply $client->('2001:db8::1'), [200, 200, 200, 429], 'IPv6 clients have theirs';
        is_deeply $client->('2001:db8::ffff'), [429, 429, 429, 429], 'by the /64';
        is_deeply [map { request($port, path => '/v1/models', from => '127.0.0.2',
            headers => ['X-Forwarded-For' => "198.51.100.$_"])->{status} } 1 .. 4], [200, 200, 200, 429],
            'an address that is no balancer is not trusted';
    },
);

for my $path (sort glob "$examples/*.conf") {
    my ($name) = $path =~ m{([^/]+)$};
    my $show = $shows{$name};
    subtest $name => sub {
        ok $show, 'there is a test of it' or return;
        my $nginx = AiLimit::Nginx->prepare(config => config_of($path), files => {'prices.json' => slurp("$examples/prices.json")});
        my ($code, $output) = $nginx->test_config;
        is $code, 0, 'nginx accepts it' or return diag $output;
        unlike $output, qr/\[warn\]/, 'without a warning';
        $nginx->launch;
        $show->($nginx->port, $nginx);
        $nginx->stop;
    };
}
done_testing;

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar readline $file;
}

# The example with the test's ports, folder and module.
sub config_of {
    my ($path) = @_;
    my $text = slurp($path);
    $text =~ s/^load_module .*$/load_module $module;/m or die "$path loads no module";
    $text =~ s/^(\s*)listen 8080\b/$1listen 127.0.0.1:%%PORT_0%%/mg;
    $text =~ s/127\.0\.0\.1:8081\b/'127.0.0.1:' . $models[0]->port/ge;
    $text =~ s/127\.0\.0\.1:8082\b/'127.0.0.1:' . $models[1]->port/ge;
    # However busy the machine: that Redis is slow is no part of what is shown.
    $text =~ s/^(\s*ai_limit_redis [^;]*)/$1 timeout=10s connect_timeout=10s/m;
    # Nor does a token come back while a busy machine takes its time. A wait of more than five minutes is told in
    # other words, which the quickstart does not show.
    my $minute = $path =~ /quickstart/ ? '8m' : 'd';
    $text =~ s{(\d[rt])/m\b}{$1/$minute}g;
    $text =~ s/127\.0\.0\.1:6379\b/'127.0.0.1:' . ($redis \/\/= AiLimit::Redis->start)->port/ge;
    $text =~ s/127\.0\.0\.1:700(\d)\b/'127.0.0.1:' . cluster_node($1)->port/ge;
    $text =~ s{\blogs/(error|access)\.log\b}{%%DIR%%/$1.log}g;
    $text =~ s{\bstate=(?:state|/var/lib/nginx/ai_limit)/}{state=%%DIR%%/}g;
    my $user = $> == 0 ? 'user root;' : '';
    return "daemon off; pid %%DIR%%/nginx.pid; $user\n$text";
}

sub cluster_node {
    my ($n) = @_;
    @cluster = AiLimit::Redis->start_cluster(masters => 3) if !@cluster;
    return $cluster[$n];
}

sub statuses {
    my ($n, $port, @headers) = @_;
    return [map { get($port, '/v1/models', @headers)->{status} } 1 .. $n];
}

# The body of a chat with one message, and of one that is to be streamed.
sub chat_of {
    my ($text, %members) = @_;
    return $json->encode({model => 'm', messages => [{role => 'user', content => $text}], %members});
}

sub stream_of { return chat_of('Hi', stream => JSON::PP::true, @_) }

# A line of the access log for a POST (or that matches), by its number from 0; -1 is the last one. Waits for it.
sub logged {
    my ($nginx, $n, $which) = @_;
    $which //= qr/"POST /;
    my @lines;
    my $deadline = time + AiLimit::Nginx::PATIENCE;
    do {
        sleep 0.01 if @lines;
        @lines = grep { $_ =~ $which } split /\n/, $nginx->access_log;
    } until ($n < 0 ? @lines : @lines > $n) || time > $deadline;
    return $lines[$n] // 'no such line';
}

sub start_stream {
    my ($port, @headers) = @_;
    my $stream = start_request($port, method => 'POST', body => '{"stream":true}', headers => \@headers,
        path => '/v1/chat/completions?chunk_delay=60000');
    $stream->head;
    return $stream;
}
