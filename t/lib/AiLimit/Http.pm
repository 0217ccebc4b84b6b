package AiLimit::Http;

# An HTTP/1.1 client for tests. It never hangs: everything has a deadline, and
# what has not come by then counts as failed.
#
# A response is {status, headers, all, body, complete, error}:
#   headers   {name in lower case => value}; several of one name joined by ', '
#   all       {name in lower case => [values]}
#   complete  whether the whole response came; status is 0 where no head came

use strict;
use warnings;

use Carp qw(croak);
use Errno qw(EAGAIN EINPROGRESS EINTR EWOULDBLOCK);
use Exporter qw(import);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(
    AF_INET AF_INET6 IPPROTO_TCP SOCK_STREAM SOL_SOCKET SO_ERROR TCP_NODELAY
    inet_pton pack_sockaddr_in pack_sockaddr_in6
);
use Time::HiRes qw(time);

our @EXPORT = qw(get post request start_request many);

use constant DEADLINE => $ENV{AI_LIMIT_PATIENCE} // 20;

# get($port, '/v1/models', 'x-api-key' => 'k1', ...)
sub get {
    my ($port, $path, @headers) = @_;
    return request($port, path => $path, headers => \@headers);
}

# post($port, '/v1/chat/completions', '{"model":"m"}', 'x-api-key' => 'k1', ...)
sub post {
    my ($port, $path, $body, @headers) = @_;
    return request($port, method => 'POST', path => $path, body => $body, headers => \@headers);
}

# request($port, %options) -> response. Options:
#   method, path, body
#   headers   [name => value, ...] or {name => value}; a value may be [values]
#   raw       the whole request as bytes, in place of all the above
#   address   to connect to; 127.0.0.1 if not said
#   from      the address to come from, such as 127.0.0.2
#   deadline  seconds
sub request {
    my ($port, %options) = @_;
    return start_request($port, %options)->finish;
}

# Sends, and returns at once an AiLimit::Http::Pending with
#   head     waits for the response's head -> status
#   body     what has come of the body so far
#   wait_for_body($regex)  waits until the body matches -> whether it did
#   wait_for_size($bytes, $seconds)  the same for its length, and not for long
#   finish   waits for the rest -> response
#   statuses($n)  where `raw` is n requests: waits for n answers -> their statuses, of those that came
#   abort    closes the connection, as a client that goes away
#   arrivals [[time, bytes], ...]: when which part of the response came
sub start_request {
    my ($port, %options) = @_;
    return AiLimit::Http::Pending->new($port, %options);
}

# many($port, %options): a number of requests over keepalive connections. Options
# as for request(), and
#   requests     how many in all
#   connections  how many at a time; 1 if not said
#   pipeline     how many unanswered ones per connection; 1 if not said
#   path, headers, body   may each be sub { my ($i) = @_; ... }, $i from 0
#   keep         1: return the responses too
# $port may be [@ports], to which the connections go in turn.
# Returns {status => {200 => n, ...}, failed => n, seconds => s, responses => [by $i]};
# failed are those without a complete answer, whatever the reason.
sub many {
    my ($port, %options) = @_;
    return AiLimit::Http::Many->new($port, %options)->run;
}

# --- what they share

