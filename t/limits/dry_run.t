# Tests that a dry run refuses nobody, but counts and reports as if it did.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Nginx;

my $nginx = AiLimit::Nginx->start(http => <<'CONF');
    ai_limit_policy real  key=$http_x_key rate=1r/h burst=2;
    ai_limit_policy wide  key=$http_x_key rate=1r/h burst=50;
    ai_limit_policy tried key=$http_x_key rate=1r/h burst=2 dry_run;
    ai_limit_policy early key=$http_x_key rate=1r/h burst=2 dry_run phase=preaccess;
    ai_limit_policy slots key=$http_x_key concurrency=${http_x_slots}0 dry_run;
    ai_limit_policy large key=$http_x_key rate=10r/d cost=11 dry_run;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        add_header X-Status "$ai_limit_status $ai_limit_policy" always;
        add_header X-Left "$ai_limit_remaining_real $ai_limit_remaining_wide $ai_limit_remaining_tried" always;
        root %%DIR%%;

        location /real      { ai_limit real; empty_gif; }
        location /tried     { ai_limit tried; empty_gif; }
        location /early     { ai_limit early; empty_gif; }
        location /slots     { ai_limit slots; empty_gif; }
        location /large     { ai_limit large; empty_gif; }
        location /both      { ai_limit wide tried; empty_gif; }
        location /real/both { ai_limit wide tried real; empty_gif; }
        location /dry       { ai_limit wide real; ai_limit_dry_run on; empty_gif; }
        location /page      { ai_limit tried; error_page 429 = /none; empty_gif; }

        location /server {
            ai_limit_dry_run on;
            ai_limit real;
            location /server/inherits { empty_gif; }
            location /server/refuses  { ai_limit_dry_run off; empty_gif; }
        }
    }
CONF
my $keys = 0;

subtest 'dry_run of a policy refuses nothing' => sub {
    for my $path ('/tried', '/early', '/page') {
        my @answers = ask($path, 5);
        is_deeply [map { $_->{status} } @answers], [(200) x 5], "$path refuses nobody";
        my $policy = $path eq '/early' ? 'early' : 'tried';
        is_deeply [map { $_->{headers}{'x-status'} } @answers],
            [("PASSED $policy") x 2, ("REJECTED_DRY_RUN $policy") x 3], 'but tells whom it would';
        ok !(grep { exists $_->{headers}{'x-ratelimit-limit'} } @answers), 'though not the client';
        is refusals_logged(), 3, 'the log has it';
    }
    for my $path ('/slots', '/large') {
        my ($answer) = ask($path, 1);
        is_deeply [$answer->{status}, $answer->{headers}{'x-status'}], [200, 'REJECTED_DRY_RUN ' . substr $path, 1],
            "$path: what never fits passes";
    }
};

subtest 'a dry run beside other policies' => sub {
    my @answers = ask('/both', 4);
    is_deeply [map { $_->{headers}{'x-left'} } @answers], ['49 1', '48 0', '47 0', '46 0'], 'they are charged';
    is $answers[3]{headers}{'x-ratelimit-remaining'}, 46, 'and reported';
    is refusals_logged(), 2, 'the log has the other';

    @answers = ask('/real/both', 4);
    is_deeply [map { $_->{status} } @answers], [200, 200, 429, 429], 'they refuse';
    is $answers[3]{headers}{'x-status'}, 'REJECTED real', 'in their own name';
    is $answers[3]{headers}{'x-left'}, '0 48 0', 'and a refusal takes nothing, from a dry run either';
    $keys--;
    is_deeply [map { $_->{headers}{'x-left'} } ask('/both', 1)], ['47 0'], 'as the next request sees';
};

subtest 'ai_limit_dry_run' => sub {
    my @answers = ask('/dry', 4);
    is_deeply [map { $_->{status} } @answers], [(200) x 4], 'refuses nobody';
    is_deeply [map { $_->{headers}{'x-status'} } @answers], [('PASSED real') x 2, ('REJECTED_DRY_RUN real') x 2],
        'but tells whom it would';
    ok !(grep { exists $_->{headers}{'retry-after'} || exists $_->{headers}{'x-ratelimit-limit'} } @answers),
        'though not the client';
    is refusals_logged(), 2, 'the log has it';
    $keys--;
    is_deeply [map { $_->{status} } ask('/real', 1)], [429], 'what was counted counts elsewhere';
};

subtest 'inheritance' => sub {
    is_deeply [map { $_->{status} } ask('/server/inherits', 4)], [(200) x 4], 'on';
    is_deeply [map { $_->{status} } ask('/server/refuses', 4)], [200, 200, 429, 429], 'off';
};

$nginx->stop;
done_testing;

# Sends `count` requests with a new key.
sub ask {
    my ($path, $count) = @_;
    my $key = ++$keys;
    return map { get($nginx->port, $path, 'X-Key' => "key-of-client-$key") } 1 .. $count;
}

# Counts the log lines about refusals of the last key.
sub refusals_logged {
    my $end = substr "key-of-client-$keys", -4;
    return scalar grep { /limiting requests, .*, key: "key-…\Q$end\E", .*, dry run,/ } split /\n/, $nginx->error_log;
}
