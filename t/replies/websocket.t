# Upgrades to WebSocket: refused with 426 where tokens are counted, since nothing is counted in a WebSocket.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Api;
use AiLimit::Http;
use AiLimit::Nginx;

# An upstream that accepts any upgrade, tells which one it was, and echoes.
my $upstream = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $!";
my $upstream_pid = fork // die "fork: $!";
if (!$upstream_pid) {
    serve();
    exit 0;
}

END { kill TERM => $upstream_pid if $upstream_pid }

my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    map \$http_x_plan \$plan { default \$http_x_plan; }
    ai_limit_policy requests key=\$http_x_key rate=5r/h;
    ai_limit_policy tokens   key=\$http_x_key rate=1kt/h reserve=max;
    ai_limit_policy tried    key=\$http_x_key rate=1kt/h dry_run reserve=max;
    ai_limit_policy planned  key=\$http_x_key rate=\$plan;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        add_header X-Status \$ai_limit_status always;
        proxy_pass_request_headers on;
        proxy_http_version 1.1;
        proxy_set_header Upgrade \$http_upgrade;
        proxy_set_header Connection upgrade;

        location /ai_limit/ { ai_limit_api; }
        location /free/     { proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /requests/ { ai_limit requests; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /tokens/   { ai_limit requests tokens; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /planned/  { ai_limit planned; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /pass/     { ai_limit tokens; ai_limit_websocket pass; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /tried/    { ai_limit tried; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /dry/      { ai_limit tokens; ai_limit_dry_run on; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location /page/     { ai_limit tokens; error_page 426 = \@page; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        location \@page     { return 426 "no websocket\\n"; }
        location /refuse_page/ {
            ai_limit_websocket refuse;
            error_page 426 = /refuse_page/page;
            location = /refuse_page/page { try_files /none \@page; }
            location /refuse_page/recursive/ { recursive_error_pages on; error_page 426 = /refuse_page/recursive/page; }
            location = /refuse_page/recursive/page { recursive_error_pages on; error_page 426 = /refuse_page/recursive/page; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        }
        location /refuse/ {
            ai_limit_websocket refuse;
            proxy_pass http://127.0.0.1:@{[$upstream->sockport]};
            location /refuse/requests/ { ai_limit requests; proxy_pass http://127.0.0.1:@{[$upstream->sockport]}; }
        }
    }
CONF
my $keys = 0;

subtest 'an upgrade is refused if tokens are counted' => sub {
    $keys++;
    my $answer = upgrade('/tokens/v1/responses');
    is $answer->{status}, 426, 'an upgrade is refused';
    is decode_json($answer->{body})->{error}{code}, 'upgrade_required', 'in the dialect of its path';
    is $answer->{headers}{upgrade}, 'HTTP/1.1', 'with the protocol to use instead';
    like $answer->{headers}{connection}, qr/\bUpgrade\b/, 'as a header of this connection';
    like upgrade('/tokens/v1/messages')->{body}, qr/"type":"invalid_request_error"/, "in Anthropic's as well";
    is plain('/tokens/v1/responses')->{headers}{'x-ratelimit-remaining'}, 4, 'and costs no request';
    like $nginx->error_log, qr/\[error\].* refusing an upgrade to WebSocket/, 'the log says so';

    is upgrade('/planned/', 'X-Plan' => '10kt/m')->{status}, 426, 'by a variable rate in tokens, too';
    is upgrade('/planned/', 'X-Plan' => '10r/m')->{status}, 101, 'but not in requests';
    is upgrade('/planned/', 'X-Plan' => '')->{status}, 101, 'nor where there is none';
    is upgrade('/page/')->{body}, "no websocket\n", 'error_page has its way';
    is upgrade('/refuse_page/')->{body}, "no websocket\n", 'also with a page that refuses upgrades itself';
    my $page = upgrade('/refuse_page/recursive/');
    is "$page->{status} $page->{body}", "200 upgrade=\n", 'and one of an upstream, which does not hear of the upgrade';
};

subtest 'an upgrade is refused however it is written' => sub {
    $keys++;
    is upgrade('/tokens/', Upgrade => $_)->{status}, 426, $_
        for 'WebSocket', 'WEBSOCKET', 'websocket/13', 'h2c, websocket', "h2c,\twebsocket ", ',websocket';
    is upgrade('/tokens/', Upgrade => ['h2c', 'websocket'])->{status}, 426, 'in the second of two headers';
    is upgrade('/tokens/', Upgrade => ['websocket', 'h2c'])->{status}, 426, 'in the first of two headers';
    is request($nginx->port, method => 'POST', path => '/tokens/', body => '{}',
        headers => ['X-Key' => "k$keys", Upgrade => 'websocket', Connection => 'Upgrade'])->{status}, 426, 'with a body';
};

subtest 'other protocols' => sub {
    $keys++;
    my $answer = upgrade('/tokens/', Upgrade => 'h2c');
    is $answer->{status}, 200, 'an offer to change is ignored';
    is $answer->{body}, "upgrade=\n", 'and the upstream does not hear of it';
    is $answer->{headers}{'x-ratelimit-remaining'}, 4, 'the request is counted';
    is upgrade('/tokens/', Upgrade => 'websockets')->{status}, 200, 'so is one that only resembles WebSocket';
    is upgrade('/refuse/requests/', Upgrade => 'h2c')->{headers}{'x-ratelimit-remaining'}, 2, 'where no policy is in tokens, too';
};

subtest 'what operators see' => sub {
    $keys++;
    my $api = AiLimit::Api->new($nginx->port);
    my %before = map { $_ => $api->policy($_) } qw(requests tokens);
    my $more = sub {
        my ($policy, $count, $name) = @_;
        return $api->policy($policy)->{$count}{$name} - $before{$policy}{$count}{$name};
    };
    upgrade('/tokens/');
    is $more->('tokens', 'requests', 'rejected'), 1, 'the policy in tokens counts a refusal';
    is $more->('tokens', 'rejections', 'never'), 1, 'which no wait helps';
    is $more->('requests', 'requests', 'rejected'), 0, 'the one in requests does not';
    upgrade('/refuse/requests/');
    is $more->('requests', 'rejections', 'never'), 1, 'but where every upgrade is refused';
    is $more->('requests', 'requests', 'passed') + $more->('tokens', 'requests', 'passed'), 0, 'nothing passes';
    is upgrade('/tokens/')->{headers}{'x-status'}, 'REJECTED', 'and $ai_limit_status says so';
    is upgrade('/refuse/requests/')->{headers}{'x-status'}, 'REJECTED', 'there, too';
};

subtest 'an upgrade passes if no tokens are counted' => sub {
    $keys++;
    for my $path ('/free/', '/requests/', '/pass/', '/tried/', '/dry/') {
        my $answer = upgrade($path);
        is $answer->{status}, 101, "$path: passes";
        like $answer->{body}, qr/^echo: hello/, 'both ways';
    }
    is plain('/requests/')->{headers}{'x-ratelimit-remaining'}, 3, 'and counts as a request';
    is upgrade('/refuse/')->{status}, 426, 'refuse: not without a policy';
    is upgrade('/refuse/requests/')->{status}, 426, 'nor with one in requests';
    is plain('/requests/')->{headers}{'x-ratelimit-remaining'}, 2, 'which it costs nothing';
};

$nginx->stop;
kill TERM => $upstream_pid;
waitpid $upstream_pid, 0;
done_testing;

sub plain {
    my ($path) = @_;
    return get($nginx->port, $path, 'X-Key' => "k$keys");
}

# Returns the answer to an upgrade. The body of a 101 is what comes back for a word.
sub upgrade {
    my ($path, %headers) = @_;
    %headers = ('X-Key' => "k$keys", Upgrade => 'websocket', Connection => 'Upgrade', 'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => 'AAAAAAAAAAAAAAAAAAAAAA==', %headers);
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $nginx->port, Timeout => 20) or die "connect: $!";
    my $head = "GET $path HTTP/1.1\r\nHost: h\r\n";
    for my $name (sort keys %headers) {
        $head .= "$name: $_\r\n" for ref $headers{$name} ? @{$headers{$name}} : $headers{$name};
    }
    syswrite $socket, "$head\r\n";
    my %answer = (headers => {}, body => '');
    local $SIG{ALRM} = sub { die "no answer to $path\n" };
    alarm AiLimit::Nginx::PATIENCE;
    ($answer{status}) = (readline($socket) // '') =~ m{^HTTP/1\.1 (\d+)};
    while (defined(my $line = readline $socket)) {
        $line =~ s/\r\n\z//;
        last if $line eq '';
        my ($name, $value) = split /: /, $line, 2;
        $name = lc $name;
        $answer{headers}{$name} = join ', ', grep { defined } $answer{headers}{$name}, $value;
    }
    if ($answer{status} == 101) {
        syswrite $socket, "hello\n";
        $answer{body} = readline $socket;
    }
    elsif (my $length = $answer{headers}{'content-length'}) {
        read $socket, $answer{body}, $length;
    }
    elsif (($answer{headers}{'transfer-encoding'} // '') eq 'chunked') {
        read $socket, $answer{body}, hex readline $socket;
    }
    alarm 0;
    return \%answer;
}

sub serve {
    $SIG{CHLD} = 'IGNORE';
    $SIG{TERM} = 'DEFAULT';
    while (my $c = $upstream->accept) {
        next if fork // die "fork: $!";
        alarm 60;
        my %headers;
        readline $c;
        while (defined(my $line = readline $c)) {
            last if $line eq "\r\n";
            $headers{lc $1} = $2 if $line =~ /^([^:]+): *(.*?)\r\n/;
        }
        if ($headers{upgrade}) {
            syswrite $c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: $headers{upgrade}\r\n\r\n";
            my $word = readline $c;
            syswrite $c, "echo: $word" if defined $word;
        }
        else {
            my $body = 'upgrade=' . ($headers{upgrade} // '') . "\n";
            syswrite $c, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
        }
        exit 0;
    }
    return;
}
