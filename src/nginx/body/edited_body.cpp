#include "nginx/body/edited_body.h"

#include "nginx/body/body_pieces.h"

namespace ai_limit {

namespace {

/** Longer values than this are not written over. */
constexpr size_t kMostOver = 64;

ngx_int_t set_length(ngx_http_request_t* r, off_t size) {
    r->headers_in.content_length_n = size;
    ngx_table_elt_t* header = r->headers_in.content_length;
    if (header == nullptr) {
        return NGX_OK;
    }
    u_char* text = static_cast<u_char*>(ngx_pnalloc(r->pool, NGX_OFF_T_LEN));
    if (text == nullptr) {
        return NGX_ERROR;
    }
    header->value.data = text;
    header->value.len = static_cast<size_t>(ngx_sprintf(text, "%O", size) - text);
    return NGX_OK;
}

/** Returns the file in which all of the body lies, from its beginning on; nullptr if there is none.
 */
ngx_file_t* file_of_body(ngx_http_request_t* r) {
    const ngx_chain_t* link = r->request_body->bufs;
    const bool is_one = link != nullptr && link->next == nullptr && !is_in_memory(link->buf) &&
                        link->buf->in_file && link->buf->file_pos == 0;
    return is_one ? link->buf->file : nullptr;
}

/** True if nothing becomes longer. */
bool fit(const BodyEdits& edits) {
    for (const BodyEdit& edit : edits) {
        if (edit.remove > kMostOver || edit.insert.size() > edit.remove) {
            return false;
        }
    }
    return true;
}

/** Writes each edit over what it removes, with spaces behind it, which JSON allows at any place
 * where an edit ends. */
ngx_int_t write_over(ngx_file_t* file, const BodyEdits& edits) {
    for (const BodyEdit& edit : edits) {
        u_char text[kMostOver];
        ngx_memset(text, ' ', sizeof(text));
        ngx_memcpy(text, edit.insert.data(), edit.insert.size());
        const off_t end = file->offset;
        const ssize_t n = ngx_write_file(file, text, edit.remove, static_cast<off_t>(edit.offset));
        file->offset = end;
        if (n != static_cast<ssize_t>(edit.remove)) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

/** Takes the changed body: in memory, or in a file if the one before lay in one. */
class NewBody {
public:
    NewBody(ngx_http_request_t* r, off_t size) : r_(r), size_(size) {}

    ngx_int_t begin(bool in_file) {
        buf_ = static_cast<ngx_buf_t*>(ngx_calloc_buf(r_->pool));
        if (buf_ == nullptr) {
            return NGX_ERROR;
        }
        return in_file ? begin_file() : begin_memory();
    }

    ngx_int_t write(std::string_view text) {
        if (text.empty()) {
            return NGX_OK;
        }
        if (file_ == nullptr) {
            if (text.size() > static_cast<size_t>(buf_->end - buf_->last)) {
                return NGX_ERROR;
            }
            buf_->last = ngx_cpymem(buf_->last, text.data(), text.size());
            return NGX_OK;
        }
        ngx_buf_t piece{};
        piece.pos = piece.start = to_ngx(text).data;
        piece.last = piece.end = piece.pos + text.size();
        piece.memory = 1;
        ngx_chain_t chain = {&piece, nullptr};
        ssize_t written = ngx_write_chain_to_temp_file(file_, &chain);
        if (written != static_cast<ssize_t>(text.size())) {
            return NGX_ERROR;
        }
        file_->offset += written;
        return NGX_OK;
    }

    /** Writes what a piece at `offset` has from `done` on, up to `end`. */
    ngx_int_t write_until(std::string_view piece, uint64_t offset, uint64_t* done, uint64_t end) {
        if (*done >= end) {
            return NGX_OK;
        }
        const std::string_view text = piece.substr(*done - offset, end - *done);
        *done = end;
        return write(text);
    }

    /** Puts it in the place of the request's body. */
    ngx_int_t finish() {
        ngx_chain_t* link = ngx_alloc_chain_link(r_->pool);
        if (link == nullptr) {
            return NGX_ERROR;
        }
        if (file_ != nullptr) {
            buf_->in_file = 1;
            buf_->file = &file_->file;
            buf_->file_last = file_->offset;
            ngx_fd_t former = r_->request_body->temp_file->file.fd;
            r_->request_body->temp_file = file_;
            ngx_pool_run_cleanup_file(r_->pool, former);
        }
        *link = {buf_, nullptr};
        r_->request_body->bufs = link;
        return set_length(r_, size_);
    }

private:
    ngx_int_t begin_memory() {
        buf_->start = static_cast<u_char*>(ngx_palloc(r_->pool, static_cast<size_t>(size_)));
        if (buf_->start == nullptr) {
            return NGX_ERROR;
        }
        buf_->pos = buf_->last = buf_->start;
        buf_->end = buf_->start + size_;
        buf_->temporary = 1;
        return NGX_OK;
    }

    ngx_int_t begin_file() {
        file_ = static_cast<ngx_temp_file_t*>(ngx_pcalloc(r_->pool, sizeof(ngx_temp_file_t)));
        if (file_ == nullptr) {
            return NGX_ERROR;
        }
        *file_ = *r_->request_body->temp_file;
        file_->file = {};
        file_->file.fd = NGX_INVALID_FILE;
        file_->file.log = r_->connection->log;
        file_->log_level = 0;  // the first one was noted in the log already
        file_->pool = r_->pool;
        file_->offset = 0;
        return NGX_OK;
    }

    ngx_http_request_t* r_;
    off_t size_;
    ngx_buf_t* buf_ = nullptr;
    ngx_temp_file_t* file_ = nullptr;
};

/** Writes all of the body but what is removed, and what is inserted in its place. */
ngx_int_t write_edited(ngx_http_request_t* r, const BodyEdits& edits, NewBody* body) {
    const BodyEdit* edit = edits.begin();
    uint64_t offset = 0;  // of the piece in the body
    uint64_t done = 0;    // so much of the body has been written or removed
    BodyPieces pieces(r);
    for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
        const uint64_t end = offset + piece.size();
        for (; edit != edits.end() && edit->offset < end; ++edit) {
            if (body->write_until(piece, offset, &done, edit->offset) != NGX_OK ||
                body->write(edit->insert) != NGX_OK) {
                return NGX_ERROR;
            }
            done = edit->offset + edit->remove;
        }
        if (body->write_until(piece, offset, &done, end) != NGX_OK) {
            return NGX_ERROR;
        }
        offset = end;
    }
    return edit == edits.end() && !pieces.has_failed() ? NGX_OK : NGX_ERROR;
}

/** `set` or `map` may have read it before. */
void forget_content_length_variable(ngx_http_request_t* r) {
    static constexpr std::string_view kName = "content_length";
    ngx_http_core_main_conf_t* core = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_get_module_main_conf(r, ngx_http_core_module));
    ngx_http_variable_t* variables = static_cast<ngx_http_variable_t*>(core->variables.elts);
    for (ngx_uint_t i = 0; i < core->variables.nelts; ++i) {
        if (view(variables[i].name) == kName) {
            r->variables[i].valid = 0;
            r->variables[i].not_found = 0;
        }
    }
}

/** Puts a changed copy in the place of the body. */
ngx_int_t copy_body(ngx_http_request_t* r, const BodyEdits& edits) {
    off_t size = static_cast<off_t>(body_size(r));
    for (const BodyEdit& edit : edits) {
        size += static_cast<off_t>(edit.insert.size()) - static_cast<off_t>(edit.remove);
    }
    NewBody body(r, size);
    if (body.begin(has_body_file(r)) != NGX_OK || write_edited(r, edits, &body) != NGX_OK) {
        return NGX_ERROR;
    }
    return body.finish();
}

ngx_int_t write_body(ngx_http_request_t* r, const BodyEdits& edits) {
    ngx_file_t* file = file_of_body(r);
    if (file == nullptr || !fit(edits)) {
        return copy_body(r, edits);
    }
    return write_over(file, edits) == NGX_OK ? set_length(r, static_cast<off_t>(body_size(r)))
                                             : NGX_ERROR;
}

}  // namespace

ngx_int_t edit_body(ngx_http_request_t* r, const BodyEdits& edits) {
    if (write_body(r, edits) != NGX_OK) {
        return NGX_ERROR;
    }
    forget_content_length_variable(r);
    return NGX_OK;
}

}  // namespace ai_limit
