#include "core/json/json_scan.h"

#include <type_traits>

#include "core/json/json_key_search.h"
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
           (state_ == State::kNumber && depth_ == 0 && number_.is_complete());
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
    value_ = kNoJsonNode;
    if (!is_on_path()) {
        return;
    }
    const JsonPathNode& parent = innermost();
    if (parent.has_numbers) {
        char digits[10];  // without leading zeros (RFC 6901, 4)
        char* begin = digits + sizeof digits;
        do {
            *--begin = static_cast<char>('0' + index % 10);
            index /= 10;
        } while (index != 0);
        value_ = find_json_child(paths_, parent,
                                 {begin, static_cast<size_t>(digits + sizeof digits - begin)});
    }
    if (value_ == kNoJsonNode && parent.every_element != 0) {
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
    if (wanted || (node != kNoJsonNode && paths_[node].has_children)) {
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
    value_ = kNoJsonNode;
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
    value_ = find_json_child(paths_, innermost(), key);
    if (!rules_.any_case) {
        return;
    }
    spelling_ = value_ != kNoJsonNode ? 0 : spelling_;
    if (value_ == kNoJsonNode && has_other_case(key)) {
        value_ = find_json_child_in_other_case(paths_, innermost(), key, &spelling_);
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

void JsonScanner::keep_number(std::string_view text) {
    const size_t room = kMaxJsonKey - kept_.size();
    is_long_number_ = is_long_number_ || text.size() > room;
    kept_.append(text.substr(0, room));
}

inline __attribute__((always_inline)) bool JsonScanner::take_number(Input* in, JsonToken* token) {
    const char* begin = in->at;
    if (number_.is_empty() && *begin == 'I' && rules_.not_finite) {  // behind a -
        state_ = State::kLiteral;
        literal_ = kInfinity;
        matched_ = 0;
        return false;
    }
    while (in->at < in->end && number_.take(*in->at)) {
        ++in->at;
    }
    std::string_view text(begin, static_cast<size_t>(in->at - begin));
    if (in->at == in->end) {
        if (is_wanted()) {
            keep_number(text);
        }
        return false;
    }
    if (!number_.is_complete()) {
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
    number_ = JsonNumber();
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
