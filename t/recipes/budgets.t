# The pages of docs/recipes/ about budgets and plans do what they say.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::Recipe;

my $CHAT = '/v1/chat/completions';

try_recipe 'tokens-a-day' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    is get($nginx->port, '/v1/models', 'x-api-key' => 'ann')->{status}, 200, 'the list of models is free';
    my $refused = post($nginx->port, $CHAT, chat(), 'x-api-key' => 'ann');
    is decode_json($refused->{body})->{error}{type}, 'insufficient_quota', 'a refusal says that the quota is used up';
    my $stream = post($nginx->port, "$CHAT?prompt_tokens=60000&completion_tokens=40000", chat(stream => JSON::PP::true), 'x-api-key' => 'cid');
    like $stream->{body}, qr/Hello.*\[DONE\]/s, 'a stream arrives';
    is post($nginx->port, $CHAT, chat(), 'x-api-key' => 'cid')->{status}, 429, 'and is charged';
    $nginx->stop;
    $nginx->launch;
    is post($nginx->port, $CHAT, chat(), 'x-api-key' => 'ann')->{status}, 429, 'a restart forgets nothing';
};

try_recipe 'money' => sub {
    my ($recipe) = @_;
    $recipe->start;
    $recipe->commands;
};

try_recipe 'hard-budget' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my $whole = post($nginx->port, "$CHAT?prompt_tokens=3&completion_tokens=4000", chat(), 'x-api-key' => 'bob');
    is decode_json($whole->{body})->{choices}[0]{finish_reason}, 'stop', 'an answer that is no stream is not cut';
};

try_recipe 'plans' => sub {
    my ($recipe) = @_;
    my %plan_of = (demo => 'pro', trial => 'free', (map {; "key-$_" => (qw(free pro staff))[$_ % 3] } 1 .. 4998));
    my $csv = join '', map { "$_,$plan_of{$_}\n" } sort keys %plan_of;
    my $shown = $recipe->file('/etc/nginx/plans.map') =~ s/^#.*\n//r =~ s/ +#.*//mgr;
    is map_of($recipe, "demo,pro\ntrial,free\n"), $shown, "the command makes the example's lines";
    my $nginx = $recipe->start(files => {'/etc/nginx/plans.map' => map_of($recipe, $csv)});
    $recipe->commands;
    my $headers = sub { post($nginx->port, $CHAT, chat(), 'x-api-key' => $_[0])->{headers} };
    my $limit   = sub { $headers->($_[0])->{'x-ratelimit-limit-requests'} };
    is_deeply [map { $limit->($_) } 'key-1', 'key-2', 'key-3', 'key-4', 'key-4998'], [60, undef, 5, 60, 5],
        'each of 5,000 keys has the limit of its plan';
    is_deeply [map { get($nginx->port, '/v1/models', 'x-api-key' => $_)->{headers}{'x-ratelimit-limit'} } 'key-1', 'key-3'], [8, 2],
        'and its slots';
    is_deeply [map { get($nginx->port, '/v1/models', 'x-api-key' => "made-up-$_")->{status} } 1 .. 3], [200, 429, 429],
        'made-up keys share the limit of their address';
    $headers->('trial') for 1 .. 2;
    my $changed = $csv =~ s/^trial,free$/trial,pro/mr =~ s/^key-1,pro$/key-1,prro/mr;
    $nginx->write_file('plans.map', map_of($recipe, $changed));
    $nginx->reload;
    my $moved = $headers->('trial');
    is $moved->{'x-ratelimit-limit-requests'}, 60, 'a key gets another plan by a reload';
    cmp_ok $moved->{'x-ratelimit-remaining-requests'}, '<=', 58, 'and keeps what it has used';
    is $limit->('key-1'), 2, 'a plan with a typing error has the smallest limits';
};

try_recipe 'shared-provider-key' => sub {
    my ($recipe) = @_;
    $recipe->start;
    $recipe->commands;
};

