package AiLimit::Agents;

# Runs coding agents of npm, each without a user, in a home and a folder of its own, against one address:
#
#   my $agents = AiLimit::Agents->install;
#   my $run = $agents->start('claude', url => "http://127.0.0.1:$port/claude", key => 'sk-1', task => 'Say hi');
#   my $end = $run->finish;      # waits for it
#
# Several may run at once.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use AiLimit::NodeTests;

my $MODULES = abs_path(dirname(__FILE__) . '/../../..') . '/build/soak/node_modules';
my $json = JSON::PP->new->utf8->canonical;

# Each agent: the command, its environment, its files, and how it reports the end.
#   tool    the name of its tool that runs a command of the shell, and the arguments
my %AGENTS = (
    claude => {
        command => sub {
            my ($o) = @_;
            return ("$MODULES/\@anthropic-ai/claude-code-linux-x64/claude", '-p', $o->{task}, '--output-format', 'json',
                '--model', 'test-model', '--allowedTools', 'Bash');
        },
        env => sub {
            my ($o) = @_;
            return (
                ANTHROPIC_BASE_URL => $o->{url}, ANTHROPIC_API_KEY => $o->{key}, DISABLE_TELEMETRY => 1,
                DISABLE_AUTOUPDATER => 1, DISABLE_ERROR_REPORTING => 1, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
            );
        },
        files => sub { () },
        tool  => sub { ('Bash', {command => $_[0], description => 'Writes a file'}) },
        end   => \&end_of_claude,
    },
    codex => {
        command => sub {
            my ($o) = @_;
            my ($binary) = glob "$MODULES/\@openai/codex-linux-x64/vendor/*/bin/codex";
            return ($binary, 'exec', '--json', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox',
                $o->{task});
        },
        env   => sub { (LIMITED_KEY => $_[0]{key}) },
        files => sub { ('.codex/config.toml' => codex_config($_[0])) },
        tool  => sub { ('exec_command', {cmd => $_[0]}) },
        end   => \&end_of_codex,
    },
    gemini => {
        command => sub {
            my ($o) = @_;
            return ('node', "$MODULES/.bin/gemini", '-p', $o->{task}, '-m', 'gemini-2.5-flash', '--output-format', 'json',
                '--approval-mode', 'yolo');
        },
        env => sub {
            my ($o) = @_;
            return (GOOGLE_GEMINI_BASE_URL => $o->{url}, GEMINI_API_KEY => $o->{key}, GEMINI_CLI_TRUST_WORKSPACE => 'true');
        },
        files => sub { ('.gemini/settings.json' => $json->encode({
            security => {auth => {selectedType => 'gemini-api-key'}}, privacy => {usageStatisticsEnabled => JSON::PP::false},
            telemetry => {enabled => JSON::PP::false},
            general => {enableAutoUpdate => JSON::PP::false, enableAutoUpdateNotification => JSON::PP::false},
        })) },
        tool => sub { ('run_shell_command', {command => $_[0], description => 'Writes a file'}) },
        end  => \&end_of_gemini,
    },
    opencode => {
        command => sub { ("$MODULES/opencode-linux-x64/bin/opencode", 'run', '--format', 'json', $_[0]{task}) },
        # It installs packages wherever it finds a folder of configuration.
        env => sub {
            my ($o) = @_;
            my @off = map { ("OPENCODE_DISABLE_$_" => 1) } qw(AUTOUPDATE MODELS_FETCH LSP_DOWNLOAD DEFAULT_PLUGINS);
            return (OPENCODE_CONFIG_CONTENT => opencode_config($o), @off);
        },
        files => sub { () },
        tool => sub { ('bash', {command => $_[0], description => 'Writes a file'}) },
        end  => \&end_of_opencode,
    },
);

# Skips the whole test where npm cannot reach its registry, or where npm has no binaries for this machine.
sub install {
    my ($class) = @_;
    AiLimit::NodeTests->install('soak');
    return bless {}, $class;
}

sub names { return sort keys %AGENTS }

# (name, arguments as JSON) of the call that has the agent run a command of the shell.
sub tool {
    my ($class, $agent, $command) = @_;
    my ($name, $arguments) = $AGENTS{$agent}{tool}->($command);
    return ($name, $json->encode($arguments));
}

# Options:
#   url       where the agent sends its requests
#   key       its API key
#   task      what it is asked for
#   patience  seconds, after which it is killed
#   options   of the agent: {websocket => 1} for codex
sub start {
    my ($self, $agent, %o) = @_;
    my $what = $AGENTS{$agent};
    my $dir = File::Temp::tempdir('ai_limit_agent_XXXXXX', TMPDIR => 1);
    make_path("$dir/home", "$dir/work");
    my %files = $what->{files}->(\%o);
    for (sort keys %files) {
        make_path(dirname("$dir/home/$_"));
        open my $file, '>', "$dir/home/$_" or die "$dir/home/$_: $!";
        print {$file} $files{$_};
        close $file;
    }
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        setpgrp;
        chdir "$dir/work" or POSIX::_exit(126);
        %ENV = (PATH => $ENV{PATH}, HOME => "$dir/home", LC_ALL => 'C.UTF-8', NO_COLOR => 1, $what->{env}->(\%o));
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/stdout";
        open STDERR, '>', "$dir/stderr";
        exec {($what->{command}->(\%o))[0]} $what->{command}->(\%o) or POSIX::_exit(127);
    }
    return bless {
        agent => $agent, pid => $pid, dir => $dir, began => time, patience => $o{patience} // 120, owner => $$,
    }, 'AiLimit::Agents::Run';
}

