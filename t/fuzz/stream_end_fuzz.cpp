// A stream that is ended before its time: whatever the server sent, the end is well-formed, the
// client gets the front of the stream as it was, and how the stream is cut into pieces hardly
// matters. Events that are known from others before them end in the same way as parsed ones.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/json/json_scan.h"
#include "core/streams/sse.h"
#include "endings/cut_streams.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

constexpr JsonPaths<1> kNoPaths;

void require_document(std::string_view text) {
    JsonScanner scanner(kNoPaths.root());
    require(scanner.next(&text).kind == JsonToken::kNothing);
    require(scanner.is_complete());
}

/** Each event has one document, on a line of its own. */
void require_events(const std::string& end) {
    struct Sink {
        void data(std::string_view text) { all += text; }
        void end_of_event() {
            if (all != "[DONE]") {
                require_document(all);
                require(all.find('\n') == all.npos);
            }
            all.clear();
        }
        std::string all;
    } sink;
    SseReader reader;
    reader.feed(end, sink);
    require(sink.all.empty());
}

void require_lines(std::string_view end) {
    while (!end.empty()) {
        const size_t size = end.find('\n');
        require(size != end.npos);
        if (size > 0) {
            require_document(end.substr(0, size));
        }
        end.remove_prefix(size + 1);
    }
}

}  // namespace

/** The first three bytes say what the body is, where it is cut into pieces, and where it ends. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 3) {
        return 0;
    }
    constexpr AnswerKind kKinds[] = {AnswerKind::kSse, AnswerKind::kLines, AnswerKind::kJson,
                                     AnswerKind::kEventStream};
    const AnswerKind kind = kKinds[data[0] % 4];
    const std::string_view stream(reinterpret_cast<const char*>(data) + 3, size - 3);
    const CutStream cut = cut_stream(stream, kind, data[2], 1U + data[1]);
    require(stream.substr(0, cut.front.size()) == cut.front);
    require(cut.is_cut || cut.front == stream);
    const CutStream parsed = cut_stream(stream, kind, data[2], 1U + data[1], true, false);
    require(parsed.body == cut.body && parsed.text == cut.text);
    switch (cut.form) {
        case StreamForm::kSse:
            require_events(cut.end);
            break;
        case StreamForm::kLines:
        case StreamForm::kDocuments:
            require_lines(cut.end);
            break;
        case StreamForm::kArray:
            if (cut.is_cut) {
                const bool has_mark = cut.body.substr(0, 3) == "\xEF\xBB\xBF";
                require_document(std::string_view(cut.body).substr(has_mark ? 3 : 0));
            }
            break;
        case StreamForm::kMessages:
        case StreamForm::kNone:
            require(cut.end.empty());
            break;
    }
    return 0;
}
