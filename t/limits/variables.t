# The variables that tell what was decided: in the access log and in headers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);

use AiLimit::Http;
use AiLimit::Nginx;

my $said = join '|', map { "\$$_" } 'status', map { "ai_limit_$_" } qw(
    status policy limit remaining reset retry_after remaining_three remaining_TEN remaining_nobody
);

my $nginx = AiLimit::Nginx->start(access_log => $said, http => <<"CONF");
    ai_limit_policy three key=\$http_x_key rate=1r/h burst=3;
    ai_limit_policy ten   key=\$http_x_key rate=1r/h burst=10;
    ai_limit_policy early key=\$http_x_key rate=1r/h burst=2 phase=preaccess;
    ai_limit_policy try   key=\$http_x_key rate=1r/h burst=1 dry_run;
    ai_limit_policy hour  key=\$http_x_key rate=1r/h;
    ai_limit_policy day   key=\$http_x_key rate=1r/d;
    ai_limit_policy large key=\$http_x_key rate=10r/d cost=11;
    ai_limit_policy slots key=\$http_x_key concurrency=5;
    ai_limit_policy slow  key=\$http_x_key rate=1r/m burst=2 algorithm=token_bucket;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        add_header X-Said "$said" always;

        location /none        { empty_gif; }
        location /off         { ai_limit off; empty_gif; }
        location /three       { ai_limit three; empty_gif; }
        location /both        { ai_limit ten three; empty_gif; }
        location /phases      { ai_limit ten early; empty_gif; }
        location /dry         { ai_limit three try; empty_gif; }
        location /dry/all     { ai_limit three; ai_limit_dry_run on; empty_gif; }
        location /waits       { ai_limit hour ten day; empty_gif; }
        location /never       { ai_limit large; empty_gif; }
        location /slots       { ai_limit slots; empty_gif; }
        location /slow        { ai_limit slow; empty_gif; }
        location /returned    { ai_limit three; return 200 text; }
        location /headers_off { ai_limit three; ai_limit_headers off; empty_gif; }
    }
CONF
my $keys = 0;

subtest 'without a policy' => sub {
    is_said('/none', 'a', '200 - - - - - - - - -');
    is_said('/off', 'a', '200 - - - - - - - - -');
    is_said('/three', '', '200 - - - - - - - - -');
    is_said('/returned', 'a', '200 - - - - - - - - -');
};

subtest 'a request that passed and one that was refused' => sub {
    my $key = ++$keys;
    is_said('/three', $key, '200 PASSED three 3 2 3600 - 2 - -');
    is_said('/three', $key, '200 PASSED three 3 1 7200 - 1 - -');
    is_said('/three', $key, '200 PASSED three 3 0 10800 - 0 - -');
    is_said('/three', $key, '429 REJECTED three 3 0 10800 3600 0 - -');
    is_said('/headers_off', $key, '429 REJECTED three 3 0 10800 3600 0 - -');
};

subtest 'a dry run' => sub {
    my $key = ++$keys;
    is_said('/dry', $key, '200 PASSED try 1 0 3600 - 2 - -');
    is_said('/dry', $key, '200 REJECTED_DRY_RUN try 1 0 3600 3600 1 - -');
    is_said('/dry', $key, '200 REJECTED_DRY_RUN try 1 0 3600 3600 0 - -');
    is_said('/dry', $key, '429 REJECTED three 3 0 10800 3600 0 - -');
    is_said('/dry/all', $key, '200 REJECTED_DRY_RUN three 3 0 10800 3600 0 - -');
};

subtest 'several policies' => sub {
    my $key = ++$keys;
    is_said('/both', $key, '200 PASSED three 3 2 3600 - 2 9 -');
    is_said('/phases', $key, '200 PASSED early 2 1 3600 - - 8 -');
    is_said('/phases', $key, '200 PASSED early 2 0 7200 - - 7 -');
    is_said('/phases', $key, '429 REJECTED early 2 0 7200 3600 - - -');
    is_said('/both', $key, '200 PASSED three 3 1 7200 - 1 6 -');

    # The one with the smallest part left is not the one with the smallest number left.
    is_said('/both', ++$keys, '200 PASSED three 3 2 3600 - 2 9 -');
    get($nginx->port, '/waits', 'X-Key' => $keys);
    is_said('/waits', $keys, '429 REJECTED day 1 0 86400 86400 - 8 -');
};

subtest 'special cases' => sub {
    is_said('/never', 'n', '400 REJECTED large 10 10 0 - - - -');
    is_said('/slots', 's', '200 PASSED slots 5 4 1 - - - -');
    my $key = ++$keys;
    is_said('/slow', $key, '200 PASSED slow 2 1 60 - - - -');
    is_said('/slow', $key, '200 PASSED slow 2 0 120 - - - -');
    is_said('/slow', $key, '429 REJECTED slow 2 0 120 60 - - -');
};

$nginx->stop;
done_testing;

# Checks what the variables say of one request, in a header and in the log. Times may be up to fifty seconds less, for a
# slow machine.
sub is_said {
    my ($path, $key, $wanted) = @_;
    my $before = lines();
    my $header = get($nginx->port, $path, 'X-Key' => $key)->{headers}{'x-said'} // '';
    my $deadline = time + 20;
    sleep 0.001 while lines() == $before && time < $deadline;
    my ($logged) = $nginx->access_log =~ /([^\n]*)\n\z/;
    is words($header, $wanted), $wanted, "$path, in a header";
    is words($logged, $wanted), $wanted, "$path, in the log";
    return;
}

sub lines { return scalar(() = $nginx->access_log =~ /\n/g) }

sub words {
    my ($line, $wanted) = @_;
    my @words = map { $_ eq '' ? '-' : $_ } split /\|/, $line, -1;
    my @wanted = split / /, $wanted;
    for my $time (5, 6) {
        my $early = "$wanted[$time]$words[$time]" =~ /^\d+$/ ? $wanted[$time] - $words[$time] : -1;
        $words[$time] = $wanted[$time] if $early >= 0 && $early <= 50;
    }
    return join ' ', @words;
}
