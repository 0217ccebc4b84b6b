// A stream of server-sent events, cut where the input says: the same events as in one piece.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/streams/sse.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/** Writes the events down; their ends as a byte that is no part of UTF-8. */
struct Record {
    void data(std::string_view text) {
        require(!text.empty());
        events += text;
        open = true;
    }
    void end_of_event() {
        events += '\xFF';
        open = false;
    }

    std::string events;
    bool open = false;
};

std::string in_pieces(std::string_view stream, uint64_t cuts) {
    SseReader reader;
    Record record;
    while (!stream.empty()) {
        // A multiplicative generator (Knuth's MMIX) draws the length of each piece.
        cuts = cuts * 6364136223846793005U + 1442695040888963407U;
        const size_t most = 1 + (cuts >> 33) % 17;
        const std::string piece(stream.substr(0, most));
        stream.remove_prefix(piece.size());
        reader.feed(piece, record);
    }
    reader.finish(record);
    require(!record.open);
    return record.events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    SseReader reader;
    Record whole;
    reader.feed(stream, whole);
    reader.finish(whole);
    require(!whole.open && whole.events.size() <= stream.size() + 1);
    require(in_pieces(stream, data[0]) == whole.events);
    return 0;
}
