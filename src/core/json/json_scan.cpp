#include "core/json/json_scan.h"

#include <type_traits>

#include "core/words/json_bytes.h"

namespace ai_limit {

namespace {

struct Literal {
    std::string_view text;
    JsonToken::Kind kind;
};

constexpr Literal kLiterals[] = {
    {"true", JsonToken::kTrue},  {"false", JsonToken::kFalse},     {"null", JsonToken::kNull},
    {"NaN", JsonToken::kNumber}, {"Infinity", JsonToken::kNumber},
};
constexpr std::string_view kDigits = "0123456789";

constexpr uint8_t kNaN = 3;
constexpr uint8_t kInfinity = 4;

constexpr char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

/** True if a reference token (RFC 6901, 4), or its lower-case form, names this key. */
template <bool kInLowerCase>
bool names_key(std::string_view token, std::string_view key) {
    if (!kInLowerCase && token == key) {  // mostly, and quicker
        return true;
    }
    size_t at = 0;
    for (size_t i = 0; i < token.size(); ++i, ++at) {
        char c = token[i];
        if (c == '~') {
            c = token[++i] == '1' ? '/' : '~';
        }
        c = kInLowerCase ? lower_case(c) : c;
        if (at == key.size() || key[at] != c) {
            return false;
        }
    }
    return at == key.size();
}

/** Without capitals and characters that are no ASCII. */
bool is_lower_case(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c - 'A') < 26 || static_cast<unsigned char>(c) >= 0x80) {
            return false;
        }
    }
    return true;
}

/**
 * Writes a key in lower case into `buffer`, which has room for it; what is no ASCII but has an
 * ASCII letter as another case becomes that letter.
 */
std::string_view fold_case(std::string_view key, char* buffer) {
    constexpr std::string_view kLongS = "\xC5\xBF";
    constexpr std::string_view kKelvin = "\xE2\x84\xAA";
    size_t size = 0;
    while (!key.empty()) {
        size_t used = 1;
        char c = lower_case(key.front());
        if (key.substr(0, kLongS.size()) == kLongS) {
            c = 's';
            used = kLongS.size();
        } else if (key.substr(0, kKelvin.size()) == kKelvin) {
            c = 'k';
            used = kKelvin.size();
        }
        buffer[size++] = c;
        key.remove_prefix(used);
    }
    return {buffer, size};
}

/** A hash of how a key is spelled; never 0. */
uint32_t spelling_of(std::string_view key) {
    uint32_t hash = 0x811C9DC5;  // FNV-1a
    for (const char c : key) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193;
    }
    return hash != 0 ? hash : 1;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<JsonScanner> && sizeof(JsonScanner) <= 320);

void JsonScanner::reset() {
    depth_ = 0;
    tracked_ = 0;
    state_ = State::kValue;
    value_ = 0;
    spelling_ = 0;
    after_backslash_ = false;
    hex_left_ = 0;
}

bool JsonScanner::is_complete() const {
    return state_ == State::kComplete ||
           (state_ == State::kNumber && depth_ == 0 && number_ >= Number::kZero);
}

/** True if the innermost container is an object. There must be one, and it must not be too deep. */
inline __attribute__((always_inline)) bool JsonScanner::is_object() const {
    const uint64_t level = depth_ - 1;
    return (objects_[level / 64] >> level % 64 & 1) != 0;
}

bool JsonScanner::fail(Input* in) {
    state_ = State::kMalformed;
    in->at = in->end;
    return false;
}

inline __attribute__((always_inline)) void JsonScanner::end_value() {
    state_ = depth_ == 0 ? State::kComplete : State::kAfterValue;
}

inline __attribute__((always_inline)) void JsonScanner::select_element(uint32_t index) {
    value_ = kUnwanted;
    if (!is_on_path()) {
        return;
    }
    const JsonPathNode& parent = paths_[levels_[tracked_ - 1].node];
    if (parent.has_numbers) {
        char digits[10];  // without leading zeros (RFC 6901, 4)
        char* begin = digits + sizeof digits;
        do {
            *--begin = static_cast<char>('0' + index % 10);
            index /= 10;
        } while (index != 0);
        select_named({begin, static_cast<size_t>(digits + sizeof digits - begin)});
    }
    if (value_ == kUnwanted && parent.every_element != 0) {
        value_ = parent.every_element;
    }
}

