package AiLimit::Certificate;

# A certificate for a host name, signed by an authority of its own.
#
#   my $certificate = AiLimit::Certificate->new('api.example.com');
#   $certificate->text, $certificate->key_text     PEM
#   $certificate->authority                        the path of the authority's certificate
#
# The files are removed with the object.

use strict;
use warnings;

use Carp qw(croak);
use File::Temp ();

sub new {
    my ($class, $host) = @_;
    my $dir = File::Temp->newdir;
    my @key = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);
    open my $names, '>', "$dir/names" or croak "$dir/names: $!";
    print {$names} "subjectAltName=DNS:$host\n";
    close $names;
    _run('req', '-x509', @key, '-days', 2, '-subj', '/CN=Test CA', '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem");
    _run('req', '-new', @key, '-subj', "/CN=$host", '-keyout', "$dir/host.key", '-out', "$dir/host.csr");
    _run('x509', '-req', '-in', "$dir/host.csr", '-days', 2, '-extfile', "$dir/names",
        '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-out', "$dir/host.pem");
    return bless {dir => $dir}, $class;
}

sub authority { return "$_[0]{dir}/ca.pem" }
sub text      { return _slurp("$_[0]{dir}/host.pem") }
sub key_text  { return _slurp("$_[0]{dir}/host.key") }

sub _run {
    my (@arguments) = @_;
    my $output = qx(openssl @{[map { quotemeta } @arguments]} 2>&1);
    croak "openssl @arguments: $output" if $?;
    return;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or croak "$path: $!";
    local $/;
    return scalar readline($file);
}

1;
