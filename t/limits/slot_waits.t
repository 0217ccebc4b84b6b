# Tests that a client that finds no slot of a concurrency= gets the wait that is likely, from how long earlier requests
# took.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep);

use AiLimit::Http;
use AiLimit::ModelServer;
use AiLimit::Nginx;

use constant TAKES => 1400;    # milliseconds

my $model = AiLimit::ModelServer->start;
my $conf = <<"CONF";
    ai_limit_policy one  key=all concurrency=1;
    ai_limit_policy four key=all concurrency=4;
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /one/  { ai_limit one;  ai_limit_error_format json; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
        location /four/ { ai_limit four; proxy_pass http://127.0.0.1:@{[$model->port]}/; }
    }
CONF
my $nginx = AiLimit::Nginx->start(http => $conf);

my $first = begin('one');
is wait_of(refused('one')), 1000, 'before any request has ended: a second';
is $first->finish->{status}, 200, 'one ends';

my $second = begin('one');
my $answer = refused('one');
my $ms = wait_of($answer);
ok $ms >= TAKES && $ms <= 3 * TAKES, "then it is what that took: $ms ms";
my $seconds = $answer->{headers}{'retry-after'};
ok 1000 * $seconds >= $ms && 1000 * $seconds < $ms + 1000, 'in seconds as well';
is decode_json($answer->{body})->{retry_after}, $seconds, 'and in the body';
my ($logged) = (grep { /limiting requests/ } split /\n/, $nginx->error_log)[-1] =~ /retry after: (\d+)s/;
is $logged, $seconds, 'and in the log';
sleep $ms / 1000;
is get($nginx->port, '/one/v1/models')->{status}, 200, 'the retry after that passes';
is $second->finish->{status}, 200, 'since the slot has come back';

$nginx->reload(http => $conf);
my $third = begin('one');
cmp_ok wait_of(refused('one')), '>', 1000, 'a reload keeps what was learned';
my @four = map { begin('four') } 1 .. 4;
is wait_of(refused('four')), 1000, 'each policy learns for itself';
$_->finish for $third, @four;

my %waits;
my $fourth = begin('one');
$waits{wait_of(refused('one'))}++ for 1 .. 12;
cmp_ok scalar(keys %waits), '>', 1, 'clients that are refused together do not come back together';
$fourth->finish;

$nginx->stop;
done_testing;

# A request in flight.
sub begin {
    my ($place) = @_;
    my $path = "/$place/v1/models?delay=" . TAKES;
    my $request = start_request($nginx->port, path => $path);
    # It has its slot when another one is refused, or all four have begun.
    sleep 0.1;
    return $request;
}

sub refused {
    my ($place) = @_;
    my $answer = get($nginx->port, "/$place/v1/models");
    is $answer->{status}, 429, "$place: all slots are taken";
    return $answer;
}

sub wait_of { return $_[0]{headers}{'retry-after-ms'} // 0 }
