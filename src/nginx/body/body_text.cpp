#include "nginx/body/body_text.h"

namespace ai_limit {

namespace {

constexpr std::string_view kContentEncoding = "content-encoding";

// A coded body is read in small pieces, since the bytes that a decoder leaves of one are read once
// more.
constexpr size_t kCodedPiece = 8 * 1024;

// A worker does one thing at a time. Two bytes become three at most.
char recoded[BodyText::kMostPiece];

/** Returns kUnknown for several codings, too. */
ContentCoding coding_of_body(ngx_http_request_t* r) {
    static const ngx_uint_t hash =
        ngx_hash_key(to_ngx(kContentEncoding).data, kContentEncoding.size());
    const ngx_table_elt_t* found = nullptr;
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        const ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            if (headers[i].hash != hash || headers[i].key.len != kContentEncoding.size() ||
                ngx_memcmp(headers[i].lowcase_key, kContentEncoding.data(),
                           kContentEncoding.size()) != 0) {
                continue;
            }
            if (found != nullptr) {
                return ContentCoding::kUnknown;
            }
            found = &headers[i];
        }
    }
    return found != nullptr ? content_coding(view(found->value)) : ContentCoding::kNone;
}

/**
 * A body that is coded and could be JSON as it stands: a server that ignores Content-Encoding
 * would read something else than we.
 */
bool could_be_plain(std::string_view front) {
    static constexpr std::string_view kFronts = "{ \t\r\n";
    return !front.empty() && kFronts.find(front.front()) != kFronts.npos;
}

}  // namespace

BodyText::BodyText(ngx_http_request_t* r) : r_(r), pieces_(r) {
    ContentCoding coding = coding_of_body(r);
    if (coding == ContentCoding::kNone) {
        return;
    }
    decoder_ = coding != ContentCoding::kUnknown ? make_answer_decoder(r, coding) : nullptr;
    std::string_view front = pieces_.next(1);
    pieces_.put_back(front.size());
    unreadable_ = decoder_ == nullptr || could_be_plain(front);
}

bool BodyText::is_beyond_bounds() const {
    return size_ > kMostText || (size_ > kAnyText && size_ / kMostTimes > body_size(r_));
}

std::string_view BodyText::next() {
    std::string_view text;
    const uint64_t begin = coded_size_;
    // Blocks and members of a coded body may be empty, however many there are.
    while (text.empty() && !has_ended() && coded_size_ - begin < kMostCoded) {
        bool last = false;
        std::string_view bytes = next_bytes(&last);
        if (last) {
            text = end();
        } else if (!bytes.empty()) {
            text = text_.next(&bytes, recoded, sizeof(recoded));
        }
    }
    size_ += text.size();
    unreadable_ = unreadable_ || (decoder_ != nullptr && is_beyond_bounds());
    if (decoder_ != nullptr && has_ended()) {
        end_decoding(decoder_);
    }
    return text;
}

void BodyText::give_up() {
    unreadable_ = true;
    if (decoder_ != nullptr) {
        end_decoding(decoder_);
    }
}

/** Returns bytes of the body without its content coding, if the next bytes of it have any. `last`:
 * nothing was left. */
std::string_view BodyText::next_bytes(bool* last) {
    if (decoder_ == nullptr) {
        std::string_view bytes = pieces_.next();
        *last = bytes.empty();
        return bytes;
    }
    std::string_view coded = pieces_.next(kCodedPiece);
    const size_t size = coded.size();
    std::string_view bytes = decode(decoder_, &coded);
    pieces_.put_back(coded.size());
    coded_size_ += size - coded.size();
    *last = size == 0 && bytes.empty();
    return bytes;
}

std::string_view BodyText::end() {
    ended_ = true;
    std::string_view text = text_.finish(recoded, sizeof(recoded));
    unreadable_ =
        pieces_.has_failed() || text_.is_broken() || (decoder_ != nullptr && !is_whole(decoder_));
    return text;
}

}  // namespace ai_limit
