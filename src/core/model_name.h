#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/json_text.h"

namespace ai_limit {

/**
 * The name of a model, as a client gives it, in bounded memory. One that is longer than kMaxSize
 * keeps its beginning, and what follows `~` in 16 hex digits is a hash of all of it, so that two
 * long names stay two. It may hold any byte. Trivially copyable.
 */
class ModelName {
public:
    static constexpr size_t kMaxSize = 255;

    /** Takes plain text. */
    void assign(std::string_view text);

    /** The bytes between a JSON string's quotes, in pieces cut anywhere; escapes are decoded.
     * Between begin() and end() there is no name. */
    void begin();
    void append_json(std::string_view raw);
    void end();

    /** Empty where there is none. In this object's own memory. */
    std::string_view view() const { return {bytes_, size_}; }

private:
    void cut(size_t size);
    void add_to_hash(char c);

    uint64_t hash_ = 0;
    JsonTextState state_;
    uint8_t size_ = 0;
    char bytes_[kMaxSize];
};

}  // namespace ai_limit
