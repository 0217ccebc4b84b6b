#pragma once

// Undoes the compression of an answer, in a copy that is read and thrown away: what the client gets
// stays as it is.

#include "ngx.h"

namespace ai_limit {

enum class ContentCoding : uint8_t { kNone, kDeflate, kGzip, kBrotli, kUnknown };

/** Returns the coding of a value of Content-Encoding; empty is kNone. kBrotli only if the module
 * was built with it. */
ContentCoding content_coding(std::string_view value);

struct AnswerDecoder;

/** Makes a decoder for one answer; the request's pool owns it. nullptr without memory. */
AnswerDecoder* make_answer_decoder(ngx_http_request_t* r, ContentCoding coding);

/**
 * Decodes from the front of `rest` and removes what it has read. Returns what it could decode,
 * which is valid until the next call for any answer; empty if nothing more comes from `rest`,
 * which is empty then. What follows a mistake is skipped.
 */
std::string_view decode(AnswerDecoder* decoder, std::string_view* rest);

/** True if what was decoded is one complete coded text, without a mistake and with nothing behind
 * it. */
bool is_whole(const AnswerDecoder* decoder);

/** There was a mistake, or something stands behind the end. */
bool is_broken(const AnswerDecoder* decoder);

/** Gives its memory back before the request ends; only is_whole() may follow. */
void end_decoding(AnswerDecoder* decoder);

}  // namespace ai_limit
