package ModelServer::Sse;

# Streams of server-sent events, in all the forms that servers write them in:
# sse=FORM[,FORM ...] with
#   crlf, cr   line ends
#   nospace    no space behind "data:"
#   comments   a comment before each event
#   lines      each event's data in two lines
#   open       no line end behind the last event

use strict;
use warnings;

use Exporter qw(import);

use ModelServer::Request qw(json_text);

our @EXPORT = qw(data event sse);

# One event with this data, as JSON.
sub data { return 'data: ' . json_text($_[0]) . "\n\n" }

# The same with a name.
sub event {
    my ($name, $data) = @_;
    return "event: $name\n" . data($data);
}

# The answer with these events.
sub sse {
    my ($request, @events) = @_;
    my %form = map { $_ => 1 } split /,/, $request->{wishes}{sse} // '';
    $events[-1] =~ s/\n+\z// if $form{open};
    for (@events) {
        s/^(data: .*?),(.*)$/$1,\ndata: $2/m if $form{lines};
        s/^data: /data:/mg if $form{nospace};
        $_ = ": ping\n\n$_" if $form{comments};
        s/\n/\r\n/g if $form{crlf};
        tr/\n/\r/ if $form{cr};
    }
    return {type => 'text/event-stream', pieces => \@events};
}

1;
