#include "core/requests/body_fields.h"

#include <new>

namespace ai_limit {

namespace {

// Replaces a number that has more digits than the scanner keeps, or a text that is no number. No
// server can count with it.
constexpr std::string_view kLongNumber = "~";

// Ids of containers on the way to fields, by their depth: objects' values, and elements of arrays.
constexpr JsonPathId kValueAt = 64;
constexpr JsonPathId kElementAt = kValueAt + kMaxJsonPathDepth + 1;
static_assert(BodyFieldPaths::kMostFields <= kValueAt);

bool is_number(std::string_view name) {
    return !name.empty() && name.find_first_not_of("0123456789") == name.npos;
}

}  // namespace

bool BodyFieldPaths::is_field(std::string_view pointer, size_t* field) const {
    for (size_t i = 0; i < count_; ++i) {
        if (pointers_[i] == pointer) {
            *field = i;
            return true;
        }
    }
    return false;
}

/** Adds what is on the way to a field, so that the spelling of its keys is seen. */
const char* BodyFieldPaths::add_containers(std::string_view pointer, Shape* shape) {
    for (size_t slash = 0; slash != pointer.npos; ++shape->depth) {
        const size_t end = pointer.find('/', slash + 1);
        const bool element = is_number(pointer.substr(slash + 1, end - slash - 1));
        shape->is_element = element;
        slash = end;
        if (end == pointer.npos) {
            continue;
        }
        const std::string_view container = pointer.substr(0, end);
        const JsonPathId first = element ? kElementAt : kValueAt;
        const JsonPathId id = static_cast<JsonPathId>(first + shape->depth + 1);
        size_t ignored = 0;
        if (is_field(container, &ignored)) {
            continue;
        }
        if (const char* error = paths_.add(container, id, JsonPathStar::kKey)) {
            return error;
        }
    }
    return nullptr;
}

const char* BodyFieldPaths::add(std::string_view pointer, size_t* field) {
    if (pointer.empty()) {
        return "the JSON Pointer is empty";
    }
    if (is_field(pointer, field)) {
        return nullptr;
    }
    if (count_ == kMostFields) {
        return "there are 32 other fields";
    }
    const auto id = static_cast<JsonPathId>(count_);
    if (const char* error = paths_.add(pointer, id, JsonPathStar::kKey)) {
        return error;
    }
    Shape shape{};
    if (const char* error = add_containers(pointer, &shape)) {
        return error;
    }
    const std::string_view first = pointer.substr(1, pointer.find('/', 1) - 1);
    begin_with_elements_ = begin_with_elements_ || is_number(first);
    shapes_[count_] = shape;
    pointers_[count_] = pointer;
    *field = count_++;
    return nullptr;
}

BodyFields::BodyFields(const BodyFieldPaths& paths, BodyField* fields)
    : paths_(&paths), scanner_(paths.root(), {true, true, kNoJsonPath}), fields_(fields) {
    for (size_t i = 0; i < paths.count(); ++i) {
        new (&fields_[i]) BodyField();
    }
}

void BodyFields::feed(std::string_view piece) {
    if (!begun_) {
        const size_t at = piece.find_first_not_of(" \t\r\n");
        if (at == piece.npos) {
            return;
        }
        piece.remove_prefix(at);
        begun_ = true;
        is_batch_ = piece.front() == '[' && !paths_->begin_with_elements();
        piece.remove_prefix(is_batch_ ? 1 : 0);
    }
    is_batch_ ? feed_batch(piece) : feed_document(piece);
}

/** Finds where elements end. The request's own reader finds text that is not JSON. */
void BodyFields::feed_batch(std::string_view piece) {
    size_t begin = 0;
    for (size_t at = 0; at < piece.size() && !batch_ended_; ++at) {
        const char c = piece[at];
        if (in_string_) {
            in_string_ = after_backslash_ || c != '"';
            after_backslash_ = !after_backslash_ && c == '\\';
            continue;
        }
        in_string_ = c == '"';
        if (depth_ == 0 && (c == ',' || c == ']')) {
            feed_document(piece.substr(begin, at - begin));
            end_element();
            begin = at + 1;
            batch_ended_ = c == ']';
        } else if (c == '{' || c == '[') {
            ++depth_;
        } else if ((c == '}' || c == ']') && depth_ > 0) {
            --depth_;
        }
    }
    if (!batch_ended_) {
        feed_document(piece.substr(begin));
    }
}

void BodyFields::end_element() {
    scanner_.reset();
    ++element_;
}

void BodyFields::feed_document(std::string_view piece) {
    while (!piece.empty()) {
        const JsonToken token = scanner_.next(&piece);
        if (token.kind != JsonToken::kNothing) {
            take(token);
        }
    }
}

/**
 * Returns the spelling of the keys on the way to a value that has just begun; 0 if all are in lower
 * case.
 */
uint32_t BodyFields::spelling_of(size_t depth, bool is_element) const {
    const uint32_t own = is_element ? 0 : scanner_.spelling();
    const uint32_t before = containers_[depth - 1];
    const uint32_t both = before * 31 + own;
    return both == 0 && own != 0 ? 1 : both;
}

void BodyFields::take(const JsonToken& token) {
    if (token.id >= kValueAt) {
        const bool is_element = token.id >= kElementAt;
        const size_t depth = token.id - (is_element ? kElementAt : kValueAt);
        if (token.kind == JsonToken::kBegin) {
            containers_[depth] = spelling_of(depth, is_element);
        }
        return;
    }
    const bool begins = token.kind == JsonToken::kString ? token.first : true;
    if (begins && token.kind != JsonToken::kEnd) {
        const size_t depth = paths_->depth(token.id);
        spelling_ = spelling_of(depth, paths_->is_element(token.id));
        if (token.kind == JsonToken::kBegin) {
            containers_[depth] = spelling_;
        }
        if (fields_[token.id].seen) {
            former_ = fields_[token.id].text;
        }
    }
    take_value(token, &fields_[token.id]);
}

void BodyFields::take_value(const JsonToken& token, BodyField* field) {
    switch (token.kind) {
        case JsonToken::kString:
            if (token.first) {
                field->text.begin();
            }
            field->text.append_json(token.text);
            if (!token.last) {
                return;
            }
            field->text.end();
            break;
        case JsonToken::kNumber:
            field->text.assign(token.text.empty() ? kLongNumber : token.text);
            break;
        case JsonToken::kTrue:
            field->text.assign("true");
            break;
        case JsonToken::kFalse:
            field->text.assign("false");
            break;
        case JsonToken::kBegin:
            field->text.assign({});
            break;
        case JsonToken::kEnd:
        case JsonToken::kNull:
        case JsonToken::kNothing:
            return;
    }
    end_value(field);
}

void BodyFields::end_value(BodyField* field) {
    // The texts are compared, as a client could make two of them have the same hash.
    const bool must_agree = field->seen && (form_ || field->spelling != spelling_);
    is_batch_of_several_ = is_batch_of_several_ || (field->seen && field->element != element_);
    disagree_ = disagree_ || (must_agree && former_.view() != field->text.view());
    field->element = element_;
    field->spelling = spelling_;
    field->seen = true;
}

}  // namespace ai_limit
