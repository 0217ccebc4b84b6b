#pragma once

// Reads the lengths and points of time that providers write into headers and bodies.

#include <string_view>

#include "core/words/types.h"

namespace ai_limit {

/** Longer lengths than this are read as this: 366 days. */
constexpr Millis kLongestTimeText = Millis{366} * 24 * 3600 * 1000;

/**
 * Reads a length of time: seconds with or without decimals (`30`, `11.38`), or Go's durations
 * (`6m0s`, `120ms`, `1h2m3.5s`), rounded up to whole milliseconds. False, and `length` untouched,
 * for everything else, such as a negative length.
 */
bool read_duration(std::string_view text, Millis* length);

/**
 * Reads a point in time, in milliseconds since the epoch: RFC 3339's `2025-08-21T12:40:59Z`, also
 * with an offset or a fraction, or the date of HTTP `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110,
 * 5.6.7, without its obsolete forms). False, and `time` untouched, for everything else.
 */
bool read_time(std::string_view text, Millis* time);

/**
 * Reads either as the length from `now`, by the wall clock. What is past is 0.
 */
bool read_time_until(std::string_view text, Millis now, Millis* length);

}  // namespace ai_limit
