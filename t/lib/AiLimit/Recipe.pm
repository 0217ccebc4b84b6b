package AiLimit::Recipe;

# Tries a page of docs/recipes/: starts nginx with the configuration that the page shows, runs the commands that it shows,
# and compares their output with what the page says.
#
#   my $recipe = AiLimit::Recipe->new('exempt-a-key');
#   my $nginx  = $recipe->start;
#   $recipe->commands;               # one test for each command that the page shows
#   $nginx->port
#
# On a page,
#   - a block whose first line is a comment with a path ("# /etc/nginx/nginx.conf") is that file;
#   - a block `sh` that is followed by a block without a language is a command and its output. "…" in the output
#     stands for anything within a line. Commands without an output are not run, except for functions, which the next
#     commands use.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use Test::More ();
use Time::HiRes qw(sleep);

use AiLimit::ModelServer;
use AiLimit::Nginx;

our @EXPORT = qw(try_recipe);

my $ROOT  = abs_path(dirname(__FILE__) . '/../../..');
my $PAGES = "$ROOT/docs/recipes";

# try_recipe 'name' => sub { my ($recipe) = @_; ... }: a subtest with the page's name.
sub try_recipe {
    my ($name, $try) = @_;
    Test::More::plan(skip_all => 'the module is not built') if !AiLimit::Nginx::module_path();
    return Test::More::subtest($name => sub {
        my $recipe = AiLimit::Recipe->new($name);
        $try->($recipe);
        $recipe->{nginx}->stop if $recipe->{nginx};
    });
}

# The names of all pages but the index.
sub names { return grep { $_ ne 'README' } map { m{([^/]+)\.md\z} } sort glob "$PAGES/*.md" }

sub root { return $ROOT }

