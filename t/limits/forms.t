# Forms (multipart/form-data and application/x-www-form-urlencoded): their model, their text and other fields are
# read as those of a JSON body; files are not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    ai_limit_body_field \$user /user;
    ai_limit_policy tokens key=all rate=1t/month burst=1000000000 reserve=max;
    ai_limit_policy user key=\$user rate=1r/h burst=1;
    client_body_buffer_size 1k;
    client_max_body_size 20m;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        add_header X-Said "\$ai_limit_model \$ai_limit_stream \$ai_limit_reserved_tokens" always;
        location / { ai_limit tokens; proxy_pass http://127.0.0.1:@{[$model->port]}; }
        location /user { ai_limit user; proxy_pass http://127.0.0.1:@{[$model->port]}; }
    }
CONF

my $MULTIPART = 'multipart/form-data; boundary=----b';
my $PAIRS = 'application/x-www-form-urlencoded';

sub answer {
    my ($type, $body, %o) = @_;
    return request($nginx->port, method => 'POST', path => $o{path} // '/v1/audio/transcriptions', body => $body,
        headers => ['Content-Type' => $type]);
}

# Model, stream and the reserved tokens.
sub said { return answer(@_)->{headers}{'x-said'} }

# A form of [name, value, more parameters] each.
sub form {
    return join('', map { "------b\r\nContent-Disposition: form-data; name=\"$_->[0]\"@{[$_->[2] // '']}\r\n\r\n$_->[1]\r\n" } @_)
        . "------b--\r\n";
}

my @fields = (['model', 'whisper-1'], ['prompt', 'x' x 40]);
my $sound = ['file', join('', map { chr($_ % 256) } 1 .. 5_000_000), '; filename="a.mp3"'];

is said($MULTIPART, form(@fields)), 'whisper-1 0 10', 'model and prompt of a form';
is said($MULTIPART, form(@fields, ['stream', 'true'], ['max_tokens', '7'])), 'whisper-1 1 17', 'and other fields';
is said($MULTIPART, form($sound, @fields)), 'whisper-1 0 10', 'behind a large file';
is said($MULTIPART, form(@fields, $sound)), 'whisper-1 0 10', 'and before it';
is said($MULTIPART, form(['model', 'm'], ['note', 'x' x 40])), 'm 0 10', 'without a prompt all text is one';
is said($PAIRS, 'model=whisper%2D1&prompt=' . 'x+' x 20), 'whisper-1 0 10', 'pairs';
is said($PAIRS, '{"model":"m","prompt":"' . 'x' x 40 . '"}'), 'm 0 10', "JSON with curl's usual type";
is said($MULTIPART, '{"model":"m","prompt":"' . 'x' x 40 . '"}'), 'm 0 10', 'JSON with the type of a form';

my %ambiguous = (
    'two models' => [$MULTIPART, form(@fields, ['model', 'gpt-9'])],
    'two models in pairs' => [$PAIRS, 'model=a&prompt=b&model=c'],
    'two boundaries' => ["$MULTIPART; boundary=c", form(@fields)],
    'two types' => [[$MULTIPART, 'multipart/form-data; boundary=c'], form(@fields)],
    'no boundary' => ['multipart/form-data', form(@fields)],
    'a boundary behind LF alone' => [$MULTIPART, form(@fields) =~ s/\r\n------b--/\n------b--/r],
    'no end' => [$MULTIPART, form(@fields) =~ s/------b--\r\n$//r],
    'an encoded part' => [$MULTIPART, form(@fields) =~ s/\r\n\r\nwhisper/\r\nContent-Transfer-Encoding: base64\r\n\r\nwhisper/r],
);
is answer(@{$ambiguous{$_}})->{status}, 400, "$_: refused, since servers do not agree on what it says" for sort keys %ambiguous;

my @statuses = map { answer($MULTIPART, form(['user', $_]), path => '/user')->{status} } qw(ann ann bob);
is_deeply [map { $_ == 429 ? 1 : 0 } @statuses], [0, 1, 0], 'a field of a form is a field of the body';

$nginx->stop;
done_testing;
