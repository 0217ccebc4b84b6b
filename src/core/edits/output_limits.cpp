#include "core/edits/output_limits.h"

#include "core/json/lax_values.h"
#include "core/words/json_bytes.h"
#include "core/words/number.h"
#include "core/words/text_writer.h"

namespace ai_limit {

namespace {

constexpr Amount kEndless = UINT64_MAX;
constexpr uint64_t kNullSize = 4;
constexpr uint8_t kMostCandidates = 8;

/** The tokens that a number allows. A fraction is rounded up; a negative one means no end. */
Amount tokens_of_number(std::string_view number) {
    Amount tokens = kEndless;
    read_reported_count(number, &tokens);
    return tokens;
}

Amount tokens_of_string(std::string_view text) {
    return is_lax_number(&text) && !text.empty() ? tokens_of_number(text) : kEndless;
}

}  // namespace

OutputLimits::OutputLimits(std::string_view path, const OwnOutputField* own)
    : scanner_(own != nullptr ? own->paths() : output_paths(), {true, true, kNoJsonPath}),
      own_(own),
      first_api_(first_output_api(path)) {
    for (uint8_t i = 0; i < kMostCandidates; ++i) {
        const OutputApi* api = output_api(first_api_ + i);
        const bool fits = api != nullptr && is_output_api_of(*api, path);
        candidates_ = static_cast<uint8_t>(candidates_ | (fits ? 1u << i : 0u));
    }
    for (uint8_t& object : innermost_) {
        object = kNoObject;
    }
}

void OutputLimits::feed(std::string_view piece) {
    std::string_view rest = piece;
    while (!rest.empty()) {
        const std::string_view before = rest;
        const JsonToken token = scanner_.next(&rest);
        look_at_first_byte(before.substr(0, before.size() - rest.size()));
        if (token.kind != JsonToken::kNothing) {
            take(token, offset_ + (piece.size() - rest.size()));
        }
    }
    offset_ += piece.size();
}

/** The first byte behind the brace of an object says whether it has keys. */
void OutputLimits::look_at_first_byte(std::string_view used) {
    for (size_t i = 0; i < used.size() && opened_ != kNoObject; ++i) {
        if (!is_json_space(used[i])) {
            objects_[opened_].empty = used[i] == '}';
            opened_ = kNoObject;
        }
    }
}

/** `end` is where in the text the token ends. */
void OutputLimits::take(const JsonToken& token, uint64_t end) {
    if (in_field_) {
        Place* place = &places_[place_count_ - 1];
        if (token.kind == JsonToken::kEnd && token.id == place->id) {
            in_field_ = false;
            place->size = end - place->at;
        }
        return;
    }
    if (token.id < kFirstOutputObject || token.id == kOwnOutputField) {
        take_field(token, end);
    } else if (token.id < kOutputRoot) {
        take_object(token, end, 1);
    } else if (token.id >= kOwnOutputObject) {
        take_object(token, end, static_cast<uint8_t>(token.id - kOwnOutputObject + 1));
    } else if (token.id == kOutputRoot) {
        take_object(token, end, 0);
    } else if (token.id == kOutputAnswer) {
        const bool is_prompt =
            token.kind == JsonToken::kBegin || (token.kind == JsonToken::kString && token.first);
        answers_ += is_prompt ? 1 : 0;
    } else {
        keys_ |= uint64_t{1} << (token.id - kOutputRoot);
    }
}

void OutputLimits::take_object(const JsonToken& token, uint64_t end, uint8_t depth) {
    if (token.kind == JsonToken::kEnd || (token.kind == JsonToken::kString && !token.first)) {
        return;
    }
    if (object_count_ == kMostObjects) {
        is_vague_ = true;
        return;
    }
    const bool is_object = token.kind == JsonToken::kBegin && token.text == "{";
    const bool is_null = token.kind == JsonToken::kNull && depth != 0;  // no body is null
    const uint8_t parent = depth == 0 ? kNoObject : innermost_[depth - 1];
    const bool in_exact = parent == kNoObject || objects_[parent].exact;
    Object* object = &objects_[object_count_];
    *object = {is_null ? end - kNullSize : end,
               token.id,
               depth,
               parent,
               is_object ? Kind::kValue
               : is_null ? Kind::kNull
                         : Kind::kOther,
               depth == 0 || (in_exact && scanner_.spelling() == 0),
               false};
    if (is_object) {
        innermost_[depth] = object_count_;
        opened_ = object_count_;
    }
    ++object_count_;
}

uint8_t OutputLimits::parent_of(JsonPathId field) const {
    const uint8_t depth =
        field == kOwnOutputField ? own_->api().member.depth : output_field_depth(field);
    return depth == 0 ? kNoObject : innermost_[depth - 1];
}

/** Returns nullptr if there is no room for another value. */
OutputLimits::Place* OutputLimits::begin_field(JsonPathId id, uint64_t at) {
    if (place_count_ == kMostPlaces) {
        is_vague_ = true;
        return nullptr;
    }
    const uint8_t parent = parent_of(id);
    const bool in_exact = parent == kNoObject || objects_[parent].exact;
    Place* place = &places_[place_count_++];
    *place = {at, 0, kEndless, id, Kind::kOther, in_exact && scanner_.spelling() == 0, parent};
    return place;
}

void OutputLimits::take_string(const JsonToken& token, uint64_t end) {
    if (token.first) {
        word_.clear();
        begin_field(token.id, end - token.text.size() - (token.last ? 2 : 1));
    }
    word_.append(token.text);
    if (token.last && !is_vague_) {
        Place* place = &places_[place_count_ - 1];
        place->size = end - place->at;
        std::string_view text;
        place->tokens = word_.get(&text) ? tokens_of_string(text) : kEndless;
    }
}

void OutputLimits::take_field(const JsonToken& token, uint64_t end) {
    if (token.kind == JsonToken::kString) {
        take_string(token, end);
        return;
    }
    const size_t size = token.kind == JsonToken::kFalse  ? 5
                        : token.kind == JsonToken::kTrue ? 4
                        : token.kind == JsonToken::kNull ? kNullSize
                                                         : token.text.size();
    Place* place = begin_field(token.id, end - size);
    if (place == nullptr) {
        return;
    }
    place->size = size;
    in_field_ = token.kind == JsonToken::kBegin;
    if (token.kind == JsonToken::kNull) {
        place->kind = Kind::kNull;
    }
    if (token.kind == JsonToken::kNumber) {
        is_vague_ = is_vague_ || size == 0;  // too long, or not finite
        place->tokens = tokens_of_number(token.text);
        place->kind = Kind::kValue;
    }
    if (place->tokens == 0 && is_endless_if_zero(token.id)) {
        place->tokens = kEndless;
    }
}

void OutputLimits::finish() {
    if (own_ != nullptr) {
        api_ = &own_->api();
        return;
    }
    for (uint8_t i = 0; i < kMostCandidates && api_ == nullptr; ++i) {
        const OutputApi* api = output_api(first_api_ + i);
        const bool has_key = api != nullptr && (api->root_key == kNoJsonPath ||
                                                (keys_ >> (api->root_key - kOutputRoot) & 1) != 0);
        api_ = (candidates_ >> i & 1) != 0 && has_key ? api : nullptr;
    }
}

bool OutputLimits::is_field_of_api(const Place& place) const {
    if (!place.exact || api_ == nullptr) {
        return false;
    }
    return own_ != nullptr ? place.id == kOwnOutputField
                           : place.id < kFirstOutputObject && (api_->fields >> place.id & 1) != 0;
}

bool OutputLimits::is_object_of_api(const Object& object) const {
    return object.exact && is_like_object_of_api(object);
}

bool OutputLimits::is_like_object_of_api(const Object& object) const {
    if (api_ == nullptr || api_->member.depth == 0) {
        return false;
    }
    if (object.depth == 0) {
        return true;
    }
    return own_ != nullptr ? object.id >= kOwnOutputObject
                           : (api_->objects >> (object.id - kFirstOutputObject) & 1) != 0;
}

/** True if the field has another value than null in the object; any field if it is kNoJsonPath. */
bool OutputLimits::has_value(uint8_t object, JsonPathId field) const {
    for (uint8_t i = 0; i < place_count_; ++i) {
        const Place& place = places_[i];
        if (place.parent == object && place.kind != Kind::kNull && is_field_of_api(place) &&
            (field == kNoJsonPath || place.id == field)) {
            return true;
        }
    }
    return false;
}

bool OutputLimits::is_limited(uint8_t object) const {
    return has_value(object, kNoJsonPath);
}

/**
 * The field whose null becomes the limit of an object without one: that of the API, or else the one
 * that the client names. kNoJsonPath if there is none.
 */
JsonPathId OutputLimits::null_to_replace(uint8_t object) const {
    JsonPathId found = kNoJsonPath;
    for (uint8_t i = 0; i < place_count_; ++i) {
        const Place& place = places_[i];
        if (place.parent == object && place.kind == Kind::kNull && is_field_of_api(place) &&
            (found == kNoJsonPath || place.id == api_->field)) {
            found = place.id;
        }
    }
    return found;
}

/** True if an object that the API's fields are in is in this one. */
bool OutputLimits::has_child(uint8_t object) const {
    for (uint8_t i = 0; i < object_count_; ++i) {
        if (objects_[i].depth != 0 && objects_[i].parent == object &&
            is_object_of_api(objects_[i])) {
            return true;
        }
    }
    return false;
}

/**
 * Null means no limit. Servers may take either of two values of a key, and some, such as those in
 * Go, match keys in any case: there a null in another spelling ends the limit that stands before.
 */
bool OutputLimits::replaces_null(const Place& place) const {
    if (api_ == nullptr || (!place.exact && place.parent != kNoObject)) {
        return true;
    }
    if (!is_field_of_api(place) || place.parent == kNoObject) {
        return false;
    }
    return has_value(place.parent, place.id) ||
           (!is_limited(place.parent) && null_to_replace(place.parent) == place.id);
}

bool OutputLimits::must_replace(const Place& place, Amount limit) const {
    return place.kind == Kind::kNull ? replaces_null(place) : place.tokens > limit;
}

/** True if the object of the API needs a member to limit the output. */
bool OutputLimits::must_insert(uint8_t number) const {
    const Object& object = objects_[number];
    if (!is_object_of_api(object) || object.kind == Kind::kOther) {
        return false;
    }
    if (object.kind == Kind::kNull) {
        return true;
    }
    return object.depth + 1 == api_->member.depth
               ? !is_limited(number) && null_to_replace(number) == kNoJsonPath
               : !has_child(number);
}

bool OutputLimits::inserts() const {
    for (uint8_t i = 0; i < object_count_; ++i) {
        if (must_insert(i)) {
            return true;
        }
    }
    return false;
}

/** True if some field, in any spelling, is in the object. */
bool OutputLimits::has_field(uint8_t object) const {
    for (uint8_t i = 0; i < place_count_; ++i) {
        if (places_[i].parent == object) {
            return true;
        }
    }
    return false;
}

/**
 * True if nothing can be inserted where it would have to be. An object in another spelling, without
 * a limit, may take the place of the one that has it.
 */
bool OutputLimits::is_broken() const {
    if (api_ == nullptr || api_->member.depth == 0) {
        return false;
    }
    for (uint8_t i = 0; i < object_count_; ++i) {
        const Object& object = objects_[i];
        if (object.exact ? object.kind == Kind::kOther && is_object_of_api(object)
                         : is_like_object_of_api(object) && !has_field(i)) {
            return true;
        }
    }
    return object_count_ == 0;
}

bool OutputLimits::most_output(Amount limit, Amount* tokens) const {
    if (scanner_.is_blank()) {
        return false;
    }
    bool limited = false;
    Amount most = 0;
    const auto add = [&](Amount value) {
        limited = true;
        value = value < limit ? value : limit;
        most = value > most ? value : most;
    };
    for (uint8_t i = 0; i < place_count_; ++i) {
        const Place& place = places_[i];
        if (place.kind != Kind::kNull || replaces_null(place)) {
            add(place.tokens);
        }
    }
    if (inserts()) {
        add(kEndless);
    }
    if (!limited || most == kEndless) {
        return false;
    }
    *tokens = most;
    return true;
}

bool OutputLimits::must_edit(Amount limit) const {
    if (scanner_.is_blank()) {
        return false;
    }
    if (is_vague_ || is_broken() || inserts()) {
        return true;
    }
    for (uint8_t i = 0; i < place_count_; ++i) {
        if (must_replace(places_[i], limit)) {
            return true;
        }
    }
    return false;
}

/** Inserts the API's member into an object of it, or the object in place of null. */
bool OutputLimits::insert(const Object& object, std::string_view digits, BodyEdits* edits) const {
    static constexpr std::string_view kEnds = "}}}},";
    const OutputMember& member = api_->member;
    const bool is_null = object.kind == Kind::kNull;
    const uint64_t at = text_at_ + object.at;
    const size_t begin = is_null ? member.value_at[object.depth - 1] : member.key_at[object.depth];
    const size_t braces = static_cast<size_t>(member.depth) - object.depth - (is_null ? 0 : 1);
    const size_t comma = is_null || object.empty ? 0 : 1;
    const uint64_t removed = is_null ? kNullSize : 0;
    return edits->add({at, removed, member.text.substr(begin)}) &&
           edits->add({at + removed, 0, digits}) &&
           edits->add({at + removed, 0, kEnds.substr(kEnds.size() - 1 - braces, braces + comma)});
}

bool OutputLimits::edit(Amount limit, OutputEdits* edits) const {
    TextWriter out(edits->digits, sizeof(edits->digits));
    out.number(limit);
    bool added = why_fixed().empty();
    for (uint8_t i = 0; added && i < place_count_; ++i) {
        if (must_replace(places_[i], limit)) {
            added = edits->edits.add({text_at_ + places_[i].at, places_[i].size, out.view()});
        }
    }
    for (uint8_t i = 0; added && i < object_count_; ++i) {
        added = !must_insert(i) || insert(objects_[i], out.view(), &edits->edits);
    }
    return added;
}

std::string_view OutputLimits::why_fixed() const {
    if (!is_plain_) {
        return "The output can be limited only if the request body is JSON in UTF-8 without a "
               "content coding.";
    }
    if (is_vague_) {
        return "The request body limits its output in too many ways.";
    }
    return is_broken() ? "The output cannot be limited in a request body of this shape."
                       : std::string_view();
}

}  // namespace ai_limit
