#!/usr/bin/env perl
# Prints what one greedy and four modest tenants get of a limit, without share= and with it:
#
#   make run CONF=fair                   in one terminal
#   perl scripts/fair-load.pl 8080 20    in another: the port, and for how many seconds

use strict;
use warnings;

use HTTP::Tiny;
use Time::HiRes qw(sleep time);

my ($port, $seconds) = ($ARGV[0] // 8080, $ARGV[1] // 20);
my %per_second = (greedy => 50, map { ("modest-$_" => 0.9) } 1 .. 4);
my %places = (without => '/unshared/v1/models', with => '/v1/models');
my $http = HTTP::Tiny->new(timeout => 10);

my $begin = time;
my %next = map { $_ => $begin + rand() / $per_second{$_} } keys %per_second;
my (%asked, %got);
while (time < $begin + $seconds) {
    my ($tenant) = sort { $next{$a} <=> $next{$b} } keys %next;
    my $early = $next{$tenant} - time;
    sleep $early if $early > 0;
    $next{$tenant} += 1 / $per_second{$tenant};
    $asked{$tenant}++;
    for my $way (keys %places) {
        my $answer = $http->get("http://127.0.0.1:$port$places{$way}", {headers => {'x-api-key' => "key-$tenant"}});
        $answer->{status} =~ /^(?:200|429)$/ or die "nginx answers $answer->{status}: $answer->{content}\n";
        $got{$way}{$tenant} += $answer->{status} == 200;
    }
}

printf "| %-8s | %9s | %14s | %11s |\n", 'tenant', 'asked for', 'without share=', 'with share=';
print "|---|---:|---:|---:|\n";
printf "| %-8s | %9d | %14d | %11d |\n", $_, $asked{$_} // 0, $got{without}{$_} // 0, $got{with}{$_} // 0
    for sort keys %per_second;
