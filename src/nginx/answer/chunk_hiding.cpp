#include "nginx/answer/chunk_hiding.h"

#include <new>

#include "core/usage/usage_chunk.h"

namespace ai_limit {

namespace {

constexpr size_t kCopySize = 4096;

/** A longer run of bytes is shown where it lies. */
constexpr size_t kLongestCopy = 1024;

ngx_buf_tag_t tag() {
    return static_cast<ngx_buf_tag_t>(&ngx_http_ai_limit_module);
}

}  // namespace

struct ChunkHiding {
    UsageChunkFilter filter;
    ngx_pool_t* pool;
    ngx_chain_t* free_parts;   // buffers that show memory of the answer's own,
    ngx_chain_t* free_copies;  // and those with memory of kCopySize
    ngx_chain_t* busy;
    bool begun;      // the first bytes have been seen
    bool is_stream;  // and may be a stream of events
    bool flushed;    // nothing has gone on since a flush did; at first, the header has
};

namespace {

/** The chain of what passes of a buffer. */
class Shown {
public:
    Shown(ChunkHiding* hiding, ngx_chain_t** end) : hiding_(hiding), end_(end) {}

    /** Shows what the filter lets pass, and all that the buffer says beside it. */
    void take(ngx_buf_t* buf, const KnownRun& found) {
        bool in_memory = is_in_memory(buf);
        if (in_memory) {
            source_begin_ = reinterpret_cast<char*>(buf->pos);
            source_end_ = reinterpret_cast<char*>(buf->last);
            filter({source_begin_, static_cast<size_t>(source_end_ - source_begin_)}, found);
        }
        if (buf->last_buf && hiding_->is_stream) {
            hiding_->filter.finish(*this);
        }
        end_run(copy_ != nullptr);
        if (!in_memory) {
            pass_on(buf);
            return;
        }
        // The source buffer stays in use until this one has been sent, so that its maker makes no
        // more of them before.
        if (last_ != nullptr) {
            last_->shadow = buf;
        } else {
            buf->pos = buf->last;
        }
        take_flags(*buf);
    }

    /** Called by the filter. */
    void pass(std::string_view text) {
        const char* begin = text.data();
        if (begin == end_of_run_) {
            end_of_run_ += text.size();
            return;
        }
        end_run(true);
        if (begin >= source_begin_ && begin < source_end_) {
            begin_ = begin;
            end_of_run_ = begin + text.size();
        } else {
            copy(text);
        }
    }

    /** Returns nullptr if there was no memory. */
    ngx_chain_t** end() const { return failed_ ? nullptr : end_; }

private:
    void filter(std::string_view text, const KnownRun& found) {
        if (!text.empty() && !hiding_->begun) {
            hiding_->begun = true;
            hiding_->is_stream = !is_document(text);
        }
        if (hiding_->is_stream) {
            hiding_->filter.feed(text, *this, &found);
        } else if (!text.empty()) {
            pass(text);
        }
    }

    /** True if a body that begins like this is JSON, whatever its type says. A piece goes on at
     * once then, and need not end in an empty line. */
    static bool is_document(std::string_view text) {
        size_t begin = text.find_first_not_of("\xEF\xBB\xBF \t\r\n");
        return begin != text.npos && (text[begin] == '{' || text[begin] == '[');
    }

    /**
     * Shows a run of the answer's bytes, or copies it. Where bytes are left out of each event,
     * there is a run for each, and copying one takes less than a buffer of its own does.
     */
    void end_run(bool has_neighbour) {
        std::string_view run(begin_, static_cast<size_t>(end_of_run_ - begin_));
        begin_ = end_of_run_ = nullptr;
        if (has_neighbour && run.size() <= kLongestCopy) {
            copy(run);
        } else if (!run.empty()) {
            show(run);
        }
    }

    void show(std::string_view run) {
        ngx_buf_t* buf = add(&hiding_->free_parts);
        if (buf != nullptr) {
            buf->start = buf->pos = to_ngx(run).data;
            buf->last = buf->end = buf->pos + run.size();
            buf->memory = 1;
            copy_ = nullptr;
        }
    }

    void copy(std::string_view text) {
        if (copy_ != nullptr && text.size() <= static_cast<size_t>(copy_->end - copy_->last)) {
            copy_->last = ngx_cpymem(copy_->last, text.data(), text.size());
        } else {
            copy_to_more(text);
        }
    }

    void copy_to_more(std::string_view text) {
        while (!text.empty() && !failed_) {
            if ((copy_ == nullptr || copy_->last == copy_->end) && !begin_copy()) {
                return;
            }
            size_t room = static_cast<size_t>(copy_->end - copy_->last);
            size_t size = ngx_min(room, text.size());
            copy_->last = ngx_cpymem(copy_->last, text.data(), size);
            text.remove_prefix(size);
        }
    }

    bool begin_copy() {
        copy_ = add(&hiding_->free_copies);
        if (copy_ == nullptr) {
            return false;
        }
        if (copy_->start == nullptr) {
            copy_->start = static_cast<u_char*>(ngx_palloc(hiding_->pool, kCopySize));
        }
        failed_ = copy_->start == nullptr;
        copy_->pos = copy_->last = copy_->start;
        copy_->end = copy_->start + kCopySize;
        copy_->temporary = 1;
        return !failed_;
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
    const char* source_begin_ = nullptr;
    const char* source_end_ = nullptr;
    const char* begin_ = nullptr;       // of the source's bytes that are to be shown next,
    const char* end_of_run_ = nullptr;  // and their end; nullptr where there are none
    ngx_buf_t* last_ = nullptr;         // of those made of the source
    ngx_buf_t* copy_ = nullptr;         // the last, if there may be room in it
    bool failed_ = false;
};

/** Returns the list that a sent buffer goes back to, or nullptr if it is not used again: a buffer
 * that said something without bytes may still be waiting somewhere. */
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

const KnownEvents* known_events(const ChunkHiding* hiding) {
    return &hiding->filter.known();
}

ngx_chain_t** hide_chunk(ChunkHiding* hiding, ngx_buf_t* buf, const KnownRun& found,
                         ngx_chain_t** end) {
    Shown shown(hiding, end);
    shown.take(buf, found);
    return shown.end();
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
