#include "nginx/api/api_output.h"

#include "core/json/json_writer.h"

namespace ai_limit {

namespace {

constexpr size_t kBufferSize = 16 * 1024;
constexpr size_t kMaxErrorJson = 2048;
constexpr size_t kMaxErrorWord = 128;

}  // namespace

ngx_buf_t* ApiOutput::add_buffer(ngx_buf_t* buffer) {
    ngx_chain_t* link = buffer != nullptr ? ngx_alloc_chain_link(r_->pool) : nullptr;
    if (link == nullptr) {
        failed_ = true;
        return nullptr;
    }
    link->buf = buffer;
    link->next = nullptr;
    (last_ != nullptr ? last_->next : first_) = link;
    last_ = link;
    return buffer;
}

TextWriter ApiOutput::begin(size_t most) {
    ngx_buf_t* buffer = last_ != nullptr ? last_->buf : nullptr;
    if (buffer == nullptr || !buffer->temporary ||
        static_cast<size_t>(buffer->end - buffer->last) < most) {
        buffer = add_buffer(ngx_create_temp_buf(r_->pool, ngx_max(most, kBufferSize)));
    }
    if (buffer == nullptr) {
        return {nullptr, 0};
    }
    return {reinterpret_cast<char*>(buffer->last), static_cast<size_t>(buffer->end - buffer->last)};
}

void ApiOutput::end(const TextWriter& piece) {
    failed_ |= piece.overflowed();
    if (!failed_) {
        last_->buf->last += piece.view().size();
        size_ += static_cast<off_t>(piece.view().size());
    }
}

void ApiOutput::add_static(std::string_view text) {
    ngx_buf_t* buffer = add_buffer(static_cast<ngx_buf_t*>(ngx_calloc_buf(r_->pool)));
    if (buffer != nullptr) {
        buffer->memory = 1;
        buffer->pos = to_ngx(text).data;
        buffer->last = buffer->pos + text.size();
        size_ += static_cast<off_t>(text.size());
    }
}

ngx_int_t ApiOutput::send(ngx_uint_t status, std::string_view content_type) {
    if (failed_ || last_ == nullptr || add_api_header(r_, "Cache-Control", "no-store") != NGX_OK ||
        add_api_header(r_, "X-Content-Type-Options", "nosniff") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = ngx_http_discard_request_body(r_);
    if (rc != NGX_OK) {
        return rc;
    }
    r_->headers_out.status = status;
    r_->headers_out.content_type = to_ngx(content_type);
    // The length leaves out the parameters, as gzip looks for it.
    r_->headers_out.content_type_len = content_type.substr(0, content_type.find(';')).size();
    r_->headers_out.content_length_n = size_;
    last_->buf->last_buf = r_ == r_->main;
    last_->buf->last_in_chain = 1;
    rc = ngx_http_send_header(r_);
    return rc == NGX_ERROR || rc > NGX_OK || r_->header_only ? rc
                                                             : ngx_http_output_filter(r_, first_);
}

ngx_int_t send_api_error(ngx_http_request_t* r, ngx_uint_t status, std::string_view what,
                         std::string_view word) {
    ApiOutput output(r);
    TextWriter out = output.begin(kMaxErrorJson);
    out.text("{\"error\":\"");
    out.json(what);
    if (!word.empty()) {
        out.text(" \\\"");
        out.json(word.substr(0, kMaxErrorWord));
        out.text("\\\"");
    }
    out.text("\"}\n");
    output.end(out);
    return output.send(status, kJsonType);
}

ngx_int_t add_api_header(ngx_http_request_t* r, std::string_view name, std::string_view value) {
    ngx_table_elt_t* header = static_cast<ngx_table_elt_t*>(ngx_list_push(&r->headers_out.headers));
    if (header == nullptr) {
        return NGX_ERROR;
    }
    unlink_header(header);
    header->hash = 1;
    header->key = to_ngx(name);
    header->value = to_ngx(value);
    return NGX_OK;
}

}  // namespace ai_limit
