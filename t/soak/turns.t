# Kills 100 workers while 2,000 clients wait for their turn, and reloads 50 times, in about three minutes.
#
#   TURN_KILLS=n TURN_CLIENTS=n TURN_RELOADS=n   other numbers

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use AiLimit::TurnsUnderFire;

AiLimit::TurnsUnderFire->new(
    kills   => $ENV{TURN_KILLS}   // 100,
    clients => $ENV{TURN_CLIENTS} // 2000,
    reloads => $ENV{TURN_RELOADS} // 50,
)->run;
