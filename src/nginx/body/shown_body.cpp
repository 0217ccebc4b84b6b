#include "nginx/body/shown_body.h"

namespace ai_limit {

namespace {

constexpr size_t kCopySize = 4096;

/** A longer run of bytes is shown where it lies. */
constexpr size_t kLongestCopy = 1024;

ngx_buf_tag_t tag() {
    return static_cast<ngx_buf_tag_t>(&ngx_http_ai_limit_module);
}

/** Returns the list that a sent buffer goes back to, or nullptr if it is not used again: a buffer
 * that said something without bytes may still be waiting somewhere. */
ngx_chain_t** free_list_of(ShownBody* body, const ngx_buf_t& buf) {
    if (buf.tag != tag() || !is_in_memory(&buf)) {
        return nullptr;
    }
    return buf.temporary ? &body->free_copies : &body->free_parts;
}

}  // namespace

ShownBuffer::ShownBuffer(ShownBody* body, ngx_buf_t* buf, ngx_chain_t** end)
    : body_(body), source_(buf), end_(end) {
    if (is_in_memory(buf)) {
        source_begin_ = reinterpret_cast<char*>(buf->pos);
        source_end_ = reinterpret_cast<char*>(buf->last);
    }
}

ngx_chain_t** ShownBuffer::finish() {
    end_run(copy_ != nullptr);
    if (!is_in_memory(source_)) {
        pass_on();
        return failed_ ? nullptr : end_;
    }
    // The source buffer stays in use until this one has been sent, so that its maker makes no more
    // of them before.
    if (last_ != nullptr) {
        last_->shadow = source_;
    } else {
        source_->pos = source_->last;
    }
    take_flags();
    return failed_ ? nullptr : end_;
}

void ShownBuffer::begin_run(std::string_view text) {
    const char* begin = text.data();
    end_run(true);
    if (begin >= source_begin_ && begin < source_end_) {
        begin_ = begin;
        end_of_run_ = begin + text.size();
    } else {
        copy(text);
    }
}

/**
 * Shows a run of the answer's bytes, or copies it. Where bytes are left out of each event,
 * there is a run for each, and copying one takes less than a buffer of its own does.
 */
void ShownBuffer::end_run(bool has_neighbour) {
    std::string_view run(begin_, static_cast<size_t>(end_of_run_ - begin_));
    begin_ = end_of_run_ = nullptr;
    if (has_neighbour && run.size() <= kLongestCopy) {
        copy(run);
    } else if (!run.empty()) {
        show(run);
    }
}

void ShownBuffer::show(std::string_view run) {
    ngx_buf_t* buf = add(&body_->free_parts);
    if (buf != nullptr) {
        buf->start = buf->pos = to_ngx(run).data;
        buf->last = buf->end = buf->pos + run.size();
        buf->memory = 1;
        copy_ = nullptr;
    }
}

void ShownBuffer::copy(std::string_view text) {
    if (copy_ != nullptr && text.size() <= static_cast<size_t>(copy_->end - copy_->last)) {
        copy_->last = ngx_cpymem(copy_->last, text.data(), text.size());
    } else {
        copy_to_more(text);
    }
}

void ShownBuffer::copy_to_more(std::string_view text) {
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

bool ShownBuffer::begin_copy() {
    copy_ = add(&body_->free_copies);
    if (copy_ == nullptr) {
        return false;
    }
    if (copy_->start == nullptr) {
        copy_->start = static_cast<u_char*>(ngx_palloc(body_->pool, kCopySize));
    }
    failed_ = copy_->start == nullptr;
    copy_->pos = copy_->last = copy_->start;
    copy_->end = copy_->start + kCopySize;
    copy_->temporary = 1;
    return !failed_;
}

/** A buffer without bytes, as it came. */
void ShownBuffer::pass_on() {
    ngx_chain_t* link = ngx_alloc_chain_link(body_->pool);
    failed_ = failed_ || link == nullptr;
    if (failed_) {
        return;
    }
    link->buf = source_;
    append(link);
    body_->flushed = body_->flushed || source_->flush;
}

/** The last buffer says them. One without bytes says them alone, but no flush of nothing. */
void ShownBuffer::take_flags() {
    const ngx_buf_t& from = *source_;
    if (last_ == nullptr) {
        bool flushes = from.flush && !body_->flushed;
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
    body_->flushed = from.flush;
}

/** An empty buffer that keeps the memory it has; nullptr without memory. */
ngx_buf_t* ShownBuffer::add(ngx_chain_t** free) {
    ngx_chain_t* link = ngx_chain_get_free_buf(body_->pool, free);
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

void ShownBuffer::append(ngx_chain_t* link) {
    link->next = nullptr;
    *end_ = link;
    end_ = &link->next;
}

void note_shown(ShownBody* body, ngx_chain_t* out) {
    ngx_chain_t** end = &body->busy;
    while (*end != nullptr) {
        end = &(*end)->next;
    }
    *end = out;
    while (body->busy != nullptr) {
        ngx_chain_t* link = body->busy;
        ngx_buf_t* buf = link->buf;
        bool ours = buf->tag == tag();
        if (ours && ngx_buf_size(buf) != 0) {
            return;
        }
        body->busy = link->next;
        if (ours && buf->shadow != nullptr) {
            buf->shadow->pos = buf->shadow->last;
        }
        ngx_chain_t** free = free_list_of(body, *buf);
        if (free == nullptr) {
            ngx_free_chain(body->pool, link);
            continue;
        }
        link->next = *free;
        *free = link;
    }
}

}  // namespace ai_limit
