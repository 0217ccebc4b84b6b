#include "core/words/query.h"

namespace ai_limit {

namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/** Decodes behind `*at`, and moves it on. False if an escape is none. */
bool decode(std::string_view text, char** at, std::string_view* decoded) {
    char* begin = *at;
    char* end = begin;
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        *end++ = c;
    }
    *at = end;
    *decoded = {begin, static_cast<size_t>(end - begin)};
    return true;
}

}  // namespace

const char* Query::parse(std::string_view query, char* buffer) {
    count_ = 0;
    if (query.size() > kMaxQuery) {
        return "the query is too long";
    }
    while (!query.empty()) {
        std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(pair.size() < query.size() ? pair.size() + 1 : pair.size());
        if (pair.empty()) {
            continue;
        }
        if (count_ == kMaxArguments) {
            return "too many arguments";
        }
        size_t equals = pair.find('=');
        std::string_view value =
            equals != std::string_view::npos ? pair.substr(equals + 1) : std::string_view();
        Argument* argument = &arguments_[count_];
        if (!decode(pair.substr(0, equals), &buffer, &argument->name) ||
            !decode(value, &buffer, &argument->value)) {
            return "an invalid percent escape";
        }
        if (argument->name.empty()) {
            return "an argument without a name";
        }
        std::string_view earlier;
        if (get(argument->name, &earlier)) {
            return "an argument comes twice";
        }
        ++count_;
    }
    return nullptr;
}

bool Query::get(std::string_view name, std::string_view* value) const {
    for (size_t i = 0; i < count_; ++i) {
        if (arguments_[i].name == name) {
            *value = arguments_[i].value;
            return true;
        }
    }
    return false;
}

}  // namespace ai_limit