inline __attribute__((always_inline)) bool JsonScanner::begin_container(Input* in, bool object,
                                                                        JsonToken* token) {
    const std::string_view bracket(in->at++, 1);
    if (depth_++ >= kMaxJsonStrictDepth) {
        state_ = State::kDeep;
        return false;
    }
    const uint64_t level = depth_ - 1;
    const uint64_t bit = uint64_t{1} << level % 64;
    objects_[level / 64] = object ? objects_[level / 64] | bit : objects_[level / 64] & ~bit;
    const uint16_t node = value_;
    const bool wanted = is_wanted();
    if (wanted || (node != kUnwanted && paths_[node].has_children)) {
        levels_[tracked_++] = {0, node};
    }
    state_ = object ? State::kFirstKey : State::kFirstElement;
    if (!object) {
        select_element(0);
    }
    if (wanted) {
        *token = {JsonToken::kBegin, paths_[node].id, false, false, bracket};
    }
    return wanted;
}

bool JsonScanner::end_container(Input* in, JsonToken* token) {
    const std::string_view bracket(in->at++, 1);
    JsonPathId id = kNoJsonPath;
    if (is_on_path()) {
        id = paths_[levels_[--tracked_].node].id;
    }
    --depth_;
    end_value();
    if (id == kNoJsonPath) {
        return false;
    }
    *token = {JsonToken::kEnd, id, false, false, bracket};
    return true;
}

inline __attribute__((always_inline)) void JsonScanner::take_comma(Input* in) {
    ++in->at;
    if (is_object()) {
        state_ = State::kKey;
        return;
    }
    state_ = State::kValue;
    if (is_on_path()) {
        uint32_t& index = levels_[tracked_ - 1].index;
        index += index < UINT32_MAX ? 1 : 0;
        select_element(index);
    }
}

inline __attribute__((always_inline)) void JsonScanner::begin_key(Input* in) {
    if (*in->at != '"') {
        fail(in);
        return;
    }
    ++in->at;
    value_ = kUnwanted;
    const char* end = find_string_stop(in->at, in->end);
    if (end < in->end && *end == '"') {  // most keys are plain and whole
        state_ = State::kColon;
        if (is_on_path()) {
            select_key({in->at, static_cast<size_t>(end - in->at)});
        }
        in->at = end + 1;
        if (in->at < in->end && *in->at == ':') {
            state_ = State::kValue;
            ++in->at;
        }
        return;
    }
    state_ = State::kStringKey;
    kept_.clear();
}

/** `raw` is what the current piece holds of the key. */
void JsonScanner::end_key(std::string_view raw) {
    state_ = State::kColon;
    if (!is_on_path()) {
        return;
    }
    kept_.append(raw);
    std::string_view key;
    if (kept_.get(&key)) {
        select_key(key);
    }
}

/** There is an innermost container that is on the way to wanted values. */
void JsonScanner::select_key(std::string_view key) {
    select_named(key);
    if (!rules_.any_case) {
        return;
    }
    spelling_ = value_ != kUnwanted ? 0 : spelling_;
    if (value_ == kUnwanted && key.size() <= kMaxJsonKey && !is_lower_case(key)) {
        select_in_other_case(key);
    }
}

/** The child of `parent` that `key` names, or, where kInLowerCase, its name in lower case. */
template <bool kInLowerCase>
inline uint16_t JsonScanner::find_child(const JsonPathNode& parent, std::string_view key) const {
    const unsigned hash = json_key_hash(key);
    if ((parent.child_keys >> hash & 1) == 0) {
        return kUnwanted;
    }
    for (uint16_t i = parent.children[json_path_list(hash)]; i != 0; i = paths_[i].next_sibling) {
        if (names_key<kInLowerCase>(paths_[i].name, key)) {
            return i;
        }
    }
    return kUnwanted;
}

void JsonScanner::select_named(std::string_view key) {
    value_ = find_child<false>(paths_[levels_[tracked_ - 1].node], key);
}

void JsonScanner::select_in_other_case(std::string_view key) {
    char folded[kMaxJsonKey];
    value_ = find_child<true>(paths_[levels_[tracked_ - 1].node], fold_case(key, folded));
    if (value_ != kUnwanted) {
        spelling_ = spelling_of(key);
    }
}

