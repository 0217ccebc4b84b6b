#include "core/endings/stream_copy.h"

#include <algorithm>
#include <type_traits>

#include "core/streams/sse.h"

namespace ai_limit {

static_assert(std::is_trivially_copyable_v<StreamCopy>);

namespace {

/** Memory for documents that do not lie in one piece. */
struct Scratch {
    char* at;
    char* end;

    bool add(std::string_view text) {
        if (text.size() > static_cast<size_t>(end - at)) {
            return false;
        }
        at = std::copy(text.begin(), text.end(), at);
        return true;
    }
};

/** Returns the data of a server-sent event; what there is no room for is left out. */
std::string_view event_data(std::string_view event, Scratch* scratch) {
    SseReader reader;
    std::string_view data;
    const char* joined = nullptr;
    for (;;) {
        const SseToken token = reader.next(&event);
        if (token.kind != SseToken::kData) {
            return joined == nullptr
                       ? data
                       : std::string_view(joined, static_cast<size_t>(scratch->at - joined));
        }
        if (data.empty()) {
            data = token.text;
            continue;
        }
        if (joined == nullptr) {
            joined = scratch->at;
            if (!scratch->add(data)) {
                return data;
            }
        }
        scratch->add(token.text);
    }
}

/** Takes the document of an event from the front of `rest`. The last one may be cut short. */
std::string_view take_document(StreamForm form, std::string_view* rest, Scratch* scratch) {
    const bool is_json = form == StreamForm::kArray || form == StreamForm::kDocuments;
    if (is_json) {
        rest->remove_prefix(std::min(rest->find('{'), rest->size()));
    }
    EventEnds ends(is_json ? StreamForm::kDocuments : form);
    bool ended = false;
    const std::string_view event = rest->substr(0, ends.take(*rest, &ended));
    rest->remove_prefix(event.size());
    return form == StreamForm::kSse ? event_data(event, scratch) : event;
}

/** Reads the events of a text that begins with one. */
void read_events(StreamForm form, std::string_view text, bool passes, Scratch* scratch,
                 StreamFacts* facts) {
    if (form == StreamForm::kNone || form == StreamForm::kMessages) {
        return;
    }
    while (!text.empty()) {
        const std::string_view document = take_document(form, &text, scratch);
        if (!document.empty()) {
            facts->read(document, passes);
        }
    }
}

/** Returns the last byte that is no white space, or `before` if there is none. */
char last_byte(std::string_view text, char before) {
    const size_t at = text.find_last_not_of(" \t\r\n");
    return at != text.npos ? text[at] : before;
}

}  // namespace

size_t room_for_end(const StreamCutPlace& place) {
    PassedOutput output;
    const bool has_output = place.events != nullptr && place.events->output(&output);
    const size_t repeated = has_output ? output.items.size() + kPartCopies * output.parts.size() +
                                             kTextCopies * output.text.size()
                                       : 0;
    return StreamCopy::kMaxHead + kMaxStreamEnd + repeated;
}

void StreamCopy::begin(AnswerKind kind, std::string_view front) {
    has_begun_ = true;
    const std::string_view head(head_, head_size_);
    const bool is_blank = head.find_first_not_of(" \t\r\n") == head.npos;
    ends_ = EventEnds(stream_form(kind, is_blank ? front : head));
    ends_.take_all(head);
    head_size_ = 0;
    pass(head);
}

void StreamCopy::add_head(std::string_view piece) {
    const size_t size = std::min(piece.size(), kMaxHead - head_size_);
    std::copy(piece.data(), piece.data() + size, head_ + head_size_);
    head_size_ = static_cast<uint16_t>(head_size_ + size);
}

void StreamCopy::pass(std::string_view piece) {
    if (head_size_ < kMaxHead) {
        add_head(piece);
    }
    if (ends_.form() == StreamForm::kArray) {
        last_ = last_byte(piece, last_);
    }
    const uint64_t open = ends_.position() - ends_.open_at();
    if (open <= piece.size()) {
        open_size_ = 0;  // it begins in this piece, or there is none
        open_is_whole_ = true;
        piece.remove_prefix(piece.size() - static_cast<size_t>(open));
    }
    if (!piece.empty()) {
        const size_t size = std::min(piece.size(), kMaxOpen - open_size_);
        std::copy(piece.data(), piece.data() + size, open_ + open_size_);
        open_size_ = static_cast<uint16_t>(open_size_ + size);
        open_is_whole_ = open_is_whole_ && size == piece.size();
    }
}

void StreamCopy::read(const StreamCutPlace& place, char* scratch, StreamFacts* facts) const {
    const StreamForm form = ends_.form();
    Scratch room{scratch, scratch + kScratch};
    read_events(form, {head_, head_size_}, true, &room, facts);
    std::string_view passed = place.passed;
    std::string_view dropped = place.dropped;
    if (open_size_ > 0) {
        // The open event goes on in what is passed.
        const char* begin = room.at;
        room.add({open_, open_size_});
        if (open_is_whole_) {
            room.add(passed.substr(0, std::min(place.continued, kMaxOpen)));
        }
        std::string_view event(begin, static_cast<size_t>(room.at - begin));
        facts->read(take_document(form, &event, &room), true);
        passed.remove_prefix(place.continued);
    }
    read_events(form, passed, true, &room, facts);
    if (!dropped.empty()) {
        facts->read(take_document(form, &dropped, &room), false);
    }
}

bool StreamCopy::write_end(const StreamCutPlace& place, char* scratch, TextWriter* out) const {
    StreamFacts facts;
    read(place, scratch, &facts);
    PassedOutput output;
    const bool has_output = place.events != nullptr && place.events->output(&output);
    facts.ended |= place.events != nullptr ? place.events->ended() : 0;
    const char last = last_byte(place.passed, last_);
    if (ends_.form() == StreamForm::kArray && last == '\0') {
        out->text("[");
    }
    const bool follows = last != '\0' && last != '[' && last != ',';
    StreamEnding end = {&facts,
                        has_output ? &output : nullptr,
                        ends_.form(),
                        place.used,
                        place.reports_usage,
                        follows,
                        false};
    const TextWriter before = *out;
    if (!write_stream_end(end, out)) {
        *out = before;
        end.is_short = true;
        return write_stream_end(end, out);
    }
    return true;
}

}  // namespace ai_limit
