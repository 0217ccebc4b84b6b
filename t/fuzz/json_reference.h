#pragma once

// Reads the values at some paths of a document with Boost.JSON's parser, to compare our scanner
// with it.
//
// The two may differ only in what json_scan.h lists as lenient: half a surrogate pair, huge
// exponents, and what is deeper than kMaxJsonStrictDepth.

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/json/json_paths.h"
#include "core/json/json_scan.h"

namespace ai_limit {

namespace json = boost::json;

/** One wanted value: its path, what it is, and its text. */
struct JsonValue {
    JsonPathId id;
    char kind;
    std::string text;

    bool operator==(const JsonValue& other) const {
        return id == other.id && kind == other.kind && text == other.text;
    }
};

struct JsonResult {
    bool valid = false;      // a document
    bool comparable = true;  // Boost is not the stricter one
    std::vector<JsonValue> values;
};

/** Keeps the path of each value as text, and compares it with the wanted ones. */
class JsonReference {
public:
    static constexpr size_t max_array_size = SIZE_MAX;
    static constexpr size_t max_object_size = SIZE_MAX;
    static constexpr size_t max_string_size = SIZE_MAX;
    static constexpr size_t max_key_size = SIZE_MAX;

    using Error = boost::system::error_code;
    using Text = json::string_view;

    /** `any_case`: keys are in lower case in the paths, and match in any other. */
    JsonReference(const std::string_view* paths, size_t count, bool any_case)
        : paths_(paths), count_(count), any_case_(any_case) {}

    bool on_document_begin(Error&) { return true; }
    bool on_document_end(Error&) { return true; }
    bool on_array_begin(Error&) { return begin("*"); }
    bool on_array_end(size_t, Error&) { return end(); }
    bool on_object_begin(Error&) { return begin(""); }
    bool on_object_end(size_t, Error&) { return end(); }
    bool on_string_part(Text text, size_t, Error&) { return keep(text); }
    bool on_string(Text text, size_t, Error&) { return keep(text) && report('s', take()); }
    bool on_key_part(Text text, size_t, Error&) { return keep(text); }
    bool on_key(Text text, size_t, Error&) {
        keep(text);
        const std::string key = take();
        keys_.back() = escaped(any_case_ ? in_lower_case(key) : key);
        return true;
    }
    bool on_number_part(Text text, Error&) { return keep(text); }
    bool on_int64(int64_t, Text text, Error&) { return number(text); }
    bool on_uint64(uint64_t, Text text, Error&) { return number(text); }
    bool on_double(double, Text text, Error&) { return number(text); }
    bool on_bool(bool value, Error&) { return report(value ? 't' : 'f', ""); }
    bool on_null(Error&) { return report('n', ""); }
    bool on_comment_part(Text, Error&) { return true; }
    bool on_comment(Text, Error&) { return true; }

    std::vector<JsonValue> values;

private:
    bool begin(const char* key) {
        report('{', "");
        keys_.push_back(key);
        return true;
    }
    bool end() {
        keys_.pop_back();
        return report('}', "");
    }
    bool keep(Text text) {
        kept_.append(text.data(), text.size());
        return true;
    }
    std::string take() { return std::move(kept_); }
    bool number(Text text) {
        keep(text);
        std::string all = take();
        // as nothing shows its end
        return keys_.empty() || report('0', all.size() > kMaxJsonKey ? "" : all);
    }
    /**
     * Returns the key in lower case, including the characters that have an ASCII letter as another
     * case (Unicode's CaseFolding.txt).
     */
    static std::string in_lower_case(const std::string& key) {
        std::string lower;
        for (size_t i = 0; i < key.size(); ++i) {
            if (key.compare(i, 2, "\u017F") == 0) {
                lower += 's';
                i += 1;
            } else if (key.compare(i, 3, "\u212A") == 0) {
                lower += 'k';
                i += 2;
            } else {
                lower += key[i] >= 'A' && key[i] <= 'Z' ? static_cast<char>(key[i] + 32) : key[i];
            }
        }
        return lower;
    }
    /** Returns the key as a JSON Pointer writes it; a key that is a star becomes something else. */
    static std::string escaped(const std::string& key) {
        std::string token;
        for (const char c : key) {
            token += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
        }
        return token == "*" ? "a star" : token;
    }
    bool report(char kind, std::string text) {
        std::string path;
        for (const std::string& key : keys_) {
            path += "/" + key;
        }
        kept_.clear();
        for (size_t id = 0; id < count_; ++id) {
            if (path == paths_[id]) {
                values.push_back({static_cast<JsonPathId>(id), kind, std::move(text)});
                break;
            }
        }
        return true;
    }

    const std::string_view* paths_;
    size_t count_;
    bool any_case_;
    std::vector<std::string> keys_;
    std::string kept_;
};

/** True if a text may hold half of a surrogate pair, which Boost refuses with several errors. */
inline bool has_surrogate(std::string_view text) {
    for (size_t at = text.find("\\u"); at != text.npos; at = text.find("\\u", at + 1)) {
        const std::string_view digits = text.substr(at + 2, 2);
        if (digits.size() == 2 && (digits[0] | 0x20) == 'd' && digits[1] >= '8') {
            return true;
        }
    }
    return false;
}

inline bool is_lenience(const boost::system::error_code& error, std::string_view text) {
    return error == json::error::exponent_overflow || error == json::error::too_deep ||
           (error && has_surrogate(text));
}

/** Reads a whole text. In a path, `*` is every element of an array. */
inline JsonResult read_with_boost(std::string_view text, const std::string_view* paths,
                                  size_t count, bool any_case = false) {
    json::parse_options options;
    options.max_depth = kMaxJsonStrictDepth;
    options.allow_invalid_utf8 = true;
    json::basic_parser<JsonReference> parser(options, paths, count, any_case);
    boost::system::error_code error;
    const size_t used = parser.write_some(false, text.data(), text.size(), error);
    JsonResult result;
    result.comparable = !is_lenience(error, text);
    result.valid = !error && text.find_first_not_of(" \t\r\n", used) == text.npos;
    result.values = std::move(parser.handler().values);
    return result;
}

}  // namespace ai_limit
