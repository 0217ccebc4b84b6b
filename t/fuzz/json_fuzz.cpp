// The JSON scanner against Boost.JSON's parser, on arbitrary bytes, and against itself, cut
// anywhere: they agree on what is a document, and on the values of some paths.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/json/json_scan.h"
#include "core/words/number.h"
#include "json_reference.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

constexpr std::string_view kPaths[] = {"",       "/a",   "/a/b",     "/*",       "/*/a",
                                       "/*/*",   "/b/*", "/b/*/c",   "/a/b/a/b", "/usage/input",
                                       "/c~1~0", "//",   "/sk/usage"};

constexpr JsonPaths<32> make_tree() {
    JsonPaths<32> tree;
    JsonPathId id = 0;
    for (const std::string_view path : kPaths) {
        tree.add(path, id++, JsonPathStar::kEveryElement);
    }
    return tree;
}

constexpr JsonPaths<32> kTree = make_tree();

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

    std::vector<JsonValue> values;

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
JsonResult read_with_scanner(std::string_view text, std::string_view cuts, JsonRules rules) {
    JsonScanner scanner(kTree.root(), rules);
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

/** Reads a text whole and in pieces, which has to be the same. */
JsonResult read_in_any_cut(std::string_view text, std::string_view cuts, JsonRules rules) {
    JsonResult whole = read_with_scanner(text, {}, rules);
    const JsonResult cut = read_with_scanner(text, cuts, rules);
    const JsonResult bytes = read_with_scanner(text, std::string(text.size(), '\1'), rules);
    require(whole.valid == cut.valid && whole.values == cut.values);
    require(whole.valid == bytes.valid && whole.values == bytes.values);
    return whole;
}

void compare(const JsonResult& read, std::string_view text, bool any_case) {
    const JsonResult reference = read_with_boost(text, kPaths, std::size(kPaths), any_case);
    if (reference.comparable) {
        require(reference.valid == read.valid);
        require(!reference.valid || reference.values == read.values);
    }
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
    const JsonResult whole = read_in_any_cut(text, cuts, {});
    compare(whole, text, false);
    compare(read_in_any_cut(text, cuts, {true}), text, true);
    // A document without the other rules is also one with them, with the same values.
    constexpr JsonPathId kOther = 100;
    JsonResult lenient = read_in_any_cut(text, cuts, {false, true, kOther});
    require(lenient.valid || !whole.valid);
    auto& values = lenient.values;
    values.erase(std::remove_if(values.begin(), values.end(),
                                [](const JsonValue& value) { return value.id == kOther; }),
                 values.end());
    require(!whole.valid || values == whole.values);
    for (const JsonValue& value : whole.values) {
        if (value.kind == '0') {
            check_count(value.text);
        }
    }
    return 0;
}
