#pragma once

// The query of a URL (RFC 3986, 3.4), as name=value pairs joined by "&".

#include <cstddef>
#include <string_view>

namespace ai_limit {

constexpr size_t kMaxQuery = 8192;
constexpr size_t kMaxArguments = 8;

/** Decoded arguments, in memory of the caller's. */
class Query {
public:
    /**
     * Takes the query apart; `buffer` has room for as many bytes, and outlives this. Percent
     * escapes are decoded; a plus is a plus. Returns nullptr, or a static text that says what is
     * wrong.
     */
    const char* parse(std::string_view query, char* buffer);

    /** The value of an argument; false if there is none of that name. */
    bool get(std::string_view name, std::string_view* value) const;

    /** The first argument that is none of `known`; empty if there is none. */
    template <size_t n>
    std::string_view unknown(const std::string_view (&known)[n]) const {
        for (size_t i = 0; i < count_; ++i) {
            bool is_known = false;
            for (std::string_view name : known) {
                is_known |= arguments_[i].name == name;
            }
            if (!is_known) {
                return arguments_[i].name;
            }
        }
        return {};
    }

private:
    struct Argument {
        std::string_view name, value;
    };
    Argument arguments_[kMaxArguments];
    size_t count_ = 0;
};

}  // namespace ai_limit
