#pragma once

// The text of a request's body in UTF-8, however the client has sent it: with a content coding
// (gzip, deflate, br), in UTF-16 or UTF-32, with a byte order mark, in memory or in a file.

#include <type_traits>

#include "core/text_decoder.h"
#include "nginx/answer_decoder.h"
#include "nginx/body_pieces.h"

namespace ai_limit {

/**
 * Reads one body that nginx has read. Usage:
 *
 *     BodyText text(r);
 *     for (std::string_view piece = text.next(); !piece.empty(); piece = text.next()) { ... }
 *     if (!text.is_readable()) { ... }  // what came is not the whole text
 *
 * Compressed texts are bounded: beyond kMostText bytes, and beyond kMostTimes bytes for each byte
 * of the body where there are more than kAnyText, the body is unreadable. Trivially copyable; it
 * may wait between two pieces, and keeps nothing of a piece. The request's pool owns its decoder.
 */
class BodyText {
public:
    static constexpr size_t kMostPiece = 2 * BodyPieces::kMost + TextDecoder::kMinRoom;
    static constexpr uint64_t kAnyText = 1024 * 1024;
    static constexpr uint64_t kMostTimes = 100;
    static constexpr uint64_t kMostText = 100 * 1024 * 1024;

    /** The request has a body (r->request_body). */
    explicit BodyText(ngx_http_request_t* r);

    /** The next piece, of at most kMostPiece bytes, which is valid until the next call for any body
     * or answer; empty behind the last one, and where the body turns out to be unreadable. */
    std::string_view next();

    /** Behind the last piece: that was all of the text, without a mistake. */
    bool is_readable() const { return ended_ && !unreadable_; }

    /** Bytes of text so far. */
    uint64_t size() const { return size_; }

    /** The body has a content coding. */
    bool is_coded() const { return decoder_ != nullptr; }

    /** The text is a part of the body as it stands: all but a byte order mark of mark_size() bytes
     * in front. */
    bool is_plain() const { return decoder_ == nullptr && text_.encoding() == TextEncoding::kUtf8; }
    uint8_t mark_size() const { return text_.mark_size(); }

private:
    std::string_view next_bytes();
    std::string_view end();
    bool is_beyond_bounds() const;

    ngx_http_request_t* r_;
    BodyPieces pieces_;
    TextDecoder text_;
    AnswerDecoder* decoder_ = nullptr;
    uint64_t size_ = 0;
    bool ended_ = false;
    bool unreadable_ = false;
};

static_assert(std::is_trivially_copyable_v<BodyText>);

}  // namespace ai_limit