sub _format {
    my (%o) = @_;
    return $o{raw} if defined $o{raw};
    my $method = $o{method} // 'GET';
    my @given = ref $o{headers} eq 'HASH' ? %{$o{headers}} : @{$o{headers} // []};
    my $text = "$method " . ($o{path} // '/') . " HTTP/1.1\r\n";
    my %has;
    while (my ($name, $value) = splice @given, 0, 2) {
        $has{lc $name} = 1;
        $text .= "$name: $_\r\n" for ref $value ? @$value : $value;
    }
    $text .= "Host: localhost\r\n" if !$has{host};
    if (defined $o{body}) {
        utf8::encode($o{body}) if utf8::is_utf8($o{body});
        $text .= 'Content-Length: ' . length($o{body}) . "\r\n"
            if !$has{'content-length'} && !$has{'transfer-encoding'};
        return "$text\r\n$o{body}";
    }
    return "$text\r\n";
}

sub _connect {
    my ($port, %o) = @_;
    my $address = $o{address} // '127.0.0.1';
    my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
    my $sockaddr = sub {
        my ($number, $ip) = @_;
        my $binary = inet_pton($family, $ip) // croak "no address: $ip";
        return $family == AF_INET6 ? pack_sockaddr_in6($number, $binary)
                                   : pack_sockaddr_in($number, $binary);
    };
    socket(my $socket, $family, SOCK_STREAM, IPPROTO_TCP) or croak "socket: $!";
    fcntl $socket, F_SETFL, fcntl($socket, F_GETFL, 0) | O_NONBLOCK;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    if (defined $o{from}) {
        bind $socket, $sockaddr->(0, $o{from}) or croak "bind $o{from}: $!";
    }
    connect($socket, $sockaddr->($port, $address)) or $! == EINPROGRESS or return;
    return $socket;
}

# Takes one response off the front of $$buffer. Returns it, or nothing while
# there is more to come; `$closed` says that there will not be.
sub _take {
    my ($buffer, $method, $closed) = @_;
    my $head_end = index $$buffer, "\r\n\r\n";
    return if $head_end < 0;
    my $head = substr $$buffer, 0, $head_end + 2;
    my ($status) = $head =~ m{^HTTP/1\.[01] (\d\d\d)};
    return {status => 0, head => $head, body => '', complete => 0, error => 'not HTTP'} if !$status;
    if ($status < 200 && $status != 101) {
        substr($$buffer, 0, $head_end + 4) = '';
        return _take($buffer, $method, $closed);
    }
    my ($body, $end) = _body($buffer, $head_end + 4, $head, $status, $method, $closed);
    return if !defined $end;
    substr($$buffer, 0, $end) = '';
    return {status => $status, head => $head, body => $body, complete => 1};
}

# (the body, where it ends), or nothing while it is not complete.
sub _body {
    my ($buffer, $start, $head, $status, $method, $closed) = @_;
    return ('', $start) if $method eq 'HEAD' || $status == 204 || $status == 304;
    if ($head =~ /^Content-Length: *(\d+)\r/mi) {
        return if length $$buffer < $start + $1;
        return (substr($$buffer, $start, $1), $start + $1);
    }
    return _chunked($buffer, $start) if $head =~ /^Transfer-Encoding: *chunked\r/mi;
    return $closed ? (substr($$buffer, $start), length $$buffer) : ();
}

# Does the same as _body() for chunks; the third value is what there is of an incomplete one.
sub _chunked {
    my ($buffer, $at) = @_;
    my $body = '';
    while (1) {
        pos($$buffer) = $at;
        $$buffer =~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/gc or return ($body, undef);
        my ($size, $data) = (hex $1, pos $$buffer);
        return ($body . substr($$buffer, $data, $size), undef) if length $$buffer < $data + $size + 2;
        return ($body, $data + 2) if $size == 0;
        $body .= substr $$buffer, $data, $size;
        $at = $data + $size + 2;
    }
}

sub _parse_headers {
    my ($response) = @_;
    my (undef, @lines) = split /\r\n/, delete $response->{head} // '';
    my %all;
    for my $line (@lines) {
        my ($name, $value) = $line =~ /^([^:]+):[ \t]*(.*?)[ \t]*$/s or next;
        push @{$all{lc $name}}, $value;
    }
    $response->{all} = \%all;
    $response->{headers} = {map { $_ => join ', ', @{$all{$_}} } keys %all};
    return $response;
}

sub _method {
    my ($request) = @_;
    return $request =~ /^(\S+)/ ? $1 : 'GET';
}

package AiLimit::Http::Pending;

use Time::HiRes qw(time);

sub new {
    my ($class, $port, %options) = @_;
    my $request = AiLimit::Http::_format(%options);
    my $self = bless {
        out      => $request,
        in       => '',
        method   => AiLimit::Http::_method($request),
        deadline => time + ($options{deadline} // AiLimit::Http::DEADLINE),
        arrivals => [],
        begun    => time,
        socket   => AiLimit::Http::_connect($port, %options),
    }, $class;
    $self->{error} = "connect: $!" if !$self->{socket};
    # Small requests leave in one write, so that what is started first is first.
    $self->_step(0, 1) while length $self->{out} && $self->_open && time < $self->{deadline};
    return $self;
}

sub arrivals { $_[0]{arrivals} }
sub begun    { $_[0]{begun} }

sub head {
    my ($self) = @_;
    $self->_until(sub { $self->{in} =~ m{^HTTP/1\.[01] [2-5].*?\r\n\r\n}s });
    return $self->{in} =~ m{^HTTP/1\.[01] (\d\d\d)} ? $1 : 0;
}

sub headers {
    my ($self) = @_;
    $self->head;
    my ($head) = $self->{in} =~ /^(.*?\r\n)\r\n/s;
    return AiLimit::Http::_parse_headers({head => $head // ''})->{headers};
}

sub body {
    my ($self) = @_;
    my ($head, $raw) = $self->{in} =~ /^(.*?\r\n)\r\n(.*)$/s or return '';
    return $raw if $head !~ /^Transfer-Encoding: *chunked\r/mi;
    my ($body) = AiLimit::Http::_chunked(\$raw, 0);
    return $body;
}

sub wait_for_body {
    my ($self, $regex) = @_;
    $self->_until(sub { $self->body =~ $regex });
    return $self->body =~ $regex;
}

sub wait_for_size {
    my ($self, $bytes, $seconds) = @_;
    local $self->{deadline} = time + $seconds;
    $self->_until(sub { length $self->body >= $bytes });
    return length $self->body >= $bytes;
}

sub finish {
    my ($self) = @_;
    return $self->{response} if $self->{response};
    my $response;
    $self->_until(sub { $response = AiLimit::Http::_take(\$self->{in}, $self->{method}, 0) });
    $response //= AiLimit::Http::_take(\$self->{in}, $self->{method}, $self->{ended});
    $response //= {
        status   => $self->{in} =~ m{^HTTP/1\.[01] (\d\d\d)} ? $1 : 0,
        head     => $self->{in} =~ /^(.*?\r\n)\r\n/s ? $1 : '',
        body     => $self->body,
        complete => 0,
        error    => $self->{error} // 'no complete answer before the deadline',
    };
    $self->abort;
    return $self->{response} = AiLimit::Http::_parse_headers($response);
}

sub statuses {
    my ($self, $count) = @_;
    my @statuses;
    $self->_until(sub {
        while (my $response = AiLimit::Http::_take(\$self->{in}, $self->{method}, 0)) {
            push @statuses, $response->{status};
        }
        return @statuses >= $count;
    });
    return @statuses;
}

sub abort {
    my ($self) = @_;
    close delete $self->{socket} if $self->{socket};
    return;
}

sub _open { return $_[0]{socket} && !$_[0]{ended} }

sub _until {
    my ($self, $condition) = @_;
    while (!$condition->()) {
        return if !$self->_open || time >= $self->{deadline};
        $self->_step(1, length $self->{out});
    }
    return;
}

sub _step {
    my ($self, $read, $write) = @_;
    my ($r, $w) = ('', '');
    vec($r, fileno $self->{socket}, 1) = 1 if $read;
    vec($w, fileno $self->{socket}, 1) = 1 if $write;
    my $left = $self->{deadline} - time;
    my $ready = select $r, $w, undef, $left > 0 ? $left : 0;
    return if $ready <= 0;
    $self->_write if $write && vec($w, fileno $self->{socket}, 1);
    $self->_read if $read && vec($r, fileno $self->{socket}, 1);
    return;
}

sub _write {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $sent = syswrite $self->{socket}, $self->{out};
    if (defined $sent) {
        substr($self->{out}, 0, $sent) = '';
    } elsif (!$!{EAGAIN} && !$!{EINTR}) {
        # The server may have answered before it closed: go on to read.
        $self->{out} = '';
        $self->{error} = "write: $!";
    }
    return;
}

sub _read {
    my ($self) = @_;
    my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    if ($got) {
        push @{$self->{arrivals}}, [time, substr $self->{in}, -$got];
    } elsif (defined $got || !($!{EAGAIN} || $!{EINTR})) {
        $self->{error} //= defined $got ? 'closed by the server' : "read: $!";
        $self->{ended} = 1;
    }
    return;
}

sub DESTROY { $_[0]->abort }

package AiLimit::Http::Many;

use Carp qw(croak);
use Time::HiRes qw(time);

sub new {
    my ($class, $port, %o) = @_;
    croak 'many() wants requests' if !$o{requests};
    my $self = bless {
        ports       => ref $port ? [@$port] : [$port],
        options     => \%o,
        total       => $o{requests},
        connections => $o{connections} // 1,
        pipeline    => $o{pipeline} // 1,
        next        => 0,
        done        => 0,
        status      => {},
        failed      => 0,
        responses   => [],
        open        => {},
    }, $class;
    $self->{connections} = $self->{total} if $self->{connections} > $self->{total};
    $self->{constant} = AiLimit::Http::_format(%o)
        if !grep { ref $o{$_} eq 'CODE' } qw(path headers body method raw);
    return $self;
}

sub run {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $begin = time;
    my $deadline = $begin + ($self->{options}{deadline} // AiLimit::Http::DEADLINE);
    while ($self->{done} < $self->{total} && time < $deadline) {
        $self->_open_connection
            while keys %{$self->{open}} < $self->{connections} && $self->{next} < $self->{total};
        $self->_turn($deadline - time) if %{$self->{open}};
    }
    $self->_close($_) for values %{$self->{open}};
    # A request that was never sent did not get an answer either.
    $self->{failed} += $self->{total} - $self->{next};
    my %result = (status => $self->{status}, failed => $self->{failed}, seconds => time - $begin);
    if ($self->{options}{keep}) {
        $_ = AiLimit::Http::_parse_headers($_ // {status => 0, body => '', complete => 0})
            for @{$self->{responses}}[0 .. $self->{total} - 1];
        $result{responses} = $self->{responses};
    }
    return \%result;
}

sub _open_connection {
    my ($self) = @_;
    my $port = shift @{$self->{ports}};
    push @{$self->{ports}}, $port;
    my $socket = AiLimit::Http::_connect($port, %{$self->{options}});
    my $connection = {socket => $socket, in => '', out => '', waiting => []};
    $self->_fill($connection);
    return $self->_fail($connection) if !$socket;
    $connection->{fd} = fileno $socket;
    $self->{open}{$connection->{fd}} = $connection;
    return;
}

sub _fill {
    my ($self, $c) = @_;
    while (@{$c->{waiting}} < $self->{pipeline} && $self->{next} < $self->{total}) {
        my $i = $self->{next}++;
        $c->{out} .= $self->{constant} // $self->_format($i);
        push @{$c->{waiting}}, $i;
    }
    return;
}

sub _format {
    my ($self, $i) = @_;
    my %o = %{$self->{options}};
    $o{$_} = $o{$_}->($i) for grep { ref $o{$_} eq 'CODE' } qw(path headers body method raw);
    return AiLimit::Http::_format(%o);
}

sub _turn {
    my ($self, $seconds) = @_;
    my ($r, $w) = ('', '');
    for my $c (values %{$self->{open}}) {
        vec($r, $c->{fd}, 1) = 1;
        vec($w, $c->{fd}, 1) = 1 if length $c->{out};
    }
    return if select($r, $w, undef, $seconds > 0 ? $seconds : 0) <= 0;
    for my $c (values %{$self->{open}}) {
        $self->_write($c) if vec($w, $c->{fd}, 1);
        $self->_read($c) if vec($r, $c->{fd}, 1);
    }
    return;
}

sub _write {
    my ($self, $c) = @_;
    my $sent = syswrite $c->{socket}, $c->{out};
    if (defined $sent) {
        substr($c->{out}, 0, $sent) = '';
    } elsif (!$!{EAGAIN} && !$!{EINTR}) {
        $c->{out} = '';    # the read finds out
    }
    return;
}

sub _read {
    my ($self, $c) = @_;
    my $got = sysread $c->{socket}, $c->{in}, 262_144, length $c->{in};
    return if !defined $got && ($!{EAGAIN} || $!{EINTR});
    my $closed = !$got;
    while (@{$c->{waiting}}) {
        my $response = AiLimit::Http::_take(\$c->{in}, $self->_method, $closed) or last;
        $self->_answer(shift @{$c->{waiting}}, $response);
    }
    return $self->_close($c) if $closed;
    $self->_fill($c);
    return $self->_close($c) if !@{$c->{waiting}};
    # Writes without a wait for select(), as a keepalive client mostly can.
    $self->_write($c) if length $c->{out};
    return;
}

sub _method { return $_[0]{options}{method} // 'GET' }

sub _answer {
    my ($self, $i, $response) = @_;
    $self->{done}++;
    if ($response->{complete}) {
        $self->{status}{$response->{status}}++;
    } else {
        $self->{failed}++;
    }
    $self->{responses}[$i] = $response if $self->{options}{keep};
    return;
}

sub _close {
    my ($self, $c) = @_;
    delete $self->{open}{$c->{fd}};
    close $c->{socket};
    return $self->_fail($c);
}

sub _fail {
    my ($self, $c) = @_;
    my $lost = @{$c->{waiting}};
    $self->{failed} += $lost;
    $self->{done} += $lost;
    $c->{waiting} = [];
    return;
}

1;
