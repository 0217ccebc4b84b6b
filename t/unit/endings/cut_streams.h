#pragma once

// Cuts a stream as nginx does: after so many characters of text.

#include <algorithm>
#include <string>

#include "core/counts/answer_cost.h"
#include "core/endings/stream_copy.h"
#include "core/endings/stream_cut.h"
#include "core/usage/usage.h"

namespace ai_limit {

struct CutStream {
    std::string body;   // what the client gets, with its end
    std::string front;  // what it gets of the server's
    std::string end;
    uint64_t text = 0;
    bool is_cut = false;
    StreamForm form = StreamForm::kNone;
};

class CuttingReader {
public:
    CuttingReader(AnswerKind kind, uint64_t most) : reader_(kind, nullptr), most_(most) {}

    uint64_t allowed() const { return most_ - std::min(most_, text()); }
    uint64_t text() const { return reader_.text_characters(); }
    void feed(std::string_view bytes) { reader_.feed(bytes); }
    bool must_end() const { return true; }

    UsageReader& reader() { return reader_; }

private:
    UsageReader reader_;
    uint64_t most_;
};

/** Ends a stream that comes in pieces of `size` bytes after `most` characters of text. If `skips`
 * is false, no piece is passed as known events, which must make no difference. */
inline CutStream cut_stream(std::string_view stream, AnswerKind kind, uint64_t most, size_t size,
                            bool reports_usage = true, bool skips = true) {
    CuttingReader reader(kind, most);
    StreamCopy copy;
    std::string memory;
    PassedEvents events(&memory, [](void* owner, char*, size_t, size_t size) {
        static_cast<std::string*>(owner)->resize(size);
        return static_cast<std::string*>(owner)->data();
    });
    CutStream result;
    bool must_end = false;
    while (!stream.empty()) {
        // A copy of its own shows reads beyond it.
        const std::string piece(stream.substr(0, size));
        stream.remove_prefix(piece.size());
        if (!copy.has_begun()) {
            UsageReader probe = reader.reader();
            probe.feed(piece);
            if (probe.knows_kind()) {
                copy.begin(probe.kind(), piece);
            } else {
                reader.feed(piece);
                copy.pass(piece);
                events.pass(piece);
                result.front += piece;
                continue;
            }
        }
        UsageReader& usage = reader.reader();
        if (skips) {
            // A piece that was too much is read again.
            UsageReader::Mark before;
            usage.mark(&before);
            usage.feed_known(piece, UINT64_MAX, nullptr);
            usage.go_back(before);
        }
        KnownTexts* texts = skips ? events.texts(usage.known_events()) : nullptr;
        const size_t known = must_end ? 0 : usage.feed_known(piece, reader.allowed(), texts);
        if (skips && known == piece.size()) {
            copy.pass_known(piece, usage.known_events().front().size());
            events.pass_known(piece, usage.known_events());
            result.front += piece;
            continue;
        }
        const StreamCut cut = read_behind_known(
            piece, known, &copy.ends(), [&copy, &must_end, &reader](std::string_view rest) {
                return read_piece(rest, &copy.ends(), &must_end, &reader);
            });
        if (!cut.found) {
            copy.pass(piece);
            events.pass(piece);
            result.front += piece;
            continue;
        }
        const std::string_view view = piece;
        result.is_cut = true;
        result.text = cut.text;
        result.front += view.substr(0, cut.passed);
        AnswerFacts facts;
        facts.reported = reader.reader().reported();
        facts.text = cut.text;
        facts.prompt = 7;
        std::string scratch(StreamCopy::kScratch, '\0');
        events.pass(view.substr(0, cut.passed));
        const StreamCutPlace place = {view.substr(0, cut.passed),
                                      view.substr(cut.passed, cut.dropped),
                                      cut.continued,
                                      answer_cost(facts).counts,
                                      reports_usage,
                                      &events};
        std::string room(room_for_end(place), '\0');
        TextWriter out(room.data(), room.size());
        if (copy.write_end(place, scratch.data(), &out)) {
            result.end = out.view();
        }
        break;
    }
    result.form = copy.ends().form();
    result.body = result.front + result.end;
    return result;
}

}  // namespace ai_limit
