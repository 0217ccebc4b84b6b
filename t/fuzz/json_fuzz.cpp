// The JSON scanner against Boost.JSON's parser, on arbitrary bytes, and against itself, cut
// anywhere: they agree on what is a document, and on the values of some paths.
//
// Where they may differ is what json_scan.h lists as lenient: half a surrogate pair, huge
// exponents, and what is deeper than kMaxJsonStrictDepth.

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_scan.h"
#include "core/number.h"

namespace {

using namespace ai_limit;
namespace json = boost::json;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

constexpr std::string_view kPaths[] = {"",         "/a",           "/a/b",   "/*",
                                       "/*/a",     "/*/*",         "/b/*",   "/b/*/c",
                                       "/a/b/a/b", "/usage/input", "/c~1~0", "//"};

constexpr JsonPaths<32> make_tree() {
    JsonPaths<32> tree;
    JsonPathId id = 0;
    for (const std::string_view path : kPaths) {
        tree.add(path, id++, JsonPathStar::kEveryElement);
    }
    return tree;
}

constexpr JsonPaths<32> kTree = make_tree();

/** One wanted value: its path, what it is, and its text. */
struct Value {
    JsonPathId id;
    char kind;
    std::string text;

    bool operator==(const Value& other) const {
        return id == other.id && kind == other.kind && text == other.text;
    }
};

struct Result {
    bool valid = false;
    bool comparable = true;
    std::vector<Value> values;
};

/** Keeps the path of each value as text, and compares it with the wanted ones. */
class Reference {
public:
    static constexpr size_t max_array_size = SIZE_MAX;
    static constexpr size_t max_object_size = SIZE_MAX;
    static constexpr size_t max_string_size = SIZE_MAX;
    static constexpr size_t max_key_size = SIZE_MAX;

    using Error = boost::system::error_code;
    using Text = json::string_view;

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
        keys_.back() = escaped(take());
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

    std::vector<Value> values;

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
    /** As a JSON Pointer writes it; a key that is a star becomes something else. */
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
        for (JsonPathId id = 0; id < std::size(kPaths); ++id) {
            if (path == kPaths[id]) {
                values.push_back({id, kind, std::move(text)});
                break;
            }
        }
        return true;
    }

    std::vector<std::string> keys_;
    std::string kept_;
};

/** Whether a text may hold half of a surrogate pair, which Boost refuses with several errors. */
bool has_surrogate(std::string_view text) {
    for (size_t at = text.find("\\u"); at != text.npos; at = text.find("\\u", at + 1)) {
        const std::string_view digits = text.substr(at + 2, 2);
        if (digits.size() == 2 && (digits[0] | 0x20) == 'd' && digits[1] >= '8') {
            return true;
        }
    }
    return false;
}

bool is_lenience(const boost::system::error_code& error, std::string_view text) {
    return error == json::error::exponent_overflow || error == json::error::too_deep ||
           (error && has_surrogate(text));
}

Result read_with_boost(std::string_view text) {
    json::parse_options options;
    options.max_depth = kMaxJsonStrictDepth;
    options.allow_invalid_utf8 = true;
    json::basic_parser<Reference> parser(options);
    boost::system::error_code error;
    const size_t used = parser.write_some(false, text.data(), text.size(), error);
    Result result;
    result.comparable = !is_lenience(error, text);
    result.valid = !error && text.find_first_not_of(" \t\r\n", used) == text.npos;
    result.values = std::move(parser.handler().values);
    return result;
}

/** Puts a scanner's tokens together again. */
class Collector {
public:
    explicit Collector(JsonScanner* scanner) : scanner_(scanner) {}

    void feed(std::string_view piece) {
        for (;;) {
            const JsonToken token = scanner_->next(&piece);
            if (token.kind == JsonToken::kNothing) {
                require(piece.empty());
                return;
            }
            take(token);
        }
    }

    std::vector<Value> values;

private:
    static constexpr size_t kMaxText = 60'000;

    void take(const JsonToken& token) {
        static constexpr char kKinds[] = " {}s0tfn";
        std::string text(token.text);
        if (token.kind == JsonToken::kBegin || token.kind == JsonToken::kEnd) {
            text.clear();
        }
        if (token.kind == JsonToken::kString) {
            require(token.first == !open_);
            open_ = !token.last;
            if (token.first) {
                decoded_->clear();
            }
            decoded_->append(token.text);
            std::string_view all;
            text = decoded_->get(&all) ? std::string(all) : "not to be decoded";
            if (!token.last) {
                return;
            }
        } else {
            require(!open_ && !token.first && !token.last);
        }
        values.push_back({token.id, kKinds[token.kind], std::move(text)});
    }

    JsonScanner* scanner_;
    bool open_ = false;
    std::unique_ptr<JsonText<kMaxText>> decoded_ = std::make_unique<JsonText<kMaxText>>();
};

/** `cuts` says how long each piece is; the rest is one piece. Each piece lies in memory of its own,
 * so that a sanitizer sees a step past it. */
Result read_with_scanner(std::string_view text, std::string_view cuts) {
    JsonScanner scanner(kTree.root());
    Collector collector(&scanner);
    while (!text.empty()) {
        size_t length = text.size();
        if (!cuts.empty()) {
            length = std::min<size_t>(length, static_cast<unsigned char>(cuts.front()) % 17);
            cuts.remove_prefix(1);
        }
        const std::unique_ptr<char[]> piece(new char[length]);
        text.copy(piece.get(), length);
        collector.feed({piece.get(), length});
        text.remove_prefix(length);
    }
    require(!scanner.is_complete() || !scanner.is_malformed());
    return {scanner.is_complete(), true, std::move(collector.values)};
}

void check_count(std::string_view text) {
    Amount value = kMaxAmount + 1;
    if (read_json_count(text, &value)) {
        require(value <= kMaxAmount);
        require(strtod(std::string(text).c_str(), nullptr) == static_cast<double>(value));
    } else {
        require(value == kMaxAmount + 1);
    }
}

}  // namespace

/** The first byte tells how many of those behind it say where to cut. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    std::string_view cuts;
    if (size > 0) {
        const size_t n = std::min<size_t>(data[0] % 32, size - 1);
        cuts = text.substr(1, n);
        text.remove_prefix(n + 1);
    }
    const Result whole = read_with_scanner(text, {});
    const Result cut = read_with_scanner(text, cuts);
    const Result bytes = read_with_scanner(text, std::string(text.size(), '\1'));
    require(whole.valid == cut.valid && whole.values == cut.values);
    require(whole.valid == bytes.valid && whole.values == bytes.values);

    const Result reference = read_with_boost(text);
    if (reference.comparable) {
        require(reference.valid == whole.valid);
        require(!reference.valid || reference.values == whole.values);
    }
    for (const Value& value : whole.values) {
        if (value.kind == '0') {
            check_count(value.text);
        }
    }
    return 0;
}
