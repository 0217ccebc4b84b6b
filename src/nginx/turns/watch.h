#pragma once

// Notices that a key for which requests wait in this worker must be looked at: something has
// changed in its queue (core/turns/queue.h), or its time has come. A worker reads a few counters of
// each zone every few milliseconds, however many keys it watches: while nothing changes, they cost
// nothing but a timer each.

#include "core/decide/charge.h"
#include "timer.h"

namespace ai_limit {

struct WatchedZone;

/** One key that is watched. Zero when that begins; it must not move until it ends. */
struct Watch {
    ngx_queue_t link;
    WatchedZone* zone;
    Timer timer;
};

/** Begins to watch the key whose entry has the tag. False if there is no memory for that. */
bool begin_watch(Watch* watch, const ZoneAccess* access, uint64_t tag);

void end_watch(Watch* watch);

/** Has the key looked at in `delay` milliseconds, and not before unless something changes. */
void look_in(Watch* watch, Millis delay);

/** Has the key looked at as soon as if something had changed. */
void look_soon(Watch* watch);

/** Are called when a queue may have changed, of this key or of another one, and when the time has
 * come. They may end this watch and begin others (waiting_keys.cpp). */
void look_if_changed(Watch* watch);
void look_when_due(Watch* watch);

}  // namespace ai_limit
