#include "core/requests/header_parameters.h"

#include <cstddef>

#include "core/words/optional_space.h"

namespace ai_limit {

namespace {

void skip_separators(std::string_view* rest) {
    while (!rest->empty() && (is_optional_space(rest->front()) || rest->front() == ';')) {
        rest->remove_prefix(1);
    }
}

/**
 * Returns the position of the quote that ends a quoted string, or npos if none does. `text` begins
 * behind the first quote.
 */
size_t find_closing_quote(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"') {
            return i;
        }
        i += text[i] == '\\' ? 1 : 0;
    }
    return std::string_view::npos;
}

}  // namespace

std::string_view take_header_word(std::string_view* rest) {
    const std::string_view word = rest->substr(0, rest->find(';'));
    rest->remove_prefix(word.size());
    return trim_optional_space(word);
}

bool take_header_parameter(std::string_view* rest, HeaderParameter* parameter) {
    skip_separators(rest);
    const size_t equals = rest->find_first_of("=;\"");
    if (equals == rest->npos || (*rest)[equals] != '=') {
        return false;
    }
    parameter->name = trim_optional_space(rest->substr(0, equals));
    std::string_view value = rest->substr(equals + 1);
    if (value.empty() || value.front() != '"') {
        parameter->value = take_header_word(&value);
        *rest = value;
        return true;
    }
    value.remove_prefix(1);
    const size_t end = find_closing_quote(value);
    if (end == value.npos) {
        return false;
    }
    parameter->value = value.substr(0, end);
    *rest = value.substr(end + 1);
    return true;
}

}  // namespace ai_limit