# --- what each agent reports: {text, error, usage => {input, output, cached}}

sub end_of_claude {
    my ($stdout) = @_;
    my $said = eval { $json->decode($stdout) } // {};
    my $usage = $said->{usage} // {};
    my ($read, $written) = map { $usage->{"cache_${_}_input_tokens"} // 0 } qw(read creation);
    return {
        text => $said->{is_error} ? undef : $said->{result}, error => $said->{is_error} ? $said->{result} : undef,
        usage => {input => ($usage->{input_tokens} // 0) + $read + $written, output => $usage->{output_tokens},
            cached => $read},
    };
}

sub codex_config {
    my ($o) = @_;
    my $websocket = $o->{options}{websocket} ? 'true' : 'false';
    return <<"TOML";
model = "test-model"
model_provider = "limited"
[analytics]
enabled = false
[model_providers.limited]
name = "limited"
base_url = "$o->{url}/v1"
env_key = "LIMITED_KEY"
wire_api = "responses"
supports_websockets = $websocket
TOML
}

sub end_of_codex {
    my ($stdout) = @_;
    my @events = map { eval { $json->decode($_) } // () } split /\n/, $stdout;
    my ($done) = grep { $_->{type} eq 'turn.completed' } @events;
    my ($failed) = grep { $_->{type} eq 'turn.failed' } @events;
    my @texts = map { $_->{item}{text} } grep { ($_->{item}{type} // '') eq 'agent_message' } @events;
    my $usage = $done ? $done->{usage} : {};
    return {
        text => $done ? $texts[-1] : undef, error => $failed ? $failed->{error}{message} : undef,
        usage => {input => $usage->{input_tokens}, output => $usage->{output_tokens},
            cached => $usage->{cached_input_tokens}},
    };
}

sub end_of_gemini {
    my ($stdout, $stderr) = @_;
    my ($said) = map { eval { $json->decode($_) } // () } $stdout =~ /(\{.*\})/s, $stderr =~ /(\{\s*"session_id".*\})/s;
    my ($model) = values %{$said->{stats}{models} // {}};
    my $tokens = $model->{tokens} // {};
    return {
        text => $said->{response}, error => $said->{error} && $said->{error}{message},
        usage => {input => $tokens->{prompt}, output => $tokens->{candidates}, cached => $tokens->{cached}},
    };
}

sub opencode_config {
    my ($o) = @_;
    return $json->encode({
        share => 'disabled', autoupdate => JSON::PP::false, permission => 'allow', model => 'limited/test-model',
        small_model => 'limited/test-model', agent => {title => {disable => JSON::PP::true}},
        provider => {limited => {
            npm => '@ai-sdk/openai-compatible', name => 'limited', models => {'test-model' => {name => 'test-model'}},
            options => {baseURL => "$o->{url}/v1", apiKey => $o->{key}},
        }},
    });
}

# Each step reports its own tokens; what came from a cache is no part of the input there.
sub end_of_opencode {
    my ($stdout) = @_;
    my @events = map { eval { $json->decode($_) } // () } split /\n/, $stdout;
    my @texts = map { $_->{part}{text} } grep { $_->{type} eq 'text' } @events;
    my ($failed) = grep { $_->{type} eq 'error' } @events;
    my %usage;
    for my $tokens (map { $_->{part}{tokens} } grep { $_->{type} eq 'step_finish' } @events) {
        $usage{input} += $tokens->{input} + $tokens->{cache}{read} + $tokens->{cache}{write};
        $usage{output} += $tokens->{output};
        $usage{cached} += $tokens->{cache}{read};
    }
    return {
        text => $failed ? undef : $texts[-1], usage => \%usage,
        error => $failed && ($failed->{error}{data}{message} // $json->encode($failed->{error})),
    };
}

package AiLimit::Agents::Run;

use File::Path qw(remove_tree);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

# Seconds since the start.
sub age { return time - $_[0]{began} }

# A file in the folder that the agent works in; undef where there is none.
sub file {
    my ($self, $name) = @_;
    return _slurp("$self->{dir}/work/$name");
}

# Waits for the end: {status, seconds, timed_out, stdout, stderr, text, error, usage}. The text is the agent's answer,
# and the error what it tells its user.
sub finish {
    my ($self) = @_;
    my $status;
    while (!defined $status) {
        if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) { $status = $? }
        elsif ($self->age > $self->{patience}) { $self->_kill; $status = 'timed out' }
        else { sleep 0.05 }
    }
    delete $self->{pid};
    my ($stdout, $stderr) = map { _slurp("$self->{dir}/$_") // '' } qw(stdout stderr);
    return {
        %{$AGENTS{$self->{agent}}{end}->($stdout, $stderr)}, status => $status eq 'timed out' ? undef : $status >> 8,
        seconds => $self->age, timed_out => $status eq 'timed out', stdout => $stdout, stderr => $stderr,
    };
}

# It and what it has started: they are a process group.
sub _kill {
    my ($self) = @_;
    kill 'KILL', -$self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $!);
    $self->_kill if $self->{pid};
    remove_tree($self->{dir}) if !$ENV{AI_LIMIT_KEEP};
    return;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or return;
    local $/;
    return scalar(<$file>) // '';
}

1;
