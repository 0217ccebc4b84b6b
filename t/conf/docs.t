# nginx accepts each configuration that README.md and the pages of docs/ show. Most of these blocks are parts of a
# configuration: the test puts each directive into the block where it belongs, declares the policies and upstreams
# that a block only names, and uses the policies that it only declares.
#
# The recipes have a test of their own, which also tries them.

use strict;
use warnings;

use File::Find qw(find);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Nginx;

my $module = AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';
my $root   = "$FindBin::Bin/../..";

# Directives that stand in the main block, in http and in server. All others go into a location.
my %context = (
    (map { $_ => 'main' } qw(load_module http events user worker_processes)),
    (map { $_ => 'http' } qw(map geo server upstream log_format resolver set_real_ip_from real_ip_header real_ip_recursive
        ai_limit_policy ai_limit_zone ai_limit_redis ai_limit_prices ai_limit_body_field)),
    location => 'server',
);

my @pages = ("$root/README.md");
find({no_chdir => 1, wanted => sub { push @pages, $_ if /\.md\z/ && !m{/docs/recipes/} }}, "$root/docs");

my $blocks = 0;
for my $page (sort @pages) {
    for my $block (blocks($page)) {
        my $nginx = AiLimit::Nginx->prepare(config => whole($block->{text}));
        $nginx->write_file('prices.json', slurp("$root/conf-examples/prices.json")) if $block->{text} =~ /prices\.json/;
        my ($code, $output) = $nginx->test_config;
        is $code, 0, "nginx accepts $block->{place}" or diag $output;
        unlike $output, qr/\[warn\]/, "$block->{place} gives no warning";
        ++$blocks;
    }
}
cmp_ok $blocks, '>', 20, 'the pages have configurations';
done_testing;

# The blocks of configuration of a page.
sub blocks {
    my ($page) = @_;
    my $text = slurp($page);
    my @blocks;
    while ($text =~ /^```nginx\n(.*?)^```$/msg) {
        my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
        push @blocks, {text => $1, place => substr($page, length "$root/") . ":$line"};
    }
    return @blocks;
}

# A whole configuration around a part of one.
sub whole {
    my ($text) = @_;
    $text =~ s{^load_module .*$}{load_module $module;}m or $text = "load_module $module;\n$text";
    $text =~ s{/var/(?:lib/nginx/ai_limit|log/nginx)/}{%%DIR%%/}g;
    my %part = (main => "daemon off; pid %%DIR%%/nginx.pid; error_log %%DIR%%/error.log;\n", http => '', server => '', location => '');
    for my $directive (directives($text)) {
        my ($name) = $directive =~ /(\w+)/;
        $part{$context{$name} // 'location'} .= "$directive\n";
    }
    $part{main} .= "user root;\n"    if $> == 0 && $part{main} !~ /^user /m;
    $part{main} .= "events {}\n"     if $part{main} !~ /^events /m;
    my @unused = unused($text);
    $part{location} .= "ai_limit @unused;\n" if @unused;
    my $inside = declared($text) . $part{http};
    if ($part{server} . $part{location} ne '') {
        my $location = $part{location} eq '' ? '' : "location /of-the-test/ {\n$part{location}}\n";
        $inside .= "server {\nlisten 127.0.0.1:%%PORT_0%%;\n$part{server}$location}\n";
    }
    $part{main} =~ s/^http\s*\{/http {\n$inside/m or $part{main} .= "http {\n$inside}\n";
    return $part{main} =~ s/(server\s*\{)(?!\s*listen)/$1\nlisten 127.0.0.1:%%PORT_0%%;/gr;
}

# The policies and upstreams that a part of a configuration names and does not declare.
sub declared {
    my ($text) = @_;
    my %policies = map { $_ => 1 } map { split } $text =~ /(?<![\$\w])ai_limit\s+([^;]+);/g;
    delete @policies{'off', $text =~ /(?<![\$\w])ai_limit_policy\s+(\S+)/g};
    my %upstreams = map { $_ => 1 } $text =~ m{\bproxy_pass\s+https?://([A-Za-z][\w.-]*)(?=[;/])}g;
    delete @upstreams{$text =~ /\bupstream\s+(\S+)/g};
    return join '', (map { "ai_limit_policy $_ key=\$ai_limit_client rate=60r/m;\n" } sort keys %policies),
        map { "upstream $_ { server 127.0.0.1:1; }\n" } sort keys %upstreams;
}

# The policies that a part of a configuration declares without using any.
sub unused {
    my ($text) = @_;
    return $text =~ /(?<![\$\w])ai_limit\s/ ? () : $text =~ /(?<![\$\w])ai_limit_policy\s+(\S+)/g;
}

# The directives of a text, those with a block included. Comments are left out.
sub directives {
    my ($text) = @_;
    my (@directives, $depth);
    my $directive = '';
    while ($text =~ /\G(?:#[^\n]*|('[^']*'|"[^"]*"|[{};]|[^\s{};]+|\s+))/gc) {
        my $token = $1 // next;
        next if $directive eq '' && $token =~ /\A\s/;
        $directive .= $token;
        $depth += $token eq '{' ? 1 : $token eq '}' ? -1 : 0;
        if (!$depth && $token =~ /\A[};]\z/) {
            push @directives, $directive;
            $directive = '';
        }
    }
    return @directives;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar readline $file;
}
