# The pages of docs/recipes/ about packages and containers do what they say, as far as this can be tried without a
# container: the Dockerfile copies files that exist and installs what the build needs, Kubernetes' objects fit together, and
# nginx loads their configuration.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use AiLimit::Http;
use AiLimit::Recipe;
use AiLimit::Redis;

my $root = AiLimit::Recipe::root();

# The nginx.conf of the official image. The first line is what the Dockerfile adds.
my $IMAGE_CONF = <<'CONF';
load_module modules/ngx_http_ai_limit_module.so;
user  nginx;
worker_processes  auto;
events {
    worker_connections  1024;
}
http {
    default_type  application/octet-stream;
    sendfile        on;
    keepalive_timeout  65;
    include /etc/nginx/conf.d/*.conf;
}
CONF

try_recipe 'nginx-org-packages' => sub {
    my ($recipe) = @_;
    $recipe->start;
    $recipe->commands;
};

try_recipe 'docker' => sub {
    my ($recipe) = @_;
    my $nginx = $recipe->start(config => $IMAGE_CONF);
    $recipe->commands;
    $nginx->stop;
    $nginx->launch;
    is get($nginx->port, '/v1/models', 'x-api-key' => 'ann')->{status}, 429, 'counts survive a restart';
};

subtest 'Dockerfile' => sub {
    my @steps = steps("$root/docker/Dockerfile");
    my %known = map { $_ => 1 } qw(ARG FROM RUN WORKDIR COPY EXPOSE);
    is_deeply [grep { !$known{$_->[0]} } @steps], [], 'it has known instructions alone';
    is_deeply [map { $_->[1] } grep { $_->[0] eq 'FROM' } @steps], ['${NGINX_IMAGE} AS build', '${NGINX_IMAGE}'],
        'the module is built in the image that loads it';
    like $steps[0][1], qr/^NGINX_IMAGE=nginx:[\d.]+$/, 'which is an official one';
    my %sent = map { $_ => 1 } AiLimit::Recipe::slurp("$root/docker/Dockerfile.dockerignore") =~ /^!(\S+)$/mg;
    for my $copy (map { $_->[1] } grep { $_->[0] eq 'COPY' } @steps) {
        my @sources = split ' ', $copy;
        pop @sources;
        next if $sources[0] =~ /^--from=/;
        for my $source (@sources) {
            ok -e "$root/$source", "COPY $source: it exists";
            ok $sent{$source =~ s{/.*}{}r}, 'and is sent to the builder';
        }
    }
    my @runs = map { $_->[1] } grep { $_->[0] eq 'RUN' } @steps;
    for my $run (@runs) {
        is system('sh', '-n', '-c', $run), 0, 'the shell reads: ' . substr $run, 0, 50;
    }
    my ($deps) = AiLimit::Recipe::slurp("$root/scripts/deps.sh") =~ /^build=\((.*)\)/m;
    my %installed = map { $_ => 1 } map { split ' ' } map { /apt-get install(.*)/ ? $1 : () } @runs;
    is_deeply [grep { !$installed{$_} && !/^nginx/ } split ' ', $deps], [], 'it installs what a build needs';
    is_deeply [grep { !m{^https://nginx\.org/} } "@runs" =~ m{\w+://\S+}g], [], "it fetches from nginx's own site alone";
    my ($sed) = "@runs" =~ /(sed -i '1i [^']+')/;
    is qx(printf 'user nginx;\n' > $root/build/nginx.conf.tmp; $sed $root/build/nginx.conf.tmp; cat $root/build/nginx.conf.tmp; rm $root/build/nginx.conf.tmp),
        "load_module modules/ngx_http_ai_limit_module.so;\nuser nginx;\n", 'it loads the module first';
};

subtest 'the packages of the libraries' => sub {
    my $module = AiLimit::Nginx::module_path() or plan skip_all => 'the module is not built';
    plan skip_all => 'this is no Debian' if !-x '/usr/bin/dpkg-query';
    my @packages = split ' ', qx($root/docker/runtime-packages.sh $module);
    is $?, 0, 'the script ends well';
    is scalar(grep { /^libhiredis/ } @packages), 1, 'hiredis is among them';
    is scalar(grep { /^libssl/ } @packages), 1, 'OpenSSL, too';
    is_deeply [grep { qx(dpkg-query -W -f='\${db:Status-Status}' $_) ne 'installed' } @packages], [], 'and all are packages that are installed here';
};

try_recipe 'kubernetes' => sub {
    my ($recipe) = @_;
    my %object = map { $_->{kind} => $_ } yaml("$root/conf-examples/kubernetes.yaml");
    is_deeply [sort keys %object], [qw(ConfigMap Deployment Service)], 'the file has the objects that the page names';
    my $pod = $object{Deployment}{spec}{template};
    my ($container) = @{$pod->{spec}{containers}};
    is_deeply $pod->{metadata}{labels}, $object{Deployment}{spec}{selector}{matchLabels}, 'the Deployment finds its pods';
    is_deeply $pod->{metadata}{labels}, $object{Service}{spec}{selector}, 'and so does the Service';
    my %port = map { $_->{name} => $_->{containerPort} } @{$container->{ports}};
    is $object{Service}{spec}{ports}[0]{targetPort}, 'http', 'which leads to the port of the API alone';
    is $pod->{spec}{volumes}[0]{configMap}{name}, $object{ConfigMap}{metadata}{name}, 'the pods have the ConfigMap';
    my $conf = $object{ConfigMap}{data}{'default.conf'};
    is_deeply [$conf =~ /listen (\d+);/g], [@port{qw(http metrics)}], 'nginx listens on the ports of the container';
    is $pod->{metadata}{annotations}{'prometheus.io/port'}, $port{metrics}, 'Prometheus asks the port of the metrics';

    my $redis = AiLimit::Redis->start;
    for ($conf) {
        s/resolver kube-dns\S+ /resolver 127.0.0.1:1 / or die;
        s/redis\.default\.svc\.cluster\.local/127.0.0.1/ or die;
        s/model-server\.default\.svc\.cluster\.local:8000/127.0.0.1:8081/ or die;
    }
    my $nginx = $recipe->start(redis => $redis, config => $IMAGE_CONF,
        files => {'/etc/nginx/conf.d/default.conf' => $conf});
    my $probe = $container->{readinessProbe}{httpGet};
    is get($nginx->port, $probe->{path})->{status}, 200, 'the probe passes';
    my $statuses = many($nginx->port, requests => 70, path => '/v1/models', headers => ['x-api-key' => 'ann'])->{status};
    is_deeply $statuses, {200 => 60, 429 => 10}, 'a client is limited';
    is get($nginx->port, $probe->{path})->{status}, 200, 'the probe is not';
    my $metrics = get($nginx->port(1), $pod->{metadata}{annotations}{'prometheus.io/path'})->{body};
    like $metrics, qr/^ai_limit_redis_up 1$/m, 'the metrics are where Prometheus looks for them';
    is get($nginx->port, '/metrics')->{status}, 404, 'and not where clients come';
};

done_testing;

# The instructions of a Dockerfile, each as [name, rest], without comments and with the lines joined.
sub steps {
    my ($path) = @_;
    my $text = AiLimit::Recipe::slurp($path);
    $text =~ s/^#.*\n//mg;
    $text =~ s/\\\n/ /g;
    return map { /^(\w+)\s+(.*)$/ ? [$1, $2] : [$_, ''] } grep { /\S/ } split /\n/, $text;
}

# The documents of a YAML file.
sub yaml {
    my ($path) = @_;
    require YAML::XS;
    return YAML::XS::LoadFile($path);
}
