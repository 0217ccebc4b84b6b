# Kills workers while hundreds of requests wait for their turn, and reloads: every client gets an answer or a closed
# connection in time, and no more pass than the limit allows. t/soak/turns.t does the same for longer, through
# TURN_KILLS=n, TURN_CLIENTS=n and TURN_RELOADS=n.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use AiLimit::TurnsUnderFire;

AiLimit::TurnsUnderFire->new(
    kills   => $ENV{TURN_KILLS}   // 6,
    clients => $ENV{TURN_CLIENTS} // 200,
    reloads => $ENV{TURN_RELOADS} // 2,
)->run;
