#include "nginx/body/answer_decoder.h"

#include <zlib.h>

#if (NGX_AI_LIMIT_BROTLI)
#include <brotli/decode.h>
#endif

namespace ai_limit {

namespace {

// A worker does one thing at a time.
constexpr size_t kDecoded = 64 * 1024;
u_char decoded[kDecoded];

constexpr int kRawDeflate = -MAX_WBITS;
constexpr int kZlibOrGzip = MAX_WBITS + 32;  // inflateInit2() finds out which

std::string_view decoded_text(size_t size) {
    return {reinterpret_cast<char*>(decoded), size};
}

}  // namespace

struct AnswerDecoder {
    ContentCoding coding;
    ngx_http_request_t* request;
    bool begun;
    bool done;    // the rest is skipped
    bool broken;  // by a mistake, or something stands behind the end
    bool whole;   // what came so far is complete
    uint8_t head_size;
    u_char head[2];  // of a deflated answer: shows which of two formats it has
    z_stream stream;
#if (NGX_AI_LIMIT_BROTLI)
    BrotliDecoderState* brotli;
#endif
};

namespace {

void* allocate_for_zlib(void* opaque, uInt items, uInt size) noexcept {
    return ngx_palloc(static_cast<ngx_pool_t*>(opaque), size_t{items} * size);
}

/** Small blocks stay until nginx frees the request's pool. */
void free_for_zlib(void* opaque, void* memory) noexcept {
    ngx_pfree(static_cast<ngx_pool_t*>(opaque), memory);
}

bool begin_inflating(AnswerDecoder* decoder, int window_bits) {
    decoder->stream = {};
    decoder->stream.zalloc = allocate_for_zlib;
    decoder->stream.zfree = free_for_zlib;
    decoder->stream.opaque = decoder->request->pool;
    decoder->begun = true;
    if (inflateInit2(&decoder->stream, window_bits) != Z_OK) {
        return false;
    }
#if ZLIB_VERNUM >= 0x1290
    // The client gets the bytes as they are, and checks whether they came whole. By the time a
    // checksum comes, the module has read what it is for.
    inflateValidate(&decoder->stream, 0);
#endif
    return true;
}

/** "deflate" means zlib's format (RFC 9110, 8.4.1.2), but some servers send it without its header.
 */
bool is_zlib_header(const u_char* head) {
    return (head[0] & 0x0f) == Z_DEFLATED && (head[0] * 256 + head[1]) % 31 == 0;
}

/** Goes on even without input: the last call may have left something that had no room. */
std::string_view inflate_some(AnswerDecoder* decoder, std::string_view* rest) {
    z_stream* stream = &decoder->stream;
    for (;;) {
        stream->next_in = to_ngx(*rest).data;
        stream->avail_in = static_cast<uInt>(ngx_min(rest->size(), size_t{1} << 30));
        uInt given = stream->avail_in;
        decoder->whole = decoder->whole && given == 0;
        stream->next_out = decoded;
        stream->avail_out = kDecoded;
        int rc = inflate(stream, Z_SYNC_FLUSH);
        rest->remove_prefix(given - stream->avail_in);
        if (rc == Z_STREAM_END) {
            decoder->whole = true;
            // Another member may follow (RFC 1952, 2.2).
            decoder->done = decoder->coding != ContentCoding::kGzip || inflateReset(stream) != Z_OK;
            decoder->broken = decoder->done && !rest->empty();
        } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            decoder->done = decoder->broken = true;
        }
        bool stuck = rc == Z_BUF_ERROR && given == stream->avail_in;
        if (decoder->done || stuck) {
            *rest = {};
        }
        size_t size = kDecoded - stream->avail_out;
        if (size != 0 || rest->empty()) {
            return decoded_text(size);
        }
    }
}

std::string_view begin_deflated(AnswerDecoder* decoder, std::string_view* rest) {
    while (!rest->empty() && decoder->head_size < sizeof(decoder->head)) {
        decoder->head[decoder->head_size++] = static_cast<u_char>(rest->front());
        rest->remove_prefix(1);
    }
    if (decoder->head_size < sizeof(decoder->head)) {
        return {};
    }
    int format = is_zlib_header(decoder->head) ? kZlibOrGzip : kRawDeflate;
    if (!begin_inflating(decoder, format)) {
        decoder->done = true;
        return {};
    }
    std::string_view head = {reinterpret_cast<char*>(decoder->head), sizeof(decoder->head)};
    return inflate_some(decoder, &head);
}

#if (NGX_AI_LIMIT_BROTLI)

void end_brotli(void* data) noexcept {
    AnswerDecoder* decoder = static_cast<AnswerDecoder*>(data);
    if (decoder->brotli != nullptr) {
        BrotliDecoderDestroyInstance(decoder->brotli);
        decoder->brotli = nullptr;
    }
}

bool begin_brotli(AnswerDecoder* decoder) {
    ngx_pool_cleanup_t* cleanup = ngx_pool_cleanup_add(decoder->request->pool, 0);
    decoder->brotli =
        cleanup != nullptr ? BrotliDecoderCreateInstance(nullptr, nullptr, nullptr) : nullptr;
    if (decoder->brotli == nullptr) {
        return false;
    }
    cleanup->handler = end_brotli;
    cleanup->data = decoder;
    decoder->begun = true;
    return true;
}

std::string_view decode_brotli(AnswerDecoder* decoder, std::string_view* rest) {
    size_t given = rest->size();
    const uint8_t* in = to_ngx(*rest).data;
    size_t room = kDecoded;
    uint8_t* out = decoded;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(decoder->brotli, &given, &in, &room, &out, nullptr);
    rest->remove_prefix(rest->size() - given);
    if (result == BROTLI_DECODER_RESULT_ERROR || result == BROTLI_DECODER_RESULT_SUCCESS) {
        decoder->done = true;
        decoder->whole = result == BROTLI_DECODER_RESULT_SUCCESS;
        decoder->broken = !decoder->whole || !rest->empty();
        *rest = {};
    }
    return decoded_text(kDecoded - room);
}

#endif

}  // namespace