sub new {
    my ($class, $name) = @_;
    my $text = slurp("$PAGES/$name.md");
    my @blocks;
    while ($text =~ /^```(\w*)\n(.*?)^```$/msg) {
        push @blocks, {language => $1, text => $2};
    }
    my %files = map { $_->{text} =~ m{\A(?:#|;|//) (/\S+)\n} ? ($1 => $_->{text}) : () } @blocks;
    s/\A.*\n// for @files{grep { /\.json\z/ } keys %files};    # which has no comments
    return bless {name => $name, text => $text, blocks => \@blocks, files => \%files, models => []}, $class;
}

sub text { return $_[0]{text} }

# Returns the text of a file that the page shows.
sub file {
    my ($self, $path) = @_;
    return $self->{files}{$path} // croak "$self->{name}.md shows no $path";
}

# The model server behind port 8081 of the page (0), 8082 (1) and so on.
sub model {
    my ($self, $n) = @_;
    return $self->{models}[$n // 0] //= AiLimit::ModelServer->start;
}

# Starts nginx with the page's nginx.conf, in a folder and on ports of its own. Returns the AiLimit::Nginx. Options, all
# optional:
#   config   text in place of the page's nginx.conf
#   files    {path => text} in place of the page's other files
#   change   sub { ... } that changes the configuration in $_
#   redis    an AiLimit::Redis behind port 6379 of the page
sub start {
    my ($self, %options) = @_;
    my $nginx = $self->prepare(%options);
    my ($code, $output) = $nginx->test_config;
    Test::More::is($code, 0, 'nginx accepts the configuration') or Test::More::diag($output);
    Test::More::unlike($output, qr/\[warn\]/, 'without a warning');
    $nginx->launch;
    return $nginx;
}

sub prepare {
    my ($self, %options) = @_;
    my $config = $options{config} // $self->file('/etc/nginx/nginx.conf');
    if ($options{change}) {
        $options{change}->() for $config;
    }
    my %files = (%{$self->{files}}, %{$options{files} // {}});
    my %others = map { $_ => $files{$_} } grep { m{\A/etc/nginx/} && $_ ne '/etc/nginx/nginx.conf' } keys %files;
    $self->{redis} = $options{redis};
    $self->{port_number} = {};
    my $user = $> == 0 ? 'user root;' : '';
    my $nginx = AiLimit::Nginx->prepare(config => "daemon off; pid %%DIR%%/nginx.pid; $user\n" . $self->adapted($config));
    mkdir $nginx->dir . "/$_" for qw(state conf.d);
    $nginx->write_file(s{\A/etc/nginx/}{}r, $self->adapted($others{$_})) for sort keys %others;
    return $self->{nginx} = $nginx;
}

# A configuration with the test's module, ports and folders in place of those of the page.
sub adapted {
    my ($self, $text) = @_;
    my $module = AiLimit::Nginx::module_path();
    $text =~ s/^load_module modules\/ngx_http_ai_limit_module\.so;/load_module $module;/m;
    $text =~ s/^user\s+[\w-]+;$//m;
    $text =~ s/^worker_processes\s+auto;$/worker_processes 1;/m;
    $text =~ s/\blisten (\d+)\b/'listen 127.0.0.1:' . $self->placeholder($1)/ge;
    $text =~ s/127\.0\.0\.1:808([1-4])\b/'127.0.0.1:' . $self->model($1 - 1)->port/ge;
    $text =~ s/127\.0\.0\.1:6379\b/'127.0.0.1:' . $self->{redis}->port/ge if $self->{redis};
    # Redis may be slow on a busy machine. That is no part of what a page shows.
    $text =~ s/^(\s*ai_limit_redis [^;]*)/$1 timeout=10s connect_timeout=10s/m if $self->{redis};
    # Nothing may come back while a busy machine runs the commands: a minute becomes an hour, an hour a day.
    $text =~ s{\b(\d+[kM]?[rt])/(m|h)\b}{"$1/" . ($2 eq 'm' ? 'h' : 'd')}ge;
    $text =~ s{^(\s*limit_req_zone .*)rate=\d+r/h}{$1rate=1r/m}m;
    $text =~ s{/var/lib/nginx/ai_limit/}{%%DIR%%/state/}g;
    $text =~ s{/(?:etc|var/log)/nginx/}{%%DIR%%/}g;
    return $text;
}

# The test's port for one of the page.
sub placeholder {
    my ($self, $port) = @_;
    my $numbers = $self->{port_number};
    $numbers->{$port} = keys %$numbers if !exists $numbers->{$port};
    return "%%PORT_$numbers->{$port}%%";
}

# Runs the page's commands that have an output, one test for each. `only` is a regular expression for their text.
sub commands {
    my ($self, $only) = @_;
    my $functions = '';
    my $count = 0;
    for my $i (0 .. $#{$self->{blocks}}) {
        my ($block, $next) = @{$self->{blocks}}[$i, $i + 1];
        next if $block->{language} ne 'sh';
        my $has_output = $next && $next->{language} eq '';
        if (!$has_output) {
            $functions .= $block->{text} if $block->{text} =~ /\A\w+\(\) \{/;
            next;
        }
        if (!$only || $block->{text} =~ $only) {
            $self->compare($functions, $block->{text}, $next->{text});
            $count++;
        }
        $functions .= $1 while $block->{text} =~ /^(\w+\(\) \{.*?\}\n)/msg;
    }
    Test::More::ok($count, 'the page shows what is to be seen');
    return;
}

# Runs a command until its output is as the page says. nginx writes its log a moment after the client has the answer, so
# commands that only look may be repeated.
sub compare {
    my ($self, $functions, $command, $wanted) = @_;
    my $pattern = join '.*', map { quotemeta } split /…/, $wanted, -1;
    my @asking = ('curl', $functions =~ /^(\w+)\(\)/mg);
    my $looks = !grep { $command =~ /\b$_\b/ } @asking;
    my $output;
    for my $round (1 .. ($looks ? 100 : 1)) {
        sleep 0.05 if $round > 1;
        $output = $self->run($functions . $command);
        last if $output =~ /\A$pattern\z/;
    }
    my ($title) = $command =~ /([^\n]+)\n\z/;
    Test::More::like($output, qr/\A$pattern\z/, "the page's output of: $title");
    return;
}

# Runs shell commands with the test's ports and folders. Returns what they write.
sub run {
    my ($self, $commands) = @_;
    my $nginx = $self->{nginx};
    my $numbers = $self->{port_number};
    $commands =~ s/\r//g;
    $commands =~ s/(127\.0\.0\.1|localhost):(\d+)\b/"$1:" . (exists $numbers->{$2} ? $nginx->port($numbers->{$2}) : $2)/ge;
    $commands =~ s{/(?:etc|var/log)/nginx/}{$nginx->dir . '/'}ge;
    open my $shell, '-|', 'bash', '-c', "exec 2>&1\n$commands" or croak "bash: $!";
    binmode $shell;
    local $/;
    my $output = readline($shell) // '';
    close $shell;
    $output =~ s/\r//g;
    return $output;
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or croak "$path: $!";
    local $/;
    return scalar readline($file);
}

1;
