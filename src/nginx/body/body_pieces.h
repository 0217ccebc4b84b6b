#pragma once

// Reads a request's body that nginx has read, from memory and from its temporary file, byte for
// byte. For what the body says, read its text (body_text.h).

#include "ngx.h"

namespace ai_limit {

/** The pieces of a body, in their order. Trivially copyable; it may wait between two pieces. */
class BodyPieces {
public:
    /** Bytes of a piece at most. */
    static constexpr size_t kMost = 64 * 1024;

    explicit BodyPieces(ngx_http_request_t* r) : r_(r) { begin(r->request_body->bufs); }

    /**
     * Returns the next piece, of at most `most` bytes, which is valid until the next call for any
     * body. Empty behind the last one, and if the file cannot be read, which is logged.
     */
    std::string_view next(size_t most = kMost);

    /** The last `size` bytes of the last piece come again. */
    void put_back(size_t size) { at_ -= static_cast<off_t>(size); }

    /** The file could not be read. */
    bool has_failed() const { return failed_; }

private:
    void begin(ngx_chain_t* link);
    std::string_view next_of_file(ngx_buf_t* buf, size_t most);

    ngx_http_request_t* r_;
    ngx_chain_t* rest_;
    off_t at_;  // in the first buffer of `rest_`, or in its file
    bool failed_ = false;
};

/** True if any of the body lies in a temporary file. */
bool has_body_file(ngx_http_request_t* r);

/** Bytes of the body, wherever they lie. */
uint64_t body_size(ngx_http_request_t* r);

}  // namespace ai_limit
