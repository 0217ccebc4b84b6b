#pragma once

// Words that people write out of habit: those of limit_req, and quotes inside of a word.

#include "nginx/conf/conf_words.h"

namespace ai_limit {

/** A word that a directive does not take, and what to write in its place. */
struct ForeignWord {
    std::string_view begin;
    const char* instead;
};

/**
 * Returns a hint for the error message about a word: what to write in place of one that people
 * write out of habit, else `expected`.
 */
template <size_t N>
const char* hint_for(const ForeignWord (&words)[N], const ngx_str_t& word,
                     const char* expected = "") {
    for (const ForeignWord& row : words) {
        if (view(word).substr(0, row.begin.size()) == row.begin) {
            return row.instead;
        }
    }
    return expected;
}

/**
 * Refuses key="$a:$b". nginx sees quotes only around a whole word, so these would become part of
 * the key.
 */
inline char* refuse_inner_quotes(ngx_conf_t* cf) {
    for (ngx_uint_t i = 0; i < argument_count(cf); ++i) {
        std::string_view word = view(arguments(cf)[i]);
        size_t equals = word.find('=');
        if (equals == std::string_view::npos || equals + 1 == word.size()) {
            continue;
        }
        char first = word[equals + 1];
        if (first == '"' || first == '\'') {
            return mistake(cf, "quotes inside of", arguments(cf)[i],
                           ", write them around the whole word, such as \"key=$a:$b\"");
        }
    }
    return NGX_CONF_OK;
}

}  // namespace ai_limit
