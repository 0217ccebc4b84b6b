#include "core/usage/stored_answer.h"

#include <type_traits>

namespace ai_limit {

namespace {

struct Path {
    std::string_view path;
    JsonPathId wanted;
};

constexpr Path kPaths[] = {
    {"/id", 0},
    {"/response/id", 0},     // in the events of OpenAI's streams
    {"/interaction/id", 0},  // in those of Gemini's
};

constexpr JsonPathTable<6> kTree = make_json_path_table<6>(kPaths);
static_assert(kTree.error == nullptr);

bool is_collection(std::string_view segment) {
    return segment == "responses" || segment == "interactions";
}

/** Removes the last segment of a path. */
std::string_view take_last(std::string_view* path) {
    size_t slash = path->rfind('/');
    if (slash == path->npos) {
        return {};
    }
    std::string_view segment = path->substr(slash + 1);
    path->remove_suffix(segment.size() + 1);
    return segment;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<AnswerIdReader>);

StoredAnswer stored_answer(std::string_view path) {
    if (!path.empty() && path.back() == '/') {
        path.remove_suffix(1);
    }
    std::string_view last = take_last(&path);
    if (is_collection(last)) {
        return StoredAnswer::kMade;
    }
    if (last == "cancel") {
        last = take_last(&path);
    }
    return !last.empty() && is_collection(take_last(&path)) ? StoredAnswer::kFetched
                                                            : StoredAnswer::kNone;
}

AnswerIdReader::AnswerIdReader() : scanner_(kTree.paths.root()) {}

void AnswerIdReader::feed(std::string_view piece) {
    if (found_ || piece.empty()) {
        return;
    }
    if (!begun_) {
        const size_t begin = piece.find_first_not_of("\xEF\xBB\xBF \t\r\n");
        if (begin == piece.npos) {
            return;  // white space, or a byte order mark
        }
        piece.remove_prefix(begin);
        begun_ = true;
        is_json_ = piece.front() == '{';
    }
    if (is_json_) {
        read(piece);
        return;
    }
    while (!found_) {
        SseToken token = events_.next(&piece);
        if (token.kind == SseToken::kNothing) {
            break;
        }
        if (token.kind == SseToken::kData) {
            read(token.text);
        } else {
            scanner_.reset();
            id_.clear();
        }
    }
}

void AnswerIdReader::read(std::string_view text) {
    while (!text.empty() && !found_) {
        JsonToken token = scanner_.next(&text);
        if (token.kind == JsonToken::kString) {
            if (token.first) {
                id_.clear();
            }
            id_.append(token.text);
            found_ = token.last;
        }
    }
}

std::string_view AnswerIdReader::id() const {
    std::string_view id;
    return found_ && id_.get(&id) ? id : std::string_view();
}

}  // namespace ai_limit
