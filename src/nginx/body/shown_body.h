#pragma once

// Makes the buffers of a body that is not passed on as it came: of parts of it, or of other text.

#include "ngx.h"

namespace ai_limit {

/** The buffers that were made for one body. */
struct ShownBody {
    ngx_pool_t* pool;
    ngx_chain_t* free_parts;   // buffers that show memory of the body's own,
    ngx_chain_t* free_copies;  // and those with memory of their own
    ngx_chain_t* busy;
    bool flushed;  // nothing has gone on since a flush did; at first, the header has
};

/**
 * The buffers that are made of one buffer of the body. That one counts as sent when what is shown
 * of it has been.
 */
class ShownBuffer {
public:
    /** The buffers are added at `end`, where another chain ends. */
    ShownBuffer(ShownBody* body, ngx_buf_t* buf, ngx_chain_t** end);

    /** The bytes of the buffer, if it is in memory. */
    std::string_view bytes() const {
        return {source_begin_, static_cast<size_t>(source_end_ - source_begin_)};
    }

    /** Shows bytes of the buffer where they lie if it can, and copies any other text. */
    void pass(std::string_view text) {
        if (text.data() == end_of_run_) {
            end_of_run_ += text.size();
        } else {
            begin_run(text);
        }
    }

    /**
     * Call this last: shows what the buffer says beside its bytes. Returns where the chain ends,
     * nullptr without memory.
     */
    ngx_chain_t** finish();

private:
    void begin_run(std::string_view text);
    void end_run(bool has_neighbour);
    void show(std::string_view run);
    void copy(std::string_view text);
    void copy_to_more(std::string_view text);
    bool begin_copy();
    void pass_on();
    void take_flags();
    ngx_buf_t* add(ngx_chain_t** free);
    void append(ngx_chain_t* link);

    ShownBody* body_;
    ngx_buf_t* source_;
    ngx_chain_t** end_;
    const char* source_begin_ = nullptr;
    const char* source_end_ = nullptr;
    const char* begin_ = nullptr;       // of the source's bytes that are to be shown next,
    const char* end_of_run_ = nullptr;  // and their end; nullptr where there are none
    ngx_buf_t* last_ = nullptr;         // of those made of the source
    ngx_buf_t* copy_ = nullptr;         // the last, if there may be room in it
    bool failed_ = false;
};

/** Call this after each attempt to send what was shown, or what is left of it. */
void note_shown(ShownBody* body, ngx_chain_t* out);

}  // namespace ai_limit
