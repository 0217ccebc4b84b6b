# The pages of docs/recipes/ about browsers, protocols and providers do what they say.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use AiLimit::Certificate;
use AiLimit::Http;
use AiLimit::Recipe;

my $CHAT = '/v1/chat/completions';
my $BODY = '{"model":"test-model","messages":[{"role":"user","content":"Hi"}]}';

try_recipe 'browsers' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my @page = (Origin => 'https://app.example.com', 'x-api-key' => 'bob');
    my $preflight = request($nginx->port, method => 'OPTIONS', path => '/v1/models', headers => \@page);
    like $preflight->{headers}{'access-control-allow-headers'}, qr/x-api-key/, 'a preflight allows the header with the key';
    get($nginx->port, '/v1/models', @page) for 1 .. 3;
    my $refused = get($nginx->port, '/v1/models', @page);
    is $refused->{status}, 429, 'a refusal';
    my %exposed = map { lc $_ => 1 } split /, /, $refused->{headers}{'access-control-expose-headers'};
    my @hidden = grep { /retry|rate/i && !$exposed{$_} } keys %{$refused->{headers}};
    is_deeply \@hidden, [], 'a page may read all headers of a refusal that describe the limit';
    is_deeply $refused->{all}{'access-control-allow-origin'}, ['https://app.example.com'], 'and the refusal itself';
    is get($nginx->port, '/v1/models', Origin => 'https://evil.example')->{headers}{'access-control-allow-origin'},
        undef, 'pages of others may not';
    SKIP: {
        my $chromium = chromium() // skip 'there is no Chromium', 1;
        $nginx->stop;
        like what_a_browser_sees($recipe, $chromium), qr/200 200 200 429 after [1-9]\d* s/,
            'a page in Chromium sees three answers, then the refusal and how long to wait';
    }
};

try_recipe 'two-accounts' => sub {
    my ($recipe) = @_;
    $recipe->start;
    $recipe->commands;
};

try_recipe 'provider-tls' => sub {
    my ($recipe) = @_;
    my $ca = AiLimit::Certificate->new('api.openai.com');
    my $provider = provider($recipe, $ca);
    my $start = sub {
        my ($trusted) = @_;
        return $recipe->start(change => sub {
            s/server api\.openai\.com:443/"server 127.0.0.1:" . $provider->port/e or die;
            s{/etc/ssl/certs/ca-certificates\.crt}{$trusted} or die;
        });
    };
    my $nginx = $start->($ca->authority);
    $recipe->commands;
    my @keys = map { $_ => 'demo' } qw(x-api-key api-key x-goog-api-key);
    my $answer = post($nginx->port, '/v1/chat/completions?prompt_tokens=60000&completion_tokens=50000', $BODY, @keys, Cookie => 'a=b');
    is $answer->{status}, 200, 'a client with a known key gets an answer';
    my $seen = decode_json(get($recipe->model->port, '/last')->{body})->{headers};
    is $seen->{authorization}, 'Bearer sk-the-key-that-the-provider-gave-you', 'the provider gets its own key';
    is_deeply [grep { $seen->{$_} =~ /demo/ } keys %$seen], [], 'and none of the keys of the client';
    is $seen->{cookie}, undef, 'nor its cookies';
    is $seen->{'x-seen-host'}, 'api.openai.com', 'the request names the provider as its host';
    is $seen->{'x-seen-sni'}, 'api.openai.com', 'as does the TLS handshake';
    is post($nginx->port, $CHAT, $BODY, @keys)->{status}, 429, 'the client is limited by the tokens that it has used';
    is get($nginx->port, '/v1/models')->{status}, 401, 'a request without a key is refused';
    $nginx->stop;
    $nginx = $start->(AiLimit::Certificate->new('api.openai.com')->authority);
    is post($nginx->port, $CHAT, $BODY, @keys)->{status}, 502, 'a provider with a certificate of an unknown authority is not asked';
    $provider->stop;
};

