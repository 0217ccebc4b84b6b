#include "core/endings/event_ends.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace ai_limit {

namespace {

constexpr JsonPathId kDocument = 0;
constexpr JsonPathId kElement = 1;

struct Tree {
    JsonPaths<3> paths;
    const char* error;
};

constexpr Tree make_tree(std::string_view path, JsonPathId id) {
    Tree tree{};
    tree.error = tree.paths.add(path, id, JsonPathStar::kEveryElement);
    return tree;
}

constexpr Tree kDocumentTree = make_tree("", kDocument);
constexpr Tree kElementTree = make_tree("/*", kElement);
static_assert(kDocumentTree.error == nullptr && kElementTree.error == nullptr);

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/** A line without bytes, or with the first half of its end. */
bool is_blank(std::string_view line) {
    return line.empty() || line == "\r";
}

/** Returns the position of the last such byte, or npos. */
size_t find_last(std::string_view text, char c) {
    const void* at = text.empty() ? nullptr : memrchr(text.data(), c, text.size());
    return at != nullptr ? static_cast<size_t>(static_cast<const char*>(at) - text.data())
                         : text.npos;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<EventEnds>);

StreamForm stream_form(AnswerKind kind, std::string_view front) {
    if (front.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
        front.remove_prefix(kByteOrderMark.size());
    }
    const size_t begin = front.find_first_not_of(kSpace);
    switch (kind) {
        case AnswerKind::kSse:
            return StreamForm::kSse;
        case AnswerKind::kLines:
            return StreamForm::kLines;
        case AnswerKind::kEventStream:
            return StreamForm::kMessages;
        case AnswerKind::kJson:
            if (begin == front.npos) {
                return StreamForm::kNone;
            }
            return front[begin] == '[' ? StreamForm::kArray : StreamForm::kDocuments;
        case AnswerKind::kOther:
            break;
    }
    return StreamForm::kNone;
}

EventEnds::EventEnds(StreamForm form)
    : form_(form),
      scanner_(form == StreamForm::kArray ? kElementTree.paths.root()
                                          : kDocumentTree.paths.root()) {}

size_t EventEnds::take(std::string_view rest, bool* ends) {
    *ends = false;
    const bool was_between = between_;
    const size_t size = take_event(rest, ends);
    if (was_between && !between_) {
        open_at_ = position_;
    }
    position_ += size;
    if (*ends) {
        note_end(position_);
    }
    return size;
}

size_t EventEnds::take_event(std::string_view rest, bool* ends) {
    switch (form_) {
        case StreamForm::kNone:
            between_ = false;
            break;
        case StreamForm::kDocuments:
            return take_document(rest, ends);
        case StreamForm::kArray:
            return take_element(rest, ends);
        case StreamForm::kMessages:
            return take_message(rest, ends);
        case StreamForm::kSse:
        case StreamForm::kLines:
            return take_line_event(rest, ends);
    }
    return rest.size();
}

/** A blank line ends an event, or each line that is none. The stream can be ended behind any blank
 * line. */
size_t EventEnds::take_line_event(std::string_view rest, bool* ends) {
    size_t at = 0;
    while (at < rest.size()) {
        const size_t end = find_line_end(rest, at);
        const bool blank = line_is_blank_ && is_blank(rest.substr(at, end - at));
        if (end == rest.size()) {
            line_is_blank_ = blank;
            between_ = between_ && blank;
            break;
        }
        line_is_blank_ = true;
        at = end + 1;
        if (blank == (form_ == StreamForm::kSse)) {
            between_ = true;
            *ends = true;
            return at;
        }
        between_ = between_ && blank;
    }
    return rest.size();
}

/** Returns the position of the byte that ends the line, or the size. */
size_t EventEnds::find_line_end(std::string_view rest, size_t from) {
    size_t end = std::min(rest.find(line_end(), from), rest.size());
    if (!knows_lines_) {
        const size_t cr = std::min(rest.find('\r', from), rest.size());
        if (cr < end && cr + 1 < rest.size() && rest[cr + 1] != '\n') {
            cr_only_ = true;
            end = cr;
        }
        knows_lines_ = end < rest.size();
    }
    return end;
}

void EventEnds::note_end(uint64_t position) {
    between_ = true;
    first_end_ = first_end_ != 0 ? first_end_ : position;
}

size_t EventEnds::take_whole(std::string_view rest) {
    const size_t end = shows_ends() && knows_lines_ ? last_end(rest) : rest.npos;
    if (end == rest.npos) {
        return 0;
    }
    position_ += end;
    line_is_blank_ = true;
    note_end(position_);
    return end;
}

/** Returns the position behind the last event that ends in `rest`, or npos. */
size_t EventEnds::last_end(std::string_view rest) const {
    const char end = line_end();
    size_t at = find_last(rest, end);
    if (form_ == StreamForm::kLines || at == rest.npos) {
        return at == rest.npos ? at : at + 1;
    }
    for (;;) {
        const std::string_view before = rest.substr(0, at);
        const size_t previous = find_last(before, end);
        if (previous == before.npos) {
            return line_is_blank_ && is_blank(before) ? at + 1 : rest.npos;
        }
        if (is_blank(before.substr(previous + 1))) {
            return at + 1;
        }
        at = previous;
    }
}

/** Takes all of a piece of server-sent events if its last line end is that of a blank line, as
 * mostly. Otherwise takes nothing and returns false. */
bool EventEnds::take_all_plain(std::string_view rest) {
    const size_t last = is_plain_ ? find_last(rest, '\n') : rest.npos;
    if (last == rest.npos || last == 0 || rest[last - 1] != '\n') {
        return false;
    }
    const std::string_view open = rest.substr(last + 1);
    if (!open.empty() && open.front() == '\r') {
        return false;
    }
    open_at_ = position_ + last + 1;
    position_ += rest.size();
    between_ = line_is_blank_ = open.empty();
    first_end_ = first_end_ != 0 ? first_end_ : open_at_;
    return true;
}

void EventEnds::take_all(std::string_view rest) {
    if (take_all_plain(rest)) {
        return;
    }
    if (!shows_ends() || !knows_lines_) {
        while (!rest.empty()) {
            bool ends = false;
            rest.remove_prefix(take(rest, &ends));
        }
        return;
    }
    const size_t whole = take_whole(rest);
    is_plain_ = form_ == StreamForm::kSse && !cr_only_;
    rest.remove_prefix(whole);
    if (rest.empty()) {
        return;
    }
    note_open_line(rest);
    if (between_ && rest.find_first_not_of("\r\n") != rest.npos) {
        between_ = false;
        open_at_ = position_;
    }
    position_ += rest.size();
}

/** Notes whether the line that is open at the end of `rest` is blank. */
void EventEnds::note_open_line(std::string_view rest) {
    const size_t last = find_last(rest, line_end());
    const bool is_new = last != rest.npos;
    line_is_blank_ = (is_new || line_is_blank_) && is_blank(is_new ? rest.substr(last + 1) : rest);
}

size_t EventEnds::take_document(std::string_view rest, bool* ends) {
    std::string_view left = rest;
    if (between_) {
        const size_t begin = left.find_first_not_of(kSpace);
        if (begin == left.npos) {
            return rest.size();
        }
        left.remove_prefix(begin);
        scanner_.reset();
        between_ = false;
    }
    for (;;) {
        const JsonToken token = scanner_.next(&left);
        if (token.kind == JsonToken::kNothing) {
            return rest.size();
        }
        if (token.kind == JsonToken::kEnd) {
            *ends = true;
            between_ = true;
            return rest.size() - left.size();
        }
    }
}

size_t EventEnds::take_element(std::string_view rest, bool* ends) {
    std::string_view left = rest;
    for (;;) {
        const JsonToken token = scanner_.next(&left);
        if (token.kind == JsonToken::kNothing) {
            break;
        }
        if (token.kind == JsonToken::kEnd) {
            *ends = true;
            between_ = true;
            return rest.size() - left.size();
        }
        between_ = false;
        if (token.kind != JsonToken::kBegin || token.text != "{") {
            form_ = StreamForm::kNone;  // no event is a string, a number or an array
            return rest.size();
        }
    }
    // Behind the array, or where it is malformed, nothing can be added.
    if (scanner_.is_complete() || scanner_.is_malformed()) {
        between_ = false;
        form_ = StreamForm::kNone;
    }
    return rest.size();
}

size_t EventEnds::take_message(std::string_view rest, bool* ends) {
    std::string_view left = rest;
    between_ = between_ && left.empty();
    for (;;) {
        const EventStreamToken token = messages_.next(&left);
        if (token.kind == EventStreamToken::kNothing) {
            return rest.size();
        }
        if (token.kind == EventStreamToken::kEndOfMessage) {
            *ends = true;
            between_ = true;
            return rest.size() - left.size();
        }
    }
}

}  // namespace ai_limit