bool JsonScanner::take_string(Input* in, JsonToken* token) {
    const char* begin = in->at;
    in->at = find_string_end(begin, in->end);
    const std::string_view text(begin, static_cast<size_t>(in->at - begin));
    const bool stops = in->at < in->end;
    const bool ends = stops && *in->at == '"' && !is_in_escape();
    const State state = state_;
    if (ends) {
        ++in->at;
    } else if (stops) {
        fail(in);
    }
    if (state == State::kString) {
        if (ends) {
            end_value();
        }
        // the bytes before an error are reported, as another cut would have done
        return report_string(is_wanted() ? paths_[value_].id : rules_.other_strings, text, ends,
                             token);
    }
    if (state == State::kStringDeep) {
        state_ = ends ? State::kDeep : state_;
        return report_string(rules_.other_strings, text, ends, token);
    }
    if (ends) {
        end_key(text);
    } else if (is_on_path()) {
        kept_.append(text);
    }
    return false;
}

/**
 * Returns the position of the quote that ends a string, or of the byte that spoils it, which may be
 * in an escape. Returns `end` if neither is there.
 */
const char* JsonScanner::find_string_end(const char* at, const char* end) {
    while (at < end) {
        if (is_in_escape()) {
            if (!take_escape(*at)) {
                return at;
            }
            ++at;
            continue;
        }
        at = find_string_stop(at, end);
        if (at == end || *at != '\\') {
            return at;
        }
        if (end - at > 1 && at[1] != 'u' && is_json_escape(at[1])) {
            at += 2;
            continue;
        }
        ++at;
        after_backslash_ = true;
    }
    return at;
}

bool JsonScanner::report_string(JsonPathId id, std::string_view raw, bool last, JsonToken* token) {
    if (id == kNoJsonPath || (raw.empty() && !last)) {
        return false;
    }
    *token = {JsonToken::kString, id, !string_begun_, last, raw};
    string_begun_ = true;
    return true;
}

/** One byte of an escape; false, and nothing is changed, where it cannot be. */
bool JsonScanner::take_escape(char c) {
    if (hex_left_ > 0) {
        const bool good = hex_digit(c) >= 0;
        hex_left_ -= good ? 1 : 0;
        return good;
    }
    if (!is_json_escape(c)) {
        return false;
    }
    after_backslash_ = false;
    hex_left_ = c == 'u' ? 4 : 0;
    return true;
}

inline __attribute__((always_inline)) bool JsonScanner::take_number_byte(char c) {
    if (is_digit(c)) {
        switch (number_) {
            case Number::kBegin:
                number_ = c == '0' ? Number::kZero : Number::kWhole;
                return true;
            case Number::kPoint:
                number_ = Number::kFraction;
                return true;
            case Number::kExponent:
            case Number::kExponentSign:
                number_ = Number::kExponentDigits;
                return true;
            default:
                return number_ != Number::kZero;
        }
    }
    if (c == '.' && (number_ == Number::kZero || number_ == Number::kWhole)) {
        number_ = Number::kPoint;
        return true;
    }
    if ((c | 0x20) == 'e' && number_ >= Number::kZero && number_ <= Number::kFraction) {
        number_ = Number::kExponent;
        return true;
    }
    if ((c == '+' || c == '-') && number_ == Number::kExponent) {
        number_ = Number::kExponentSign;
        return true;
    }
    return false;
}

void JsonScanner::keep_number(std::string_view text) {
    const size_t room = kMaxJsonKey - kept_.size();
    is_long_number_ = is_long_number_ || text.size() > room;
    kept_.append(text.substr(0, room));
}

inline __attribute__((always_inline)) bool JsonScanner::take_number(Input* in, JsonToken* token) {
    const char* begin = in->at;
    if (number_ == Number::kBegin && *begin == 'I' && rules_.not_finite) {  // behind a -
        state_ = State::kLiteral;
        literal_ = kInfinity;
        matched_ = 0;
        return false;
    }
    while (in->at < in->end && take_number_byte(*in->at)) {
        ++in->at;
    }
    std::string_view text(begin, static_cast<size_t>(in->at - begin));
    if (in->at == in->end) {
        if (is_wanted()) {
            keep_number(text);
        }
        return false;
    }
    if (number_ < Number::kZero) {
        return fail(in);
    }
    end_value();
    if (!is_wanted() || depth_ == 0) {
        return false;
    }
    if (!kept_.is_empty() || text.size() > kMaxJsonKey) {
        keep_number(text);
        text = {};
        kept_.get(&text);
        if (is_long_number_) {
            text = rules_.long_numbers ? text.substr(0, text.find_last_of(kDigits) + 1) : "";
        }
    }
    *token = {JsonToken::kNumber, paths_[value_].id, false, false, text};
    return true;
}

