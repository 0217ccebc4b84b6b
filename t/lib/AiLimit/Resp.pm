package AiLimit::Resp;

# Redis's protocol: commands to bytes, and bytes back to values.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(resp_command resp_take);

# The bytes of a command.
sub resp_command {
    my (@words) = @_;
    return join '', '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
}

# Takes one value off the front of $$buffer: (value, its bytes), or nothing while
# it is not complete. Dies where that cannot be a value.
#
# Strings and numbers come as they are, nil as undef, lists and maps as [...], an
# error as an AiLimit::Resp::Error that reads as its text.
sub resp_take {
    my ($buffer) = @_;
    pos($$buffer) = 0;
    my @value = _take($buffer) or return;
    my $bytes = substr $$buffer, 0, pos $$buffer, '';
    return ($value[0], $bytes);
}

# A list of one value from pos() on, or an empty one while that is not complete.
sub _take {
    my ($buffer) = @_;
    if ($$buffer !~ /\G([-+:*\$_#,(!=~>%|])([^\r\n]*)\r\n/gc) {
        # An incomplete line is fine, a kind that is none is not.
        die "not Redis's protocol: " . _shown(substr $$buffer, pos $$buffer, 40) . "\n"
            if $$buffer =~ /\G(?:[^-+:*\$_#,(!=~>%|]|.[^\r\n]*(?:\n|\r[^\n]))/s;
        return;
    }
    my ($kind, $line) = ($1, $2);
    return _take_bulk($buffer, $kind, $line) if $kind =~ /[\$!=]/;
    return _take_list($buffer, $kind eq '%' || $kind eq '|' ? 2 * $line : $line) if $kind =~ /[*~>%|]/;
    return $kind eq '-' ? AiLimit::Resp::Error->new($line) : $kind eq '_' ? undef : $line;
}

sub _take_bulk {
    my ($buffer, $kind, $size) = @_;
    return undef if $size < 0;
    my $start = pos $$buffer;
    return if length $$buffer < $start + $size + 2;
    my $text = substr $$buffer, $start, $size;
    pos($$buffer) = $start + $size + 2;
    return $kind eq '!' ? AiLimit::Resp::Error->new($text) : $text;
}

sub _take_list {
    my ($buffer, $count) = @_;
    return undef if $count < 0;
    my @list;
    while (@list < $count) {
        my @value = _take($buffer) or return;
        push @list, $value[0];
    }
    return \@list;
}

sub _shown {
    my ($text) = @_;
    return $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
}

package AiLimit::Resp::Error;

use overload '""' => sub { ${$_[0]} }, fallback => 1;

sub new { my ($class, $text) = @_; return bless \$text, $class; }

1;
