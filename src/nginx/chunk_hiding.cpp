#include "nginx/chunk_hiding.h"

#include <new>

#include "core/usage_chunk.h"

namespace ai_limit {

namespace {

ngx_buf_tag_t tag() {
    return static_cast<ngx_buf_tag_t>(&ngx_http_ai_limit_module);
}

}  // namespace

struct ChunkHiding {
    UsageChunkFilter filter;
    ngx_pool_t* pool;
    ngx_chain_t* free_parts;   // buffers that show memory of the answer's own,
    ngx_chain_t* free_copies;  // and those with memory for an event that was held
    ngx_chain_t* busy;
    bool flushed;  // nothing has gone on since a flush did; at first, the header has
};

namespace {

/** The chain of what passes. */
class Shown {
public:
    Shown(ChunkHiding* hiding, ngx_chain_t** out) : hiding_(hiding), end_(out) { *end_ = nullptr; }

    /** Shows what the filter lets pass of a buffer, and all that the buffer says beside it. */
    void take(ngx_buf_t* buf) {
        source_ = buf;
        last_ = part_ = nullptr;
        bool in_memory = is_in_memory(buf);
        if (in_memory) {
            hiding_->filter.feed(
                {reinterpret_cast<char*>(buf->pos), static_cast<size_t>(buf->last - buf->pos)},
                *this);
        }
        if (buf->last_buf) {
            hiding_->filter.finish(*this);
        }
        if (!in_memory) {
            pass_on(buf);
            return;
        }
        if (part_ != nullptr) {
            part_->shadow = buf;
        } else {
            buf->pos = buf->last;
        }
        take_flags(*buf);
    }

    /** Called by the filter. */
    void pass(std::string_view text) {
        if (failed_) {
            return;
        }
        u_char* begin = to_ngx(text).data;
        bool is_part = is_in_memory(source_) && begin >= source_->pos && begin < source_->last;
        if (is_part) {
            show(begin, begin + text.size());
        } else {
            copy(text);
        }
    }

    bool failed() const { return failed_; }

private:
    void show(u_char* begin, u_char* end) {
        if (part_ != nullptr && part_ == last_ && part_->last == begin) {
            part_->last = end;
            return;
        }
        ngx_buf_t* buf = add(&hiding_->free_parts);
        if (buf != nullptr) {
            buf->start = buf->pos = begin;
            buf->last = buf->end = end;
            buf->memory = 1;
            part_ = buf;
        }
    }

    void copy(std::string_view text) {
        ngx_buf_t* buf = add(&hiding_->free_copies);
        if (buf == nullptr) {
            return;
        }
        if (buf->start == nullptr) {
            buf->start =
                static_cast<u_char*>(ngx_palloc(hiding_->pool, UsageChunkFilter::kMaxHeld));
        }
        failed_ = buf->start == nullptr;
        if (!failed_) {
            buf->pos = buf->start;
            buf->end = buf->start + UsageChunkFilter::kMaxHeld;
            buf->last = ngx_cpymem(buf->start, text.data(), text.size());
            buf->temporary = 1;
        }
    }

    /** A buffer without bytes, as it came. */
    void pass_on(ngx_buf_t* buf) {
        ngx_chain_t* link = ngx_alloc_chain_link(hiding_->pool);
        failed_ = failed_ || link == nullptr;
        if (failed_) {
            return;
        }
        link->buf = buf;
        append(link);
        hiding_->flushed = hiding_->flushed || buf->flush;
    }

    /** The last buffer says them. One without bytes says them alone, but no flush of nothing. */
    void take_flags(const ngx_buf_t& from) {
        if (last_ == nullptr) {
            bool flushes = from.flush && !hiding_->flushed;
            if (!flushes && !from.last_buf && !from.last_in_chain) {
                return;
            }
            ngx_chain_t* none = nullptr;
            if (add(&none) == nullptr) {
                return;
            }
            last_->sync = 1;
        }
        last_->flush = from.flush;
        last_->recycled = from.recycled;
        last_->last_buf = from.last_buf;
        last_->last_in_chain = from.last_in_chain;
        hiding_->flushed = from.flush;
    }

    /** An empty buffer that keeps the memory it has; nullptr without memory. */
    ngx_buf_t* add(ngx_chain_t** free) {
        ngx_chain_t* link = ngx_chain_get_free_buf(hiding_->pool, free);
        if (link == nullptr) {
            failed_ = true;
            return nullptr;
        }
        u_char* start = link->buf->start;
        ngx_memzero(link->buf, sizeof(ngx_buf_t));
        link->buf->start = start;
        link->buf->tag = tag();
        append(link);
        return last_ = link->buf;
    }

    void append(ngx_chain_t* link) {
        link->next = nullptr;
        *end_ = link;
        end_ = &link->next;
    }

    ChunkHiding* hiding_;
    ngx_chain_t** end_;
    ngx_buf_t* source_ = nullptr;
    ngx_buf_t* last_ = nullptr;  // of those made of the source
    ngx_buf_t* part_ = nullptr;  // the last that shows its memory
    bool failed_ = false;
};

/** What said something without bytes may still be waiting somewhere: it is not used again. */
ngx_chain_t** free_list_of(ChunkHiding* hiding, const ngx_buf_t& buf) {
    if (buf.tag != tag() || !is_in_memory(&buf)) {
        return nullptr;
    }
    return buf.temporary ? &hiding->free_copies : &hiding->free_parts;
}

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
    Shown shown(hiding, out);
    for (; in != nullptr && !shown.failed(); in = in->next) {
        shown.take(in->buf);
    }
    return shown.failed() ? NGX_ERROR : NGX_OK;
}

void note_sent(ChunkHiding* hiding, ngx_chain_t* out) {
    ngx_chain_t** end = &hiding->busy;
    while (*end != nullptr) {
        end = &(*end)->next;
    }
    *end = out;
    while (hiding->busy != nullptr) {
        ngx_chain_t* link = hiding->busy;
        ngx_buf_t* buf = link->buf;
        bool ours = buf->tag == tag();
        if (ours && ngx_buf_size(buf) != 0) {
            return;
        }
        hiding->busy = link->next;
        if (ours && buf->shadow != nullptr) {
            buf->shadow->pos = buf->shadow->last;
        }
        ngx_chain_t** free = free_list_of(hiding, *buf);
        if (free == nullptr) {
            ngx_free_chain(hiding->pool, link);
            continue;
        }
        link->next = *free;
        *free = link;
    }
}

}  // namespace ai_limit
