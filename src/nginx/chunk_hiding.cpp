#include "nginx/chunk_hiding.h"

#include <new>

#include "core/usage_chunk.h"

namespace ai_limit {

namespace {

constexpr size_t kBuffer = 8 * 1024;

ngx_buf_tag_t tag() {
    return static_cast<ngx_buf_tag_t>(&ngx_http_ai_limit_module);
}

}  // namespace

struct ChunkHiding {
    UsageChunkFilter filter;
    ngx_pool_t* pool;
    ngx_chain_t* free;
    ngx_chain_t* busy;
};

namespace {

/** Copies what passes into buffers of our own. */
class Copy {
public:
    Copy(ChunkHiding* hiding, ngx_chain_t** out) : hiding_(hiding), end_(out) { *end_ = nullptr; }

    /** Called by the filter. */
    void pass(std::string_view text) {
        while (!text.empty() && !failed_) {
            if (last_ == nullptr || last_->last == last_->end) {
                add_buffer();
                continue;
            }
            size_t room = static_cast<size_t>(last_->end - last_->last);
            size_t size = ngx_min(room, text.size());
            last_->last = ngx_cpymem(last_->last, text.data(), size);
            text.remove_prefix(size);
        }
    }

    /** What `from` says beside its bytes is said by the last buffer, or by one without bytes. */
    void take_flags(const ngx_buf_t& from) {
        if (!from.flush && !from.last_buf && !from.sync && !from.last_in_chain) {
            return;
        }
        if (last_ == nullptr) {
            add_buffer();
            if (failed_) {
                return;
            }
            last_->temporary = 0;
            last_->sync = 1;
        }
        last_->flush |= from.flush;
        last_->last_buf |= from.last_buf;
        last_->last_in_chain |= from.last_in_chain;
        last_ = nullptr;
    }

    bool failed() const { return failed_; }

private:
    void add_buffer() {
        ngx_chain_t* link = ngx_chain_get_free_buf(hiding_->pool, &hiding_->free);
        if (link == nullptr) {
            failed_ = true;
            return;
        }
        u_char* start = link->buf->start;
        if (start == nullptr) {
            start = static_cast<u_char*>(ngx_palloc(hiding_->pool, kBuffer));
            failed_ = start == nullptr;
        }
        ngx_memzero(link->buf, sizeof(ngx_buf_t));
        link->buf->start = link->buf->pos = link->buf->last = start;
        link->buf->end = failed_ ? start : start + kBuffer;
        link->buf->temporary = 1;
        link->buf->tag = tag();
        link->next = nullptr;
        last_ = failed_ ? nullptr : link->buf;
        *end_ = link;
        end_ = &link->next;
    }

    ChunkHiding* hiding_;
    ngx_chain_t** end_;
    ngx_buf_t* last_ = nullptr;
    bool failed_ = false;
};

}  // namespace

ChunkHiding* make_chunk_hiding(ngx_http_request_t* r) {
    void* memory = ngx_palloc(r->pool, sizeof(ChunkHiding));
    if (memory == nullptr) {
        return nullptr;
    }
    ChunkHiding* hiding = new (memory) ChunkHiding();
    hiding->pool = r->pool;
    return hiding;
}

ngx_int_t hide_chunk(ChunkHiding* hiding, ngx_chain_t* in, ngx_chain_t** out) {
    Copy copy(hiding, out);
    for (; in != nullptr; in = in->next) {
        ngx_buf_t* buf = in->buf;
        if (ngx_buf_in_memory(buf)) {
            hiding->filter.feed(
                {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)},
                copy);
            buf->pos = buf->last;
        }
        if (buf->last_buf) {
            hiding->filter.finish(copy);
        }
        copy.take_flags(*buf);
        if (copy.failed()) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

void note_sent(ChunkHiding* hiding, ngx_chain_t* out) {
    ngx_chain_update_chains(hiding->pool, &hiding->free, &hiding->busy, &out, tag());
}

}  // namespace ai_limit
