package AiLimit::Mistakes;

# Tries configurations: mistakes that nginx -t has to name, and those that it has to accept.
#
#   my $mistakes = AiLimit::Mistakes->new($nginx, http => '%s server { listen 127.0.0.1:1; }', ...);
#   $mistakes->is_refused(http => 'ai_limit_policy p rate=5;', 'rate=5');
#   $mistakes->is_accepted('a policy', 'ai_limit_policy p ...; server { ai_limit p; }');

use strict;
use warnings;

use Test::More ();

# `places` are texts of an http block in which HERE stands for the directive.
sub new {
    my ($class, $nginx, %places) = @_;
    return bless {nginx => $nginx, places => \%places}, $class;
}

# Passes if nginx -t fails with one line, which names the directive, says the word and ends with the file and the line.
# Returns all that nginx said.
sub is_refused {
    my ($self, $place, $directive, $word) = @_;
    my $http = $self->{places}{$place} =~ s/HERE/$directive # HERE/r;
    my ($code, $output) = $self->{nginx}->test_config(http => $http);
    Test::More::isnt($code, 0, 'is refused');
    # OpenSSL's own reason stands before ours.
    my @lines = grep { /\[emerg\]/ && !/\(SSL: / } split /\n/, $output;
    Test::More::is(scalar @lines, 1, 'with one line') or Test::More::diag($output);
    return $output if !@lines;
    my ($name) = $directive =~ /^(\w+)/;
    my $number = $self->_line_number;
    Test::More::like($lines[0], qr/(?<!\w)$name(?!\w)/, 'that names the directive');
    Test::More::like($lines[0], qr/\Q$word\E/, 'says what is wrong');
    Test::More::like($lines[0], qr{ in \S+/test\.conf:\Q$number\E$}, 'and where');
    return $output;
}

# Passes if nginx -t accepts this http block without a warning.
sub is_accepted {
    my ($self, $name, $http) = @_;
    my ($code, $output) = $self->{nginx}->test_config(http => $http);
    Test::More::is($code, 0, "correct: $name") or Test::More::diag($output);
    Test::More::unlike($output, qr/\[(?:warn|error|emerg|alert)\]/, 'without a warning');
    return;
}

# Returns the line of the directive that is tried.
sub _line_number {
    my ($self) = @_;
    my $path = $self->{nginx}->dir . '/test.conf';
    open my $file, '<', $path or die "$path: $!";
    my $number = 1;
    $number++ while <$file> !~ /# HERE/;
    return $number;
}

1;
