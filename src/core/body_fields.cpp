#include "core/body_fields.h"

#include <new>

namespace ai_limit {

namespace {

// What stands for a number that has more digits than the scanner keeps. It is no number that a
// server can count with.
constexpr std::string_view kLongNumber = "~";

}  // namespace

const char* BodyFieldPaths::add(std::string_view pointer, size_t* field) {
    if (pointer.empty()) {
        return "the JSON Pointer is empty";
    }
    for (size_t i = 0; i < count_; ++i) {
        if (pointers_[i] == pointer) {
            *field = i;
            return nullptr;
        }
    }
    if (count_ == kMostFields) {
        return "there are 32 other fields";
    }
    if (const char* error =
            paths_.add(pointer, static_cast<JsonPathId>(count_), JsonPathStar::kKey)) {
        return error;
    }
    pointers_[count_] = pointer;
    *field = count_++;
    return nullptr;
}

BodyFields::BodyFields(const BodyFieldPaths& paths, BodyField* fields)
    : scanner_(paths.root()), fields_(fields) {
    for (size_t i = 0; i < paths.count(); ++i) {
        new (&fields_[i]) BodyField();
    }
}

void BodyFields::feed(std::string_view piece) {
    while (!piece.empty()) {
        const JsonToken token = scanner_.next(&piece);
        if (token.kind != JsonToken::kNothing) {
            take(token);
        }
    }
}

void BodyFields::take(const JsonToken& token) {
    BodyField* field = &fields_[token.id];
    switch (token.kind) {
        case JsonToken::kString:
            if (token.first) {
                field->begin();
            }
            field->append_json(token.text);
            if (token.last) {
                field->end();
            }
            break;
        case JsonToken::kNumber:
            field->assign(token.text.empty() ? kLongNumber : token.text);
            break;
        case JsonToken::kTrue:
            field->assign("true");
            break;
        case JsonToken::kFalse:
            field->assign("false");
            break;
        case JsonToken::kBegin:
            field->assign({});
            break;
        case JsonToken::kEnd:
        case JsonToken::kNull:
        case JsonToken::kNothing:
            break;
    }
}

}  // namespace ai_limit
