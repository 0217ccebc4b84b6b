#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The structure of an answer's body. */
enum class AnswerKind : uint8_t {
    kOther,       // cannot be read: only headers can say something
    kJson,        // one document
    kSse,         // server-sent events, each with a document
    kLines,       // a document on each line (NDJSON)
    kEventStream  // Amazon's binary messages
};

/** Reads a Content-Type; its parameters, and upper and lower case, make no difference. */
AnswerKind answer_kind(std::string_view content_type);

/** True if a Content-Type says that the body is sound, a picture or a film: it holds no text. */
bool is_media_type(std::string_view content_type);

/**
 * Finds out from the first bytes of a body how it is made up. Its type is only a hint: servers and
 * proxies label streams as plain text and errors as streams. A byte order mark and white space are
 * skipped. Trivially copyable.
 */
class AnswerKindFinder {
public:
    explicit AnswerKindFinder(AnswerKind hint) : kind_(hint) {}

    /**
     * Takes from the front of `rest` what it needs. Returns true once the kind is known; then
     * front() and after it `rest` are what is to be read. However a body is cut, the kind is the
     * same.
     */
    bool take(std::string_view* rest);

    /** The body has ended: if the kind is still open, it is the hint. */
    AnswerKind kind() const { return kind_; }

    /**
     * Returns the bytes that were taken and belong to the body. They lie in this object's memory.
     */
    std::string_view front() const { return {front_, size_}; }

    /** True if the first bytes fit the kind, and not only the Content-Type says so. */
    bool is_sure() const { return sure_; }

private:
    bool decide();
    bool set(AnswerKind kind);

    static constexpr size_t kLongestName = 6;  // "event:" and "retry:"

    AnswerKind kind_;
    bool sure_ = false;
    uint8_t marks_ = 0;  // bytes of a byte order mark
    uint8_t size_ = 0;
    char front_[kLongestName];
};

}  // namespace ai_limit
