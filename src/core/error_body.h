#pragma once

// What a refused client reads, in the form that its SDK expects.
// A new format is one row of the table in error_body.cpp.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/text_writer.h"
#include "core/types.h"

namespace ai_limit {

/** kOff leaves the body to the server. */
enum class ErrorFormat : uint8_t { kJson, kOpenAi, kAnthropic, kGemini, kProblem, kOff };

/**
 * Bytes that every body fits into, as long as the policy's name and the request id have no more
 * than kMaxErrorText each.
 */
constexpr size_t kMaxErrorBody = 1024;
constexpr size_t kMaxErrorText = 64;

/** The format that the configuration calls by this name, in `format`; false where there is none. */
bool find_error_format(std::string_view name, ErrorFormat* format);

/** Static and NUL-terminated; empty for kOff. */
std::string_view error_content_type(ErrorFormat format);

/**
 * Writes the body that says why `reported` refused, for an answer with this HTTP status. The
 * request id may be empty. False for kOff, and where `out` has too little room.
 */
bool write_error_body(ErrorFormat format, const Description& reported, unsigned status,
                      std::string_view request_id, TextWriter& out);

}  // namespace ai_limit
