#pragma once

// Reads a request's body that nginx has read, from memory and from its temporary file.

#include "ngx.h"

namespace ai_limit {

/** The pieces of a body, in their order. */
class BodyPieces {
public:
    explicit BodyPieces(ngx_http_request_t* r) : r_(r), rest_(r->request_body->bufs) {
        if (rest_ != nullptr) {
            at_ = rest_->buf->file_pos;
        }
    }

    /**
     * The next piece, which is valid until the next call; empty behind the last one, and where the
     * file cannot be read, which is logged.
     */
    std::string_view next();

private:
    std::string_view next_of_file(ngx_buf_t* buf);
    void step();

    ngx_http_request_t* r_;
    ngx_chain_t* rest_;
    off_t at_ = 0;  // in the file of the first buffer of `rest_`
};

/** Whether any of the body lies in a temporary file. */
bool has_body_file(ngx_http_request_t* r);

}  // namespace ai_limit