ContentCoding content_coding(std::string_view value) {
    static constexpr struct {
        std::string_view name;
        ContentCoding coding;
    } kCodings[] = {
        {"", ContentCoding::kNone},
        {"identity", ContentCoding::kNone},
        {"gzip", ContentCoding::kGzip},
        {"x-gzip", ContentCoding::kGzip},
        {"deflate", ContentCoding::kDeflate},
#if (NGX_AI_LIMIT_BROTLI)
        {"br", ContentCoding::kBrotli},
#endif
    };
    for (const auto& row : kCodings) {
        if (row.name.size() == value.size() &&
            ngx_strncasecmp(to_ngx(row.name).data, to_ngx(value).data, value.size()) == 0) {
            return row.coding;
        }
    }
    return ContentCoding::kUnknown;
}

AnswerDecoder* make_answer_decoder(ngx_http_request_t* r, ContentCoding coding) {
    AnswerDecoder* decoder =
        static_cast<AnswerDecoder*>(ngx_pcalloc(r->pool, sizeof(AnswerDecoder)));
    if (decoder == nullptr) {
        return nullptr;
    }
    decoder->coding = coding;
    decoder->request = r;
    bool begun = true;
    if (coding == ContentCoding::kGzip) {
        begun = begin_inflating(decoder, kZlibOrGzip);
    }
#if (NGX_AI_LIMIT_BROTLI)
    if (coding == ContentCoding::kBrotli) {
        begun = begin_brotli(decoder);
    }
#endif
    return begun ? decoder : nullptr;
}

std::string_view decode(AnswerDecoder* decoder, std::string_view* rest) {
    if (decoder->done) {
        decoder->broken = decoder->broken || !rest->empty();
        *rest = {};
        return {};
    }
    if (!decoder->begun) {
        std::string_view text = begin_deflated(decoder, rest);
        if (!text.empty() || decoder->done || rest->empty()) {
            return text;
        }
    }
#if (NGX_AI_LIMIT_BROTLI)
    if (decoder->coding == ContentCoding::kBrotli) {
        return decode_brotli(decoder, rest);
    }
#endif
    return inflate_some(decoder, rest);
}

bool is_whole(const AnswerDecoder* decoder) {
    return decoder->whole && !decoder->broken;
}

bool is_broken(const AnswerDecoder* decoder) {
    return decoder->broken;
}

void end_decoding(AnswerDecoder* decoder) {
    decoder->done = true;
#if (NGX_AI_LIMIT_BROTLI)
    if (decoder->coding == ContentCoding::kBrotli) {
        end_brotli(decoder);
        return;
    }
#endif
    if (decoder->begun) {
        inflateEnd(&decoder->stream);
        decoder->begun = false;
    }
}

}  // namespace ai_limit
