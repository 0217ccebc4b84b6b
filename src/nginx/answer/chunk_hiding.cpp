#include "nginx/answer/chunk_hiding.h"

#include <new>

#include "core/usage/usage_chunk.h"
#include "nginx/body/shown_body.h"

namespace ai_limit {

struct ChunkHiding {
    UsageChunkFilter filter;
    ShownBody body;
    bool begun;      // the first bytes have been seen
    bool is_stream;  // and may be a stream of events
};

namespace {

/** True if a body that begins like this is JSON, whatever its type says. A piece goes on at once
 * then, and need not end in an empty line. */
bool is_document(std::string_view text) {
    size_t begin = text.find_first_not_of("\xEF\xBB\xBF \t\r\n");
    return begin != text.npos && (text[begin] == '{' || text[begin] == '[');
}

}  // namespace

ChunkHiding* make_chunk_hiding(ngx_http_request_t* r) {
    void* memory = ngx_palloc(r->pool, sizeof(ChunkHiding));
    if (memory == nullptr) {
        return nullptr;
    }
    ChunkHiding* hiding = new (memory) ChunkHiding();
    hiding->body.pool = r->pool;
    return hiding;
}

const KnownEvents* known_events(const ChunkHiding* hiding) {
    return &hiding->filter.known();
}

ngx_chain_t** hide_chunk(ChunkHiding* hiding, ngx_buf_t* buf, const KnownRun& found,
                         ngx_chain_t** end) {
    ShownBuffer shown(&hiding->body, buf, end);
    std::string_view text = shown.bytes();
    if (!text.empty() && !hiding->begun) {
        hiding->begun = true;
        hiding->is_stream = !is_document(text);
    }
    if (hiding->is_stream) {
        hiding->filter.feed(text, shown, &found);
    } else if (!text.empty()) {
        shown.pass(text);
    }
    if (buf->last_buf && hiding->is_stream) {
        hiding->filter.finish(shown);
    }
    return shown.finish();
}

void note_sent(ChunkHiding* hiding, ngx_chain_t* out) {
    note_shown(&hiding->body, out);
}

}  // namespace ai_limit