try_recipe 'fallback-provider' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start;
    $recipe->commands;
    my $ask = sub { post($nginx->port, "$CHAT?" . ($_[1] // ''), $_[2] // $BODY, 'x-api-key' => $_[0]) };
    my $count = sub { decode_json(get($recipe->model(1)->port, '/count')->{body})->{count} };
    # Both servers understand the wish. Behind the second one it is not heard.
    my $by = sub { $_[0]{headers}{'x-served-by'} // 'first' };
    is $by->($ask->('bob')), 'first', 'the first provider answers';
    for my $status (429, 500, 503) {
        my $before = $count->();
        my $answer = $ask->("client $status", "status=$status");
        is_deeply [$by->($answer), $count->() - $before], ['second', 1], "$status: the second one is asked, once";
    }
    my $stream = $ask->('eve', 'prompt_tokens=60000&completion_tokens=50000', $BODY =~ s/\{/{"stream":true,/r);
    like $stream->{body}, qr/Hello.*\[DONE\]/s, 'a stream arrives';
    unlike $stream->{body}, qr/prompt_tokens/, 'without the usage that the client did not ask for';
    is $ask->('eve')->{status}, 429, 'and is charged for it';
    $recipe->model(0)->stop;
    my @answers = map { $ask->('cid', 'prompt_tokens=30000&completion_tokens=20000', $BODY =~ s/\{/{"max_tokens":100,/r) } 1 .. 3;
    is_deeply [map { $_->{status} } @answers], [200, 200, 429], 'the first provider is gone: the second one answers';
    is $by->($answers[1]), 'second', 'which says so';
    is decode_json($answers[0]{body})->{choices}[0]{message}{content}, 'Hello from the model server.', 'to the whole request';
    is decode_json($answers[2]{body})->{error}{code}, 'insufficient_quota', 'and is charged. A client over its limit gets the refusal';
    $ask->('dan', 'status=400') for 1 .. 3;
    my $before = $count->();
    is $ask->('dan')->{status}, 429, 'also one over its limit in requests';
    is $count->(), $before, 'without asking the second provider';
};

try_recipe 'http3' => sub {
    my ($recipe) = @_;
    my $nginx = AiLimit::Nginx::binary();
    plan skip_all => 'this nginx has no HTTP/3' if qx($nginx -V 2>&1) !~ /--with-http_v3_module/;
    my $certificate = AiLimit::Certificate->new('api.example.com');
    my $server = $recipe->start(files => {'/etc/nginx/api.example.com.crt' => $certificate->text, '/etc/nginx/api.example.com.key' => $certificate->key_text});
    my $port = $server->port;
    # CURL_BIN names a curl that knows HTTP/3.
    my $curl = $ENV{CURL_BIN} // 'curl';
    my $get = sub {
        my ($version) = @_;
        return qx($curl -sk --http$version -o /dev/null -w '%{http_version} %{http_code}' -H 'x-api-key: ann' https://127.0.0.1:$port/v1/models);
    };
    my $knows_http3 = qx($curl -V) =~ /HTTP3/;
    diag 'this curl has no HTTP/3: HTTP/2 is tried in its place' if !$knows_http3;
    is_deeply [map { $get->($_) } '1.1', 2, $knows_http3 ? ('3-only', '3-only') : (2, 2)],
        ['1.1 200', '2 200', $knows_http3 ? ('3 200', '3 429') : ('2 200', '2 429')], 'one count for all protocols';
    my $head = qx($curl -skI https://127.0.0.1:$port/v1/models);
    like $head, qr/^alt-svc: h3=":443"; ma=86400\r$/mi, 'clients learn of HTTP/3';
};

done_testing;

sub chromium {
    return (grep { -x } map { ("$_/chromium", "$_/chromium-browser") } split /:/, $ENV{PATH})[0];
}

# Lets a browser open a page of another origin than the API's, which asks the API four times. Returns what the page shows
# then.
sub what_a_browser_sees {
    my ($recipe, $chromium) = @_;
    my $app = AiLimit::Nginx->prepare(module => 0);
    my $origin = 'http://127.0.0.1:' . $app->port;
    my $api = $recipe->start(change => sub { s{https://app\.example\.com  }{$origin } or die });
    my $url = 'http://127.0.0.1:' . $api->port . '/v1/models';
    $app->write_file('page.html', <<"HTML");
        <!doctype html><p id="seen"></p>
        <script type="module">
            const seen = document.querySelector('#seen');
            for (let i = 0; i < 4; i++) {
                const answer = await fetch('$url', {headers: {'x-api-key': 'a page'}}).catch(String);
                seen.append((answer.status ?? answer) + ' ');
                if (answer.status === 429) seen.append('after ' + answer.headers.get('retry-after') + ' s');
            }
        </script>
HTML
    $app->write_config(http => 'server { listen 127.0.0.1:%%PORT_0%%; root %%DIR%%; types { text/html html; } }');
    $app->launch;
    my $profile = File::Temp->newdir;
    my $seen = qx($chromium --headless --no-sandbox --disable-gpu --user-data-dir=$profile --virtual-time-budget=10000 --dump-dom $origin/page.html 2>/dev/null);
    $app->stop;
    return $seen;
}

# A TLS server that shows the model server behind it what it was asked for.
sub provider {
    my ($recipe, $certificate) = @_;
    return AiLimit::Nginx->start(
        module => 0,
        files => {'tls.crt' => $certificate->text, 'tls.key' => $certificate->key_text},
        http => <<"CONF");
            server {
                listen 127.0.0.1:%%PORT_0%% ssl;
                ssl_certificate %%DIR%%/tls.crt;
                ssl_certificate_key %%DIR%%/tls.key;
                location / {
                    proxy_set_header X-Seen-Host \$http_host;
                    proxy_set_header X-Seen-SNI \$ssl_server_name;
                    proxy_pass http://127.0.0.1:@{[$recipe->model->port]};
                }
            }
CONF
}
