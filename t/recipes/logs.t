# The pages of docs/recipes/ about logs, traces and metrics do what they say.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Http;
use AiLimit::Recipe;

my $CHAT = '/v1/chat/completions';

try_recipe 'refused-yesterday' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my ($function) = $recipe->text =~ /^(refused\(\) .*)$/m;
    is $recipe->run("$function\nrefused \$(date -d yesterday +%F)"), '', 'nobody was refused yesterday';
    my $log = AiLimit::Recipe::slurp($nginx->dir . '/refused.log');
    is scalar(() = $log =~ /\n/g), 3, 'the log has the refusals alone';
    like $log, qr{ minute limit=3 wait=\d+ 429 /v1/models$}m, 'with the answer to the client';
};

try_recipe 'audit-log' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands(has('jq') ? undef : qr/curl|chat/);
    my $body = JSON::PP->new->encode({model => qq("quoted"\n), messages => [{role => 'user', content => 'x' x 90_000}]});
    post($nginx->port, "$CHAT?key=secret", $body, 'x-api-key' => 'ann', 'User-Agent' => 'a "b" \\');
    $nginx->stop;
    my @lines = map { decode_json($_) } split /\n/, AiLimit::Recipe::slurp($nginx->dir . '/audit.json');
    is scalar @lines, 2, 'a line for each refusal, in JSON whatever the client sends';
    is_deeply [@{$lines[0]}{qw(policy status path)}], ['minute', 429, $CHAT], 'the first is one for a while';
    like $lines[0]{retry_after}, qr/^[1-9]\d*$/, 'and says how long';
    is_deeply [@{$lines[1]}{qw(policy status path retry_after agent)}], ['tokens', 400, $CHAT, '', 'a "b" \\'], 'the second is one for ever';
    unlike AiLimit::Recipe::slurp($nginx->dir . '/audit.json'), qr/secret/, 'no key is in it';
    unlike $nginx->error_log, qr/limiting requests/, 'and the error log is spared';
};

# Debian has no package of ngx_otel_module. Without it, the page's configuration is tried without the lines of that module.
# OTEL_MODULE names one that is elsewhere.
try_recipe 'opentelemetry' => sub {
    my ($recipe) = @_;
    my ($otel) = grep { -e } $ENV{OTEL_MODULE} // (), map { "$_/ngx_otel_module.so" } modules_folders();
    diag 'ngx_otel_module is not installed: tried without its directives' if !$otel;
    my $nginx = $recipe->start(change => sub {
        if ($otel) {
            s{^load_module modules/ngx_otel_module}{load_module $otel =~ s/\.so$//r}me;
        } else {
            s/^\s*otel_\w+ [^;]*;(?: \})?.*\n//mg;
            s/^load_module modules\/ngx_otel.*\n//m;
        }
    });
    $recipe->commands;
    my %known = map { $_ => 1 } $recipe->text =~ /^\s*(otel_\w+)/mg;
    is_deeply [sort keys %known], [qw(otel_exporter otel_service_name otel_span_attr otel_trace otel_trace_context)],
        'the page has only directives that the module has';
    is get_from($nginx, '127.0.0.2'), 403, 'others do not see the metrics';
};

done_testing;

sub has {
    my ($command) = @_;
    return grep { -x "$_/$command" } split /:/, $ENV{PATH};
}

sub modules_folders {
    my $nginx = AiLimit::Nginx::binary();
    my ($path) = qx($nginx -V 2>&1) =~ /--modules-path=(\S+)/;
    return grep { defined } $path, '/usr/lib/nginx/modules';
}

sub get_from {
    my ($nginx, $address) = @_;
    return request($nginx->port, path => '/metrics', from => $address)->{status};
}
