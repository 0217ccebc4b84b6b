#include "core/usage_paths.h"

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

constexpr size_t tree_index(AnswerKind kind) {
    return kind == AnswerKind::kSse ? 1 : kind == AnswerKind::kJson ? 0 : 2;
}

}  // namespace

const char* UsagePaths::add(std::string_view word) {
    static_assert(std::size(kWords) == kCounts);
    for (size_t i = 0; i < kCounts; ++i) {
        const std::string_view prefix = kWords[i].prefix;
        if (word.substr(0, prefix.size()) != prefix) {
            continue;
        }
        const std::string_view pointer = word.substr(prefix.size());
        if (const char* error = check(i, pointer)) {
            return error;
        }
        pointers_[i] = pointer;
        make_tree(AnswerKind::kJson);
        make_tree(AnswerKind::kSse);
        make_tree(AnswerKind::kLines);
        return nullptr;
    }
    return "it is not input=, output= or total=";
}

const char* UsagePaths::check(size_t count, std::string_view pointer) const {
    if (pointer.empty()) {
        return "a JSON Pointer is missing";
    }
    if (!pointers_[count].empty()) {
        return "it is given twice";
    }
    for (const std::string_view other : pointers_) {
        if (other == pointer) {
            return "another count has the same JSON Pointer";
        }
    }
    JsonPaths<1 + kMaxJsonPathDepth> alone;
    return alone.add(pointer, 0, JsonPathStar::kKey);
}

/** The pointers come before the texts, as of an array the first one listed counts; and once more,
 * as of the same path the last one does. */
void UsagePaths::make_tree(AnswerKind kind) {
    AnswerPaths* tree = &trees_[tree_index(kind)];
    const auto add_pointers = [&] {
        for (size_t i = 0; i < kCounts; ++i) {
            if (!pointers_[i].empty()) {
                tree->add(pointers_[i], count_path_id(UsageSource::kModel, kWords[i].field),
                          JsonPathStar::kKey);
            }
        }
    };
    *tree = AnswerPaths();
    add_pointers();
    add_text_paths(kind, tree);
    add_pointers();
}

bool UsagePaths::is_empty() const {
    for (const std::string_view pointer : pointers_) {
        if (!pointer.empty()) {
            return false;
        }
    }
    return true;
}

const JsonPathNode* UsagePaths::tree(AnswerKind kind) const {
    return trees_[tree_index(kind)].root();
}

}  // namespace ai_limit
