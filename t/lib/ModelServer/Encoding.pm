package ModelServer::Encoding;

# Content codings, as wished for by encoding=gzip|deflate|raw-deflate|br (or gzip=1); with claims=NAME
# the answer names that coding and does not have it.

use strict;
use warnings;

use Compress::Raw::Zlib qw(WANT_GZIP Z_FINISH Z_SYNC_FLUSH MAX_WBITS);
use Exporter qw(import);
use IPC::Open2 qw(open2);

our @EXPORT_OK = qw(content_encoding encoder);

my %WINDOW = (gzip => WANT_GZIP, deflate => MAX_WBITS, 'raw-deflate' => -MAX_WBITS());

# The header's value, or nothing.
sub content_encoding {
    my ($wishes) = @_;
    return $wishes->{claims} if $wishes->{claims};
    my $encoding = wished($wishes) // return;
    return $encoding eq 'raw-deflate' ? 'deflate' : $encoding;
}

# A sub that is given a piece, and whether it is the last, and returns what is sent for it.
sub encoder {
    my ($wishes) = @_;
    my $encoding = wished($wishes);
    return sub { $_[0] } if !$encoding;
    return brotli() if $encoding eq 'br';
    return deflater($WINDOW{$encoding} // die "no such encoding: $encoding\n");
}

sub wished {
    my ($wishes) = @_;
    return $wishes->{gzip} ? 'gzip' : $wishes->{encoding};
}

# Each piece can be read as soon as it arrives.
sub deflater {
    my ($window) = @_;
    my ($deflate) = Compress::Raw::Zlib::Deflate->new(-WindowBits => $window, -AppendOutput => 1);
    return sub {
        my ($data, $last) = @_;
        my $out = '';
        $deflate->deflate($data, $out);
        $deflate->flush($out, $last ? Z_FINISH : Z_SYNC_FLUSH);
        return $out;
    };
}

# The command compresses a whole body, so all of it is sent for the last piece.
sub brotli {
    my $all = '';
    return sub {
        my ($data, $last) = @_;
        $all .= $data;
        return $last ? brotli_of($all) : '';
    };
}

sub brotli_of {
    my ($data) = @_;
    my $pid = open2(my $out, my $in, 'brotli', '--stdout', '-');
    # A process that writes to a pipe and reads it as well can wait for itself, so another process writes.
    my $writer = fork() // die "fork: $!\n";
    if ($writer == 0) {
        close $out;
        syswrite $in, $data, length($data), 0 or exit 1;
        exit 0;
    }
    close $in;
    my $packed = do { local $/; <$out> } // '';
    waitpid $_, 0 for $writer, $pid;
    return $packed;
}

1;