/** False if a byte does not go on with the number. */
bool JsonScanner::take_literal(Input* in, JsonToken* token) {
    const Literal& literal = kLiterals[literal_];
    while (in->at < in->end && matched_ < literal.text.size()) {
        if (*in->at != literal.text[matched_]) {
            return fail(in);
        }
        ++in->at;
        ++matched_;
    }
    if (matched_ < literal.text.size()) {
        return false;
    }
    end_value();
    if (!is_wanted()) {
        return false;
    }
    *token = {literal.kind, paths_[value_].id, false, false, {}};
    return true;
}

/**
 * Skips values that are too deep for the grammar, up to a quote or to the bracket that leads out of
 * them.
 */
void JsonScanner::take_deep(Input* in) {
    for (; in->at < in->end; ++in->at) {
        const char c = *in->at;
        if (c == '"') {
            state_ = State::kStringDeep;
            string_begun_ = false;
            ++in->at;
            return;
        }
        if (c == '[' || c == '{') {
            ++depth_;
        } else if ((c == ']' || c == '}') && --depth_ == kMaxJsonStrictDepth) {
            state_ = State::kAfterValue;
            ++in->at;
            return;
        }
    }
}

inline __attribute__((always_inline)) bool JsonScanner::begin_value(Input* in, JsonToken* token) {
    const char c = *in->at;
    switch (c) {
        case '{':
        case '[':
            return begin_container(in, c == '{', token);
        case '"':
            ++in->at;
            state_ = State::kString;
            string_begun_ = false;
            return in->at < in->end && take_string(in, token);
        case 't':
        case 'f':
        case 'n':
            state_ = State::kLiteral;
            literal_ = c == 't' ? 0 : c == 'f' ? 1 : 2;
            matched_ = 0;
            return false;
        case 'N':
        case 'I':
            if (!rules_.not_finite) {
                return fail(in);
            }
            state_ = State::kLiteral;
            literal_ = c == 'N' ? kNaN : kInfinity;
            matched_ = 0;
            return false;
        default:
            break;
    }
    if (c != '-' && !is_digit(c)) {
        return fail(in);
    }
    in->at += c == '-' ? 1 : 0;
    state_ = State::kNumber;
    number_ = Number::kBegin;
    kept_.clear();
    is_long_number_ = false;
    if (c == '-' && is_wanted()) {
        kept_.append("-");
    }
    return false;
}

/** One byte between tokens. */
inline __attribute__((always_inline)) bool JsonScanner::take_byte(Input* in, JsonToken* token) {
    const char c = *in->at;
    if (is_json_space(c)) {
        ++in->at;
        return false;
    }
    switch (state_) {
        case State::kFirstElement:
            return c == ']' ? end_container(in, token) : begin_value(in, token);
        case State::kValue:
            return begin_value(in, token);
        case State::kFirstKey:
            if (c == '}') {
                return end_container(in, token);
            }
            begin_key(in);
            return false;
        case State::kKey:
            begin_key(in);
            return false;
        case State::kColon:
            state_ = State::kValue;
            return c == ':' ? (++in->at, false) : fail(in);
        case State::kAfterValue:
            if (c == ',') {
                take_comma(in);
                return false;
            }
            return c == (is_object() ? '}' : ']') ? end_container(in, token) : fail(in);
        default:  // nothing may follow
            return fail(in);
    }
}

/** Goes on with what has begun, or with the next byte that counts. True if `token` is one. */
inline __attribute__((always_inline)) bool JsonScanner::step(Input* in, JsonToken* token) {
    switch (state_) {
        case State::kStringKey:
        case State::kString:
        case State::kStringDeep:
            return take_string(in, token);
        case State::kNumber:
            return take_number(in, token);
        case State::kLiteral:
            return take_literal(in, token);
        case State::kDeep:
            take_deep(in);
            return false;
        default:
            return take_byte(in, token);
    }
}

JsonToken JsonScanner::next(std::string_view* rest) {
    Input in{rest->data(), rest->data() + rest->size()};
    JsonToken token;
    while (in.at < in.end && !step(&in, &token)) {
    }
    rest->remove_prefix(static_cast<size_t>(in.at - rest->data()));
    return token;
}

}  // namespace ai_limit
