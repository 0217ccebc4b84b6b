#include "core/json_scan.h"

#include <type_traits>

#include "core/json_bytes.h"

namespace ai_limit {

namespace {

struct Literal {
    std::string_view text;
    JsonToken::Kind kind;
};

constexpr Literal kLiterals[] = {
    {"true", JsonToken::kTrue},
    {"false", JsonToken::kFalse},
    {"null", JsonToken::kNull},
};

/** Whether a reference token (RFC 6901, 4) names this key. */
bool names_key(std::string_view token, std::string_view key) {
    size_t at = 0;
    for (size_t i = 0; i < token.size(); ++i, ++at) {
        char c = token[i];
        if (c == '~') {
            c = token[++i] == '1' ? '/' : '~';
        }
        if (at == key.size() || key[at] != c) {
            return false;
        }
    }
    return at == key.size();
}

/** Whether a reference token names this element: digits without leading zeros (RFC 6901, 4). */
bool names_element(std::string_view token, uint32_t index) {
    if (token.empty() || token.size() > 9 || (token[0] == '0' && token.size() > 1)) {
        return false;
    }
    uint32_t number = 0;
    for (const char c : token) {
        if (!is_digit(c)) {
            return false;
        }
        number = number * 10 + static_cast<uint32_t>(c - '0');
    }
    return number == index;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<JsonScanner> && sizeof(JsonScanner) <= 320);

void JsonScanner::reset() {
    depth_ = 0;
    tracked_ = 0;
    state_ = State::kValue;
    value_ = 0;
    after_backslash_ = false;
    hex_left_ = 0;
}

bool JsonScanner::is_complete() const {
    return state_ == State::kComplete ||
           (state_ == State::kNumber && depth_ == 0 && number_ >= Number::kZero);
}

/** Whether the innermost container is one; there is one, and it is not too deep. */
bool JsonScanner::is_object() const {
    const uint64_t level = depth_ - 1;
    return (objects_[level / 64] >> level % 64 & 1) != 0;
}

bool JsonScanner::fail(Input* in) {
    state_ = State::kMalformed;
    in->at = in->end;
    return false;
}

JsonToken JsonScanner::next(std::string_view* rest) {
    Input in{rest->data(), rest->data() + rest->size()};
    JsonToken token;
    while (in.at < in.end && !step(&in, &token)) {
    }
    rest->remove_prefix(static_cast<size_t>(in.at - rest->data()));
    return token;
}

/** Goes on with what has begun, or with the next byte that counts. True where `token` is one. */
bool JsonScanner::step(Input* in, JsonToken* token) {
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

/** One byte between tokens. */
bool JsonScanner::take_byte(Input* in, JsonToken* token) {
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

bool JsonScanner::begin_value(Input* in, JsonToken* token) {
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
    if (c == '-' && is_wanted()) {
        kept_.append("-");
    }
    return false;
}

bool JsonScanner::begin_container(Input* in, bool object, JsonToken* token) {
    const std::string_view bracket(in->at++, 1);
    if (depth_++ >= kMaxJsonStrictDepth) {
        state_ = State::kDeep;
        return false;
    }
    const uint64_t level = depth_ - 1;
    const uint64_t bit = uint64_t{1} << level % 64;
    objects_[level / 64] = object ? objects_[level / 64] | bit : objects_[level / 64] & ~bit;
    const uint8_t node = value_;
    const bool wanted = is_wanted();
    if (wanted || (node != kUnwanted && paths_[node].first_child != 0)) {
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

void JsonScanner::end_value() {
    state_ = depth_ == 0 ? State::kComplete : State::kAfterValue;
}

void JsonScanner::take_comma(Input* in) {
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

void JsonScanner::select_element(uint32_t index) {
    value_ = kUnwanted;
    if (!is_on_path()) {
        return;
    }
    for (uint8_t i = paths_[levels_[tracked_ - 1].node].first_child; i != 0;
         i = paths_[i].next_sibling) {
        if (paths_[i].every_element || names_element(paths_[i].name, index)) {
            value_ = i;
            return;
        }
    }
}

void JsonScanner::begin_key(Input* in) {
    if (*in->at != '"') {
        fail(in);
        return;
    }
    ++in->at;
    value_ = kUnwanted;
    const char* end = find_string_stop(in->at, in->end);
    if (end < in->end && *end == '"') {  // most keys are plain and whole
        state_ = State::kColon;
        select_key({in->at, static_cast<size_t>(end - in->at)});
        in->at = end + 1;
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

void JsonScanner::select_key(std::string_view key) {
    if (!is_on_path()) {
        return;
    }
    const JsonPathNode& parent = paths_[levels_[tracked_ - 1].node];
    if ((parent.child_keys & json_key_bit(key)) == 0) {
        return;
    }
    for (uint8_t i = parent.first_child; i != 0; i = paths_[i].next_sibling) {
        if (!paths_[i].every_element && names_key(paths_[i].name, key)) {
            value_ = i;
            return;
        }
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
        return report_string(text, ends, token);
    }
    if (state == State::kStringDeep) {
        state_ = ends ? State::kDeep : state_;
    } else if (ends) {
        end_key(text);
    } else if (is_on_path()) {
        kept_.append(text);
    }
    return false;
}

/** Where the quote stands that ends a string, or the byte that spoils it, which may be in an
 * escape; `end` where neither is. */
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
        ++at;
        after_backslash_ = true;
    }
    return at;
}

bool JsonScanner::report_string(std::string_view raw, bool last, JsonToken* token) {
    if (!is_wanted() || (raw.empty() && !last)) {
        return false;
    }
    *token = {JsonToken::kString, paths_[value_].id, !string_begun_, last, raw};
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

bool JsonScanner::take_number(Input* in, JsonToken* token) {
    const char* begin = in->at;
    while (in->at < in->end && take_number_byte(*in->at)) {
        ++in->at;
    }
    std::string_view text(begin, static_cast<size_t>(in->at - begin));
    if (in->at == in->end) {
        if (is_wanted()) {
            kept_.append(text);
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
        kept_.append(text);
        text = {};
        kept_.get(&text);
    }
    *token = {JsonToken::kNumber, paths_[value_].id, false, false, text};
    return true;
}

/** False where a byte does not go on with the number. */
bool JsonScanner::take_number_byte(char c) {
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

/** What is too deep for the grammar: up to a quote, or to the bracket that leads out of it. */
void JsonScanner::take_deep(Input* in) {
    for (; in->at < in->end; ++in->at) {
        const char c = *in->at;
        if (c == '"') {
            state_ = State::kStringDeep;
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

}  // namespace ai_limit
