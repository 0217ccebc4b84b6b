// A stream from which the usage chunk is taken: the same however it is cut, and what is missing are
// whole events that have such a chunk.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "core/usage_chunk.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

struct Collector {
    void pass(std::string_view text) {
        require(!text.empty());
        passed += text;
    }
    std::string passed;
};

std::string filtered(std::string_view stream, uint64_t cuts, size_t most) {
    UsageChunkFilter filter;
    Collector collector;
    while (!stream.empty()) {
        // A multiplicative generator (Knuth's MMIX) draws the length of each piece.
        cuts = cuts * 6364136223846793005U + 1442695040888963407U;
        const size_t size = std::min<size_t>(1 + (cuts >> 33) % most, stream.size());
        const std::unique_ptr<char[]> piece(new char[size]);
        stream.copy(piece.get(), size);
        filter.feed({piece.get(), size}, collector);
        stream.remove_prefix(size);
    }
    filter.finish(collector);
    return collector.passed;
}

/** Whether an event can be the one: it has both keys, if only in escapes. */
bool can_be_chunk(std::string_view event) {
    const bool escapes = event.find('\\') != event.npos;
    return event.find("data") != event.npos && event.find('[') != event.npos &&
           event.find('{') != event.npos &&
           (escapes ||
            (event.find("\"choices\"") != event.npos && event.find("\"usage\"") != event.npos));
}

/** Takes an event from the front: up to its blank line, or all that is left. The first line is not
 * blank, whatever it is, but for a byte order mark. */
std::string_view take_event(std::string_view* stream, bool first) {
    const bool mark = first && stream->substr(0, 3) == "\xEF\xBB\xBF";
    bool blank = mark || !first;
    size_t at = mark ? 3 : 0;
    while (at < stream->size()) {
        const char c = (*stream)[at++];
        if (c != '\n' && c != '\r') {
            blank = false;
            continue;
        }
        at += c == '\r' && at < stream->size() && (*stream)[at] == '\n' ? 1 : 0;
        if (blank) {
            break;
        }
        blank = true;
    }
    const std::string_view event = stream->substr(0, at);
    stream->remove_prefix(at);
    return event;
}

/** What has passed is the stream, but for events that can be the one. */
void require_subset(std::string_view passed, std::string_view stream) {
    for (bool first = true; !stream.empty(); first = false) {
        const std::string_view event = take_event(&stream, first);
        if (passed.substr(0, event.size()) == event) {
            passed.remove_prefix(event.size());
        } else {
            require(can_be_chunk(event));
        }
    }
    require(passed.empty());
}

}  // namespace

/** The first byte tells where to cut. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::string whole = filtered(stream, data[0], SIZE_MAX >> 1);
    require(filtered(stream, data[0], 1) == whole);
    require(filtered(stream, data[0], 40) == whole);
    require(filtered(stream, data[0], 400) == whole);
    require_subset(whole, stream);
    return 0;
}
