#pragma once

// The text of a request's body in UTF-8, however the client has sent it: with a content coding
// (gzip, deflate, br), in UTF-16 or UTF-32, with a byte order mark, in memory or in a file.

#include <type_traits>

#include "core/json/text_decoder.h"
#include "nginx/body/answer_decoder.h"
#include "nginx/body/body_pieces.h"

namespace ai_limit {

/**
 * Reads one body that nginx has read. Usage:
 *
 *     BodyText text(r);
 *     do {
 *         std::string_view piece = text.next();
 *         ...
 *     } while (!text.has_ended());
 *     if (!text.is_readable()) { ... }  // what came is not the whole text
 *
 * Compressed texts are bounded: beyond kMostText bytes, and beyond kMostTimes bytes for each byte
 * of the body if there are more than kAnyText, the body is unreadable. Trivially copyable; it
 * may wait between two pieces, and keeps nothing of a piece. The request's pool owns its decoder.
 */
class BodyText {
public:
    static constexpr size_t kMostPiece = 2 * BodyPieces::kMost + TextDecoder::kMinRoom;
    static constexpr size_t kMostCoded = 32 * 1024;
    static constexpr uint64_t kAnyText = 1024 * 1024;
    static constexpr uint64_t kMostTimes = 100;
    static constexpr uint64_t kMostText = 100 * 1024 * 1024;

    /** The request has a body (r->request_body). */
    explicit BodyText(ngx_http_request_t* r);

    /** Returns the next piece, of at most kMostPiece bytes, which is valid until the next call for
     * any body or answer. It may be empty before the end: about kMostCoded bytes of a coded body
     * are decoded at a time, and they may have no text. */
    std::string_view next();

    /** True if no more pieces follow: that was the last one, or the body turned out to be
     * unreadable. */
    bool has_ended() const { return ended_ || unreadable_; }

    /** True behind the last piece, if that was all of the text, without a mistake. */
    bool is_readable() const { return ended_ && !unreadable_; }

    /** Reads no further: the body is unreadable. */
    void give_up();

    /** Bytes of text so far. */
    uint64_t size() const { return size_; }

    /** Bytes of a coded body that have been decoded so far; 0 of one without a coding. */
    uint64_t coded_size() const { return coded_size_; }

    /** The body has a content coding. */
    bool is_coded() const { return decoder_ != nullptr; }

    /** The text is a part of the body as it stands: all but a byte order mark of mark_size() bytes
     * in front. */
    bool is_plain() const { return decoder_ == nullptr && text_.encoding() == TextEncoding::kUtf8; }
    uint8_t mark_size() const { return text_.mark_size(); }

private:
    std::string_view next_bytes(bool* last);
    std::string_view end();
    bool is_beyond_bounds() const;

    ngx_http_request_t* r_;
    BodyPieces pieces_;
    TextDecoder text_;
    AnswerDecoder* decoder_ = nullptr;
    uint64_t size_ = 0;
    uint64_t coded_size_ = 0;
    bool ended_ = false;
    bool unreadable_ = false;
};

static_assert(std::is_trivially_copyable_v<BodyText>);

}  // namespace ai_limit
