#include "core/requests/form_text.h"

#include <cstring>

#include "core/requests/header_parameters.h"
#include "core/words/ascii_case.h"
#include "core/words/json_bytes.h"
#include "core/words/optional_space.h"

namespace ai_limit {

namespace {

constexpr std::string_view kMultipart = "multipart/form-data";
constexpr std::string_view kPairs = "application/x-www-form-urlencoded";
static_assert(kMultipart.size() < kPairs.size());

/** True if a byte stands in a JSON string as it is. */
bool is_plain(char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
}

/** Characters of a boundary (RFC 2046, 5.1.1) and others that need no escape. */
bool may_be_in_boundary(char c) {
    return is_plain(c) && static_cast<unsigned char>(c) < 0x7F;
}

std::string_view take_front(std::string_view* rest, size_t size) {
    const std::string_view front = rest->substr(0, size);
    rest->remove_prefix(size);
    return front;
}

}  // namespace

bool FormText::is_form_type(std::string_view content_type) {
    if (content_type.size() < kMultipart.size()) {
        return false;  // nearly always: application/json
    }
    const std::string_view type = take_header_word(&content_type);
    return is_same(type, kMultipart) || is_same(type, kPairs);
}

FormText::FormText(std::string_view content_type) {
    const std::string_view type = take_header_word(&content_type);
    if (is_same(type, kPairs)) {
        state_ = State::kUndecided;
    } else if (is_same(type, kMultipart)) {
        state_ = State::kUndecided;
        multipart_ = true;
        read_boundary(content_type);
    }
}

/** Leaves no boundary where there is none that all servers agree on. */
void FormText::read_boundary(std::string_view parameters) {
    std::string_view boundary;
    HeaderParameter parameter;
    bool several = false;
    while (take_header_parameter(&parameters, &parameter)) {
        if (is_same(parameter.name, "boundary")) {
            several = several || !boundary.empty();
            boundary = parameter.value;
        }
    }
    if (several || boundary.empty() || boundary.size() > kMostBoundary || !parameters.empty()) {
        return;
    }
    for (const char c : boundary) {
        if (!may_be_in_boundary(c)) {
            return;
        }
    }
    boundary_[0] = '-';
    boundary_[1] = '-';
    std::memcpy(boundary_ + 2, boundary.data(), boundary.size());
    boundary_size_ = static_cast<uint8_t>(boundary.size() + 2);
}

std::string_view FormText::next(std::string_view* rest) {
    output_size_ = 0;
    while (!rest->empty()) {
        std::string_view text;
        switch (state_) {
            case State::kOther:
                return take_front(rest, rest->size());
            case State::kUndecided:
                if (is_json_space(rest->front())) {
                    return take_front(rest, 1);
                }
                decide(rest->front());
                break;
            case State::kName:
            case State::kValue:
                text = take_pair(rest);
                break;
            case State::kSkipped:
            case State::kField:
                text = take_content(rest);
                break;
            case State::kDelimiter:
            case State::kLineFeed:
                take_delimiter(take_front(rest, 1).front());
                break;
            case State::kHeaders:
                take_header(take_front(rest, 1).front());
                break;
            case State::kComplete:
            case State::kFailed:
                rest->remove_prefix(rest->size());
                break;
        }
        if (output_size_ > 0) {
            return {output_, output_size_};
        }
        if (!text.empty()) {
            return text;
        }
    }
    return {};
}

void FormText::decide(char c) {
    if (c == '{' || c == '[') {
        state_ = State::kOther;
        return;
    }
    put("{");
    if (!multipart_) {
        put("\"");
        state_ = State::kName;
    } else if (boundary_size_ == 0) {
        fail();
    } else {
        state_ = State::kSkipped;
    }
}

std::string_view FormText::end() {
    output_size_ = 0;
    if (state_ == State::kName || state_ == State::kValue) {
        if (percent_ > 0) {
            take_percent('\0');
        }
        put(state_ == State::kName ? "\":\"\"}" : "\"}");
    } else if (state_ == State::kComplete) {
        put("}");
    }
    return {output_, output_size_};
}

// Pairs: name=value&name=value

std::string_view FormText::take_pair(std::string_view* rest) {
    const char c = rest->front();
    if (percent_ > 0) {
        if (take_percent(c)) {
            rest->remove_prefix(1);
        }
        return {};
    }
    const char end = state_ == State::kName ? '=' : '&';
    size_t size = 0;
    while (size < rest->size() && is_plain((*rest)[size]) && (*rest)[size] != '%' &&
           (*rest)[size] != '+' && (*rest)[size] != '&' && (*rest)[size] != end) {
        ++size;
    }
    if (size > 0) {
        return take_front(rest, size);
    }
    rest->remove_prefix(1);
    if (c == '&') {
        put(state_ == State::kName ? "\":\"\",\"" : "\",\"");
        state_ = State::kName;
    } else if (c == end) {
        put("\":\"");
        state_ = State::kValue;
    } else if (c == '%') {
        percent_ = 1;
    } else {
        put_character(c == '+' ? ' ' : c);
    }
    return {};
}

/** Takes a byte behind a percent sign. False if it is no part of an escape: then what came
 * before is text. */
bool FormText::take_percent(char c) {
    const int digit = hex_digit(c);
    if (digit >= 0 && percent_ == 1) {
        first_digit_ = c;
        percent_ = 2;
        return true;
    }
    if (digit >= 0) {
        put_character(static_cast<char>(hex_digit(first_digit_) * 16 + digit));
    } else {
        put_character('%');
        if (percent_ == 2) {
            put_character(first_digit_);
        }
    }
    percent_ = 0;
    return digit >= 0;
}

// Parts

std::string_view FormText::take_content(std::string_view* rest) {
    const char c = rest->front();
    if (line_ != Line::kInside) {
        if (take_line(c)) {
            rest->remove_prefix(1);
        }
        return {};
    }
    const bool wanted = state_ == State::kField;
    size_t size = 0;
    while (size < rest->size() &&
           (wanted ? is_plain((*rest)[size]) : (*rest)[size] != '\r' && (*rest)[size] != '\n')) {
        ++size;
    }
    if (size > 0) {
        const std::string_view text = take_front(rest, size);
        return wanted ? text : std::string_view();
    }
    rest->remove_prefix(1);
    matched_ = 0;
    if (c == '\r') {
        line_ = Line::kReturn;
    } else if (c == '\n') {
        line_ = Line::kBare;
    } else {
        put_character(c);
    }
    return {};
}

/** Takes a byte at the start of a line, where a delimiter may stand. False if there is none:
 * then what looked like one is text, and the byte is still to be taken. */
bool FormText::take_line(char c) {
    if (line_ == Line::kReturn && matched_ == 0 && c == '\n') {
        line_ = Line::kWhole;
        return true;
    }
    if (c != boundary_[matched_]) {
        end_line();
        return false;
    }
    if (++matched_ < boundary_size_) {
        return true;
    }
    if (line_ != Line::kWhole) {
        fail();  // a delimiter for some servers, and text for others
        return true;
    }
    if (state_ == State::kField) {
        put("\"");
    }
    state_ = State::kDelimiter;
    dashes_ = 0;
    return true;
}

/** The line is no delimiter: what was kept back of it is text. */
void FormText::end_line() {
    if (state_ == State::kField) {
        switch (line_) {
            case Line::kReturn:
                put("\\r");
                break;
            case Line::kBare:
                put("\\n");
                break;
            case Line::kWhole:
                put("\\r\\n");
                break;
            case Line::kStart:
            case Line::kInside:
                break;
        }
        put({boundary_, matched_});
    }
    line_ = Line::kInside;
    matched_ = 0;
}

/** Takes a byte behind a boundary: two dashes end the form, the end of the line begins a part. */
void FormText::take_delimiter(char c) {
    constexpr uint8_t kPadded = 3;
    if (state_ == State::kLineFeed) {
        if (c != '\n') {
            fail();
            return;
        }
        state_ = State::kHeaders;
        header_size_ = 0;
        has_disposition_ = false;
        has_name_ = false;
        has_file_name_ = false;
    } else if (c == '-' && dashes_ < 2) {
        ++dashes_;
        state_ = dashes_ == 2 ? State::kComplete : State::kDelimiter;
    } else if (is_optional_space(c) && dashes_ != 1) {
        dashes_ = kPadded;
    } else if (c == '\r' && dashes_ != 1) {
        state_ = State::kLineFeed;
    } else {
        fail();
    }
}

void FormText::take_header(char c) {
    const bool after_return = header_size_ > 0 && header_[header_size_ - 1] == '\r';
    if (c == '\n' && after_return) {
        end_header({header_, header_size_ - size_t{1}});
        header_size_ = 0;
    } else if (c == '\n' || after_return || header_size_ == kMostHeader) {
        fail();
    } else {
        header_[header_size_++] = c;
    }
}

void FormText::end_header(std::string_view line) {
    if (line.empty()) {
        begin_part();
        return;
    }
    const size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    if (colon == line.npos || name.empty() || is_optional_space(name.front()) ||
        is_optional_space(name.back())) {
        fail();
        return;
    }
    const std::string_view value = trim_optional_space(line.substr(colon + 1));
    if (is_same(name, "content-disposition")) {
        read_disposition(value);
    } else if (is_same(name, "content-transfer-encoding") && !is_same(value, "binary") &&
               !is_same(value, "8bit") && !is_same(value, "7bit")) {
        fail();
    }
}

void FormText::read_disposition(std::string_view value) {
    bool sound = !has_disposition_ && is_same(take_header_word(&value), "form-data");
    has_disposition_ = true;
    HeaderParameter parameter;
    while (take_header_parameter(&value, &parameter)) {
        if (is_same(parameter.name, "name")) {
            sound = sound && !has_name_ && parameter.value.find('\\') == value.npos;
            has_name_ = true;
            set_name(parameter.value);
        } else if (is_same(parameter.name, "filename") || is_same(parameter.name, "filename*")) {
            has_file_name_ = true;
        } else if (is_same(parameter.name, "name*")) {
            sound = false;
        }
    }
    if (!sound || !value.empty()) {
        fail();
    }
}

/** A name that is too long is one that nobody wants. */
void FormText::set_name(std::string_view name) {
    name = name.size() <= kMostName ? name : std::string_view("~");
    if (!name.empty()) {
        std::memcpy(name_, name.data(), name.size());
    }
    name_size_ = static_cast<uint8_t>(name.size());
}

/** The blank line behind the headers of a part. */
void FormText::begin_part() {
    line_ = Line::kStart;
    matched_ = 0;
    if (!has_name_ || has_file_name_) {
        state_ = State::kSkipped;
        return;
    }
    state_ = State::kField;
    put(begun_ ? ",\"" : "\"");
    for (const char c : std::string_view(name_, name_size_)) {
        put_character(c);
    }
    put("\":\"");
    begun_ = true;
}

/**
 * Ends the text with a byte that makes it invalid JSON, so that readers see that the body is no
 * form.
 */
void FormText::fail() {
    put("!");
    state_ = State::kFailed;
}

void FormText::put(std::string_view text) {
    std::memcpy(output_ + output_size_, text.data(), text.size());
    output_size_ = static_cast<uint16_t>(output_size_ + text.size());
}

void FormText::put_character(char c) {
    constexpr char kDigits[] = "0123456789abcdef";
    if (is_plain(c)) {
        put({&c, 1});
    } else if (c == '"' || c == '\\') {
        const char escape[] = {'\\', c};
        put({escape, sizeof(escape)});
    } else {
        const char escape[] = {'\\', 'u', '0', '0', kDigits[c >> 4 & 15], kDigits[c & 15]};
        put({escape, sizeof(escape)});
    }
}

}  // namespace ai_limit
