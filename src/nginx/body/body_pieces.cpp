#include "nginx/body/body_pieces.h"

namespace ai_limit {

namespace {

// A worker does one thing at a time.
u_char piece_of_file[BodyPieces::kMost];

}  // namespace

void BodyPieces::begin(ngx_chain_t* link) {
    rest_ = link;
    at_ = link != nullptr && !is_in_memory(link->buf) ? link->buf->file_pos : 0;
}

std::string_view BodyPieces::next(size_t most) {
    for (; rest_ != nullptr; begin(rest_->next)) {
        ngx_buf_t* buf = rest_->buf;
        if (is_in_memory(buf)) {
            off_t left = buf->last - buf->pos - at_;
            if (left > 0) {
                size_t size = ngx_min(static_cast<size_t>(left), most);
                std::string_view piece = {reinterpret_cast<char*>(buf->pos) + at_, size};
                at_ += static_cast<off_t>(size);
                return piece;
            }
        } else if (buf->in_file && at_ < buf->file_last) {
            return next_of_file(buf, most);
        }
    }
    return {};
}

std::string_view BodyPieces::next_of_file(ngx_buf_t* buf, size_t most) {
    size_t size = static_cast<size_t>(ngx_min(buf->file_last - at_, static_cast<off_t>(most)));
    ssize_t n = buf->file->fd != NGX_INVALID_FILE
                    ? ngx_read_file(buf->file, piece_of_file, size, at_)
                    : NGX_ERROR;
    if (n <= 0) {
        if (n == 0) {
            ngx_log_error(NGX_LOG_ALERT, r_->connection->log, 0,
                          "ai_limit: the file of the request body is shorter than it was");
        }
        rest_ = nullptr;
        failed_ = true;
        return {};
    }
    at_ += n;
    return {reinterpret_cast<char*>(piece_of_file), static_cast<size_t>(n)};
}

bool has_body_file(ngx_http_request_t* r) {
    for (ngx_chain_t* link = r->request_body->bufs; link != nullptr; link = link->next) {
        if (link->buf->in_file) {
            return true;
        }
    }
    return false;
}

uint64_t body_size(ngx_http_request_t* r) {
    off_t size = 0;
    for (ngx_chain_t* link = r->request_body->bufs; link != nullptr; link = link->next) {
        size += ngx_buf_size(link->buf);
    }
    return static_cast<uint64_t>(size);
}

}  // namespace ai_limit
