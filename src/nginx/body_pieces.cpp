#include "nginx/body_pieces.h"

namespace ai_limit {

namespace {

// A worker does one thing at a time.
constexpr size_t kPiece = 64 * 1024;
u_char piece_of_file[kPiece];

}  // namespace

void BodyPieces::step() {
    rest_ = rest_->next;
    at_ = rest_ != nullptr ? rest_->buf->file_pos : 0;
}

std::string_view BodyPieces::next() {
    while (rest_ != nullptr) {
        ngx_buf_t* buf = rest_->buf;
        std::string_view piece;
        if (ngx_buf_in_memory(buf)) {
            piece = {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)};
            step();
        } else if (buf->in_file) {
            piece = next_of_file(buf);
        } else {
            step();
        }
        if (!piece.empty()) {
            return piece;
        }
    }
    return {};
}

std::string_view BodyPieces::next_of_file(ngx_buf_t* buf) {
    off_t left = buf->file_last - at_;
    if (left <= 0 || buf->file->fd == NGX_INVALID_FILE) {
        step();
        return {};
    }
    size_t size = static_cast<size_t>(ngx_min(left, static_cast<off_t>(kPiece)));
    ssize_t n = ngx_read_file(buf->file, piece_of_file, size, at_);
    if (n <= 0) {
        if (n == 0) {
            ngx_log_error(NGX_LOG_ALERT, r_->connection->log, 0,
                          "ai_limit: the file of the request body is shorter than it was");
        }
        rest_ = nullptr;
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

}  // namespace ai_limit
