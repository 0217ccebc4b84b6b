# The pages of docs/recipes/ are complete: the index has each of them, a test tries each of them, and `make run` starts
# their configurations.

use strict;
use warnings;

use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use POSIX ();
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Patience qw(wait_until);
use AiLimit::Recipe;

my $root  = AiLimit::Recipe::root();
my $index = AiLimit::Recipe->new('README')->text;
my $tests = join '', map { AiLimit::Recipe::slurp($_) } glob "$FindBin::Bin/*.t";

for my $name (AiLimit::Recipe::names()) {
    my $recipe = AiLimit::Recipe->new($name);
    like $index, qr/^- \[[^\]]+\]\(\Q$name\E\.md\)/m, "$name: the index has it";
    like $tests, qr/^try_recipe '\Q$name\E' =>/m, 'a test tries it';
    my @missing = grep { $recipe->text !~ /^## \Q$_\E$/m } 'Try it', 'Watch out';
    is_deeply \@missing, [], 'it says how to try it, and what to watch out for';
}

SKIP: {
    skip 'make run takes the module of the installed nginx', 1 if $ENV{AI_LIMIT_MODULE} || !AiLimit::Nginx::module_path();
    make_run('plans');
}
done_testing;

sub make_run {
    my ($name) = @_;
    my ($port, $model_port) = map { free_port() } 1 .. 2;
    my $folder = "$root/build/run-$name-$port";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        @ENV{qw(PORT MODEL_PORT CONF)} = ($port, $model_port, "recipes/$name");
        open STDOUT, '>', '/dev/null';
        exec 'bash', "$root/scripts/run.sh" or POSIX::_exit(127);
    }
    # Of the limits of the plan pro, a request without tokens reports the 8 slots: one of them is in use.
    my $limit = sub { get($port, '/v1/models', 'x-api-key' => 'demo', Connection => 'close')->{headers}{'x-ratelimit-limit'} };
    ok wait_until(sub { ($limit->() // '') eq '8' }), "make run CONF=recipes/$name starts what the page shows";
    kill 'TERM', $pid;
    waitpid $pid, 0;
    remove_tree($folder);
    return;
}

sub free_port {
    for (1 .. 1000) {
        my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 15_000 + int rand 17_000) or next;
        return $socket->sockport;
    }
    die "no free port: $!\n";
}
