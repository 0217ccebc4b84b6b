# Each of conf-examples/ is accepted as it stands, but for its ports and paths, and does what it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $module = AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';
my $examples = "$FindBin::Bin/../conf-examples";
my @models = map { AiLimit::ModelServer->start } 1 .. 2;
my $CHAT = '{"model":"m","messages":[]}';

# What is to be shown of each.
my %shows = (
    'quickstart.conf' => sub {
        my ($port) = @_;
        is_deeply statuses(6, $port, 'x-api-key' => 'a'), [(200) x 5, 429], 'five requests a minute';
        is_deeply statuses(1, $port, 'x-api-key' => 'b'), [200], 'for each key';
    },
    'tiers.conf' => sub {
        my ($port) = @_;
        is_deeply statuses(6, $port), [(200) x 5, 429], 'without a key: the free plan';
        is_deeply statuses(2, $port, 'x-api-key' => 'unknown'), [429, 429], 'made-up keys do not help';
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
        is $answers[69]{headers}{'x-ratelimit-limit'}, 60, 'and its own limit is told';
        is_deeply [map { decode_json(get($_->port, '/count')->{body})->{count} - $seen{$_} } @models], [10, 60],
            'each server has seen its own requests';
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
            'who is no balancer is not believed';
    },
);

for my $path (sort glob "$examples/*.conf") {
    my ($name) = $path =~ m{([^/]+)$};
    my $show = $shows{$name};
    subtest $name => sub {
        ok $show, 'there is a test of it' or return;
        my $nginx = AiLimit::Nginx->prepare(config => config_of($path));
        my ($code, $output) = $nginx->test_config;
        is $code, 0, 'nginx accepts it' or return diag $output;
        unlike $output, qr/\[warn\]/, 'without a warning';
        $nginx->launch;
        $show->($nginx->port);
        $nginx->stop;
    };
}
done_testing;

# The example with the test's ports, folder and module.
sub config_of {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    my $text = do { local $/; <$file> };
    $text =~ s/^load_module .*$/load_module $module;/m or die "$path loads no module";
    $text =~ s/^(\s*)listen 8080\b/$1listen 127.0.0.1:%%PORT_0%%/mg;
    $text =~ s/127\.0\.0\.1:8081\b/'127.0.0.1:' . $models[0]->port/ge;
    $text =~ s/127\.0\.0\.1:8082\b/'127.0.0.1:' . $models[1]->port/ge;
    $text =~ s{\blogs/error\.log\b}{%%DIR%%/error.log};
    my $user = $> == 0 ? 'user root;' : '';
    return "daemon off; pid %%DIR%%/nginx.pid; $user\n$text";
}

sub statuses {
    my ($n, $port, @headers) = @_;
    return [map { get($port, '/v1/models', @headers)->{status} } 1 .. $n];
}

sub start_stream {
    my ($port, @headers) = @_;
    my $stream = start_request($port, method => 'POST', body => '{"stream":true}', headers => \@headers,
        path => '/v1/chat/completions?chunk_delay=60000');
    $stream->head;
    return $stream;
}
