#pragma once

// Writes the body that a refused client reads, in the form that its SDK expects. A new format is a
// name in ErrorFormat, a function that writes it and one row of the table in error_body.cpp; the
// configuration knows it by that row. A new kind of error is one row of the table in
// error_kind.cpp.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/reply/error_kind.h"
#include "core/words/text_writer.h"
#include "core/words/types.h"

namespace ai_limit {

/**
 * kOff leaves the body to the server. kAuto stands for the format of the path (dialect.h). Both
 * stay behind the formats that have a body.
 */
enum class ErrorFormat : uint8_t {
    kJson,
    kOpenAi,
    kAnthropic,
    kGemini,
    kOllama,
    kBedrock,
    kCohere,
    kProblem,
    kOff,
    kAuto
};

/**
 * Bytes that every body fits into, as long as the policy's name and the request id have no more
 * than kMaxErrorText each, and a sentence no more than kMaxErrorSentence.
 */
constexpr size_t kMaxErrorBody = 2048;
constexpr size_t kMaxErrorText = 64;
constexpr size_t kMaxErrorSentence = 256;

/** The format that the configuration calls by this name, in `format`; false if there is none. */
bool find_error_format(std::string_view name, ErrorFormat* format);

/** Writes the names of the formats that have a body: `json, openai, …`. */
void list_error_formats(TextWriter& out);

/** Static and NUL-terminated; empty for kOff and kAuto. */
std::string_view error_content_type(ErrorFormat format);

/**
 * Returns the value of the header x-amzn-errortype in this format; empty in formats without that
 * header.
 */
std::string_view error_type_header(ErrorFormat format, ErrorKind kind);

/**
 * Writes the body that says why `reported` refused, for an answer with this HTTP status. The
 * request id may be empty. False for kOff and kAuto, and where `out` has too little room.
 */
bool write_error_body(ErrorFormat format, const Description& reported, unsigned status,
                      std::string_view request_id, TextWriter& out);

/**
 * Writes a body that says this sentence, for an error that no policy has decided. `sentence` ends
 * with a period and has at most kMaxErrorSentence bytes; it is escaped. Otherwise as above.
 */
bool write_error_body(ErrorFormat format, ErrorKind kind, std::string_view sentence,
                      unsigned status, std::string_view request_id, TextWriter& out);

}  // namespace ai_limit
