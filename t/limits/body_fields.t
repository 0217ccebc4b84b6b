# ai_limit_body_field: a policy's key is a value from the request's JSON body.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Compress::Zlib qw(memGzip);
use Test::More;

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

my $model = AiLimit::ModelServer->start;
my $nginx = AiLimit::Nginx->start(http => <<"CONF");
    ai_limit_body_field \$user /user;
    ai_limit_body_field \$user_id /metadata/user_id;
    ai_limit_body_field \$tool /params/name;
    map \$tool \$dear_tool { default ''; draw draw; }
    ai_limit_policy user    key=\$user rate=1r/h burst=1;
    ai_limit_policy user_id key=\$http_x_key:\$user_id rate=1r/h burst=1;
    ai_limit_policy tool    key=\$dear_tool rate=1r/h burst=1;
    client_body_buffer_size 1k;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        add_header X-User "[\$user]" always;
        location /user    { ai_limit user;    proxy_pass http://127.0.0.1:@{[$model->port]}/v1/chat/completions; }
        location /user_id { ai_limit user_id; proxy_pass http://127.0.0.1:@{[$model->port]}/v1/chat/completions; }
        location /tool    { ai_limit tool;    proxy_pass http://127.0.0.1:@{[$model->port]}/v1/chat/completions; }
        location /unread  { return 204; }
    }
CONF

sub statuses {
    my ($path, @bodies) = @_;
    return [map { post($nginx->port, $path, $_)->{status} } @bodies];
}

is_deeply statuses('/user', '{"user":"ann","messages":[]}', '{"messages":[],"user":"ann"}', '{"user":"bob"}', '{"user":"a\u006en"}'),
    [200, 429, 200, 429], 'each user has a limit';
is_deeply statuses('/user', '{"user":17}', '{"user":"17"}', '{"user":true}', '{"user":"true"}'), [200, 429, 200, 429],
    'numbers and booleans are text';
is_deeply statuses('/user', ('{"user":null}', '{}', '{"user":{"a":1}}', '') x 2), [(200) x 8], 'without a user there is none';
is_deeply statuses('/user', '{"user":"x","user":"ann"}'), [429], 'of two the last counts';
is post($nginx->port, '/user', '{"user":"eve\r\nX-Admin: 1"}')->{headers}{'x-user'}, '[eve%0D%0AX-Admin: 1]', 'no line ends';

my $filler = '"messages":[{"role":"user","content":"' . 'x' x 100_000 . '"}]';
is_deeply statuses('/user', "{$filler,\"user\":\"file\"}", "{\"user\":\"file\",$filler}"), [200, 429], 'bodies in files are read';
is_deeply [map { post($nginx->port, '/user', memGzip($_), 'Content-Encoding' => 'gzip')->{status} } ('{"user":"zip"}') x 2],
    [200, 429], 'and compressed ones';

my $long = 'l' x 1100;
is_deeply statuses('/user', map { "{\"user\":\"$long$_\"}" } 1, 1, 2), [200, 429, 200], 'long values stay apart';
is length(post($nginx->port, '/user', "{\"user\":\"$long\"}")->{headers}{'x-user'}), 1024 + 2, 'within 1 KB';

is_deeply statuses('/user_id', '{"metadata":{"user_id":"a"}}', '{"metadata":{"user_id":"a"}}', '{"metadata":{"user_id":"b"}}'),
    [200, 429, 200], 'an inner value, as a part of a key';
is_deeply statuses('/tool', map { qq({"method":"tools/call","params":{"name":"$_"}}) } qw(look draw look draw)), [200, 200, 200, 429],
    'through a map';
my @calls = map { qq({"method":"tools/call","params":{"name":"$_"}}) } qw(draw look);
is_deeply statuses('/tool', "[$calls[0]]", "[$calls[1]]", "[$calls[0],$calls[1]]", "[$calls[0],$calls[0]]", "[{\"id\":1},$calls[0]]"),
    [429, 200, 400, 400, 429], 'a batch of one call is that call, and one of several is refused';
like $nginx->error_log, qr/body is a batch of several requests/i, 'which the log shows';
is get($nginx->port, '/unread')->{headers}{'x-user'}, '[]', 'empty where no body is read';

$nginx->stop;
done_testing;
