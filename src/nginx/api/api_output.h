#pragma once

#include "core/words/text_writer.h"
#include "ngx.h"

namespace ai_limit {

/** Collects the API's answer, piece by piece, in the request's memory. */
class ApiOutput {
public:
    explicit ApiOutput(ngx_http_request_t* r) : r_(r) {}

    /** Returns a writer for a piece of at most so many bytes, which end() takes. */
    TextWriter begin(size_t most);
    void end(const TextWriter& piece);

    /** Adds memory that outlives the request. */
    void add_static(std::string_view text);

    /** Sends the answer, and says what a content handler returns. */
    ngx_int_t send(ngx_uint_t status, std::string_view content_type);

private:
    ngx_buf_t* add_buffer(ngx_buf_t* buffer);

    ngx_http_request_t* r_;
    ngx_chain_t* first_ = nullptr;
    ngx_chain_t* last_ = nullptr;
    off_t size_ = 0;
    bool failed_ = false;
};

constexpr std::string_view kJsonType = "application/json";

/** Answers {"error": "what \"word\""} ; the word is left out if it is empty. */
ngx_int_t send_api_error(ngx_http_request_t* r, ngx_uint_t status, std::string_view what,
                         std::string_view word = {});

/** Adds a header to the answer; its memory outlives the request. NGX_ERROR without memory. */
ngx_int_t add_api_header(ngx_http_request_t* r, std::string_view name, std::string_view value);

}  // namespace ai_limit
