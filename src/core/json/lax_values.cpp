#include "core/json/lax_values.h"

#include "core/words/json_bytes.h"

namespace ai_limit {

namespace {

bool is_word(std::string_view text, std::string_view word) {
    if (text.size() != word.size()) {
        return false;
    }
    for (size_t i = 0; i < word.size(); ++i) {
        if ((text[i] | 0x20) != word[i]) {  // no digit becomes a letter by that
            return false;
        }
    }
    return true;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view kSpaces = " \t\r\n\v\f";
    while (!text.empty() && kSpaces.find(text.front()) != kSpaces.npos) {
        text.remove_prefix(1);
    }
    while (!text.empty() && kSpaces.find(text.back()) != kSpaces.npos) {
        text.remove_suffix(1);
    }
    return text;
}

/** The number without zeros behind a point, and without the point then. */
std::string_view without_zero_fraction(std::string_view number) {
    const size_t point = number.find('.');
    return point != number.npos && number.find_first_not_of('0', point + 1) == number.npos
               ? number.substr(0, point)
               : number;
}

}  // namespace

LaxBool lax_bool_of_text(std::string_view text) {
    constexpr std::string_view kTrue[] = {"true", "t", "yes", "y", "on"};
    constexpr std::string_view kFalse[] = {"false", "f", "no", "n", "off"};
    for (const std::string_view word : kTrue) {
        if (is_word(text, word)) {
            return LaxBool::kTrue;
        }
    }
    for (const std::string_view word : kFalse) {
        if (is_word(text, word)) {
            return LaxBool::kFalse;
        }
    }
    return text == "1" ? LaxBool::kTrue : text == "0" ? LaxBool::kFalse : LaxBool::kNeither;
}

LaxBool lax_bool_of_number(std::string_view number) {
    const std::string_view whole = without_zero_fraction(number);
    return whole == "1" ? LaxBool::kTrue : whole == "0" ? LaxBool::kFalse : LaxBool::kNeither;
}

bool is_lax_number(std::string_view* text) {
    std::string_view rest = trim(*text);
    const bool signed_by_plus = !rest.empty() && rest.front() == '+';
    rest.remove_prefix(signed_by_plus ? 1 : 0);
    const std::string_view number = without_zero_fraction(rest);
    bool underscores = false;
    bool after_digit = false;
    for (size_t i = number.empty() || number.front() != '-' ? 0 : 1; i < number.size(); ++i) {
        const bool underscore = number[i] == '_' && after_digit;
        if (!underscore && !is_digit(number[i])) {
            return false;
        }
        underscores = underscores || underscore;
        after_digit = !underscore;
    }
    if (!after_digit) {
        return false;
    }
    *text = underscores && number.front() != '-' ? std::string_view() : number;
    return true;
}

}  // namespace ai_limit
