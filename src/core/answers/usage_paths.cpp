#include "core/answers/usage_paths.h"

#include <iterator>

namespace ai_limit {

namespace {

struct Word {
    std::string_view prefix;
    UsageField field;
};

constexpr Word kWords[] = {
    {"input=", UsageField::kPrompt},
    {"output=", UsageField::kOutput},
    {"total=", UsageField::kTotal},
};

constexpr AnswerKind kKinds[] = {AnswerKind::kJson, AnswerKind::kSse, AnswerKind::kLines};

constexpr size_t tree_index(AnswerKind kind) {
    return kind == AnswerKind::kSse ? 1 : kind == AnswerKind::kJson ? 0 : 2;
}

/** True if a `*` is one of its keys. */
bool has_star(std::string_view pointer) {
    while (!pointer.empty()) {
        pointer.remove_prefix(1);
        const std::string_view key = pointer.substr(0, pointer.find('/'));
        if (key == "*") {
            return true;
        }
        pointer.remove_prefix(key.size());
    }
    return false;
}

}  // namespace

static_assert(UsagePaths::kMaxPlaces == 12);  // as a message says
static_assert(UsagePaths::kMaxPlaces * kMaxJsonPathDepth <= kOwnPathNodes);

const char* UsagePaths::add(std::string_view word) {
    for (const Word& row : kWords) {
        if (word.substr(0, row.prefix.size()) != row.prefix) {
            continue;
        }
        for (size_t i = 0; i < size_; ++i) {
            if (places_[i].field == row.field) {
                return "it is given twice";
            }
        }
        const size_t before = size_;
        const char* error = nullptr;
        std::string_view rest = word.substr(row.prefix.size());
        for (bool more = true; more && error == nullptr;) {
            const std::string_view pointer = rest.substr(0, rest.find(','));
            more = pointer.size() < rest.size();
            rest.remove_prefix(pointer.size() + (more ? 1 : 0));
            error = add_place({pointer, row.field});
        }
        if (error != nullptr) {
            size_ = before;
            return error;
        }
        make_trees();
        return nullptr;
    }
    return "it is not input=, output= or total=";
}

const char* UsagePaths::add_place(const Place& place) {
    if (place.pointer.empty()) {
        return "a JSON Pointer is missing";
    }
    for (size_t i = 0; i < size_; ++i) {
        if (places_[i].pointer == place.pointer) {
            return places_[i].field == place.field ? "the same JSON Pointer is given twice"
                                                   : "another count has the same JSON Pointer";
        }
    }
    JsonPaths<1 + kMaxJsonPathDepth> alone;
    if (const char* error = alone.add(place.pointer, 0, JsonPathStar::kEveryElement)) {
        return error;
    }
    if (size_ == kMaxPlaces) {
        return "there are at most 12 JSON Pointers";
    }
    places_[size_++] = place;
    return nullptr;
}

void UsagePaths::add_places(AnswerPaths* tree) {
    for (size_t i = 0; i < size_; ++i) {
        const Place& place = places_[i];
        JsonPathId id = count_path_id(UsageSource::kConfigured, place.field);
        if (has_star(place.pointer)) {
            sums_[kFirstOwnSum + i] = id;
            id = static_cast<JsonPathId>(kFirstAnswerSum + kFirstOwnSum + i);
        }
        tree->add(place.pointer, id, JsonPathStar::kEveryElement);
    }
}

/** The places come first, as the first path that names an element of an array counts; and once more
 * behind the others, as the last use of a path does. */
void UsagePaths::make_trees() {
    for (const AnswerKind kind : kKinds) {
        AnswerPaths* tree = &trees_[tree_index(kind)];
        *tree = AnswerPaths();
        add_places(tree);
        add_provider_paths(kind, tree, sums_);
        add_places(tree);
    }
}

AnswerTree UsagePaths::tree(AnswerKind kind) const {
    return {trees_[tree_index(kind)].root(), sums_};
}

}  // namespace ai_limit