try_recipe 'output-only' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my @table = $recipe->text =~ /^\| `([^`]*:[^`]*)` \|/mg;
    is @table, 3, 'the page has other weights';
    for my $weights (@table, 'input', 'output') {
        my ($code, $output) = $nginx->test_config(config => $recipe->adapted(
            $recipe->file('/etc/nginx/nginx.conf') =~ s/count=output/count=$weights/r));
        is $code, 0, "nginx accepts count=$weights" or diag $output;
    }
};

try_recipe 'agents' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    $nginx->reload;
    my @requests = map { start_request($nginx->port, method => 'POST', path => "$CHAT?prompt_tokens=100&completion_tokens=300&delay=500",
        headers => ['x-api-key' => 'other agent'], body => chat(max_tokens => 32_000)) } 1 .. 8;
    is_deeply [map { $_->finish->{status} } @requests], [(200) x 8], 'another key begins with the habit of the model, also after a reload';
};

try_recipe 'clients-without-a-limit' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my $job = post($nginx->port, "/jobs$CHAT?prompt_tokens=3&obeys=50000", chat(max_tokens => undef), 'x-api-key' => 'bob');
    is decode_json($job->{body})->{usage}{total_tokens}, 20_000, 'a job has what the budget has, beside its prompt';
    is post($nginx->port, "/jobs$CHAT", chat(max_tokens => 5000), 'x-api-key' => 'bob')->{status}, 429, 'and the budget is used up';
};

try_recipe 'exempt-a-key' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my @others = map { get($nginx->port, '/v1/models', 'x-api-key' => 'DEMO')->{status} } 1 .. 4;
    is_deeply \@others, [200, 200, 200, 429], 'another spelling of the key is not exempt';
};

try_recipe 'budget-per-model' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my $body = chat(model => 'Large-1');
    is post($nginx->port, $CHAT, $body, 'x-api-key' => 'bob')->{status}, 403, 'another spelling is another model';
    $nginx->stop;
    like $nginx->access_log, qr/ 200 model="large-1" in=29000 out=1000$/m, 'the log has the model and its tokens';
};

try_recipe 'several-credentials' => sub {
    my ($recipe) = @_;
    $recipe->start;
    $recipe->commands;
};

try_recipe 'anonymous' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my %by_address = map { $_ => get_from($nginx, "127.0.1.$_") } 1 .. 110;
    my $passed = grep { $_ == 200 } values %by_address;
    is $passed, 100 - 6, 'all anonymous addresses together have 100 requests, six of which are used';
    my @made_up = map { get($nginx->port, '/v1/models', 'x-api-key' => "made-up-$_")->{status} } 1 .. 70;
    is_deeply [@made_up[0, -1]], [200, 429], 'made-up keys do not help an address';
};

try_recipe 'short-waits' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    $nginx->stop;
    my @waited = $nginx->access_log =~ / 200 waited=(\d+\.\d{3})$/mg;
    cmp_ok scalar(grep { $_ >= 1 } @waited), '>=', 4, 'the log says how long each has waited';
};

try_recipe 'slots-for-teams' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    is get($nginx->port, '/v1/models', 'x-api-key' => 'eve')->{status}, 401, 'nobody else has slots';
};

try_recipe 'priorities' => sub {
    my ($recipe) = @_;
    $recipe->start;
    $recipe->commands;
};

try_recipe 'limit-req' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    for my $path (qw(before after)) {
        my @held = map { start_request($nginx->port, path => "/$path/v1/models?delay=60000", from => '127.0.0.5') } 1 .. 2;
        my $third = request($nginx->port, path => "/$path/v1/models", from => '127.0.0.5');
        is $third->{status}, 429, "$path: two requests at once, not three";
        $_->abort for @held;
    }
};

done_testing;

sub chat { return JSON::PP->new->encode({model => 'test-model', max_tokens => 100, messages => [{role => 'user', content => 'Hi'}], @_}) }

sub get_from {
    my ($nginx, $address) = @_;
    return request($nginx->port, path => '/v1/models', from => $address)->{status};
}

# What the page's command makes of a list of keys and plans.
sub map_of {
    my ($recipe, $csv) = @_;
    my ($command) = $recipe->text =~ /^(perl .*) keys\.csv > plans\.map$/m or die 'the page shows no such command';
    my $file = File::Temp->new;
    print {$file} $csv;
    close $file;
    return scalar qx($command $file);
}
