// A stream from which the usage is taken: the same however it is cut, and each event is what it was
// less its usage, by Boost.JSON.

#include <algorithm>
#include <boost/json.hpp>
#include <boost/json/src.hpp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "core/streams/sse.h"
#include "core/usage/usage.h"
#include "core/usage/usage_chunk.h"

namespace {

using namespace ai_limit;
namespace json = boost::json;

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

/** Also beside a reader, which tells the filter what it finds. */
std::string filtered(std::string_view stream, uint64_t cuts, size_t most, bool beside = false) {
    UsageChunkFilter filter;
    UsageReader reader(AnswerKind::kSse, nullptr);
    Collector collector;
    while (!stream.empty()) {
        // A multiplicative generator (Knuth's MMIX) draws the length of each piece.
        cuts = cuts * 6364136223846793005U + 1442695040888963407U;
        const size_t size = std::min<size_t>(1 + (cuts >> 33) % most, stream.size());
        const std::unique_ptr<char[]> piece(new char[size]);
        stream.copy(piece.get(), size);
        KnownRun run(&filter.known());
        if (beside) {
            reader.feed({piece.get(), size}, &run);
        }
        filter.feed({piece.get(), size}, collector, &run);
        stream.remove_prefix(size);
    }
    filter.finish(collector);
    return collector.passed;
}

/** True if an event may be changed: it has the key, if only in escapes. */
bool may_have_usage(std::string_view event) {
    return event.find("data") != event.npos &&
           (event.find('\\') != event.npos || event.find("\"usage\"") != event.npos);
}

/** The data of an event. Only before the first event of a stream, a byte order mark is none of it.
 */
std::string data_of(std::string_view event, bool first) {
    struct Sink {
        void data(std::string_view text) { all += text; }
        void end_of_event() {}
        std::string all;
    } sink;
    SseReader reader;
    if (!first) {
        reader.feed("\n", sink);
    }
    reader.feed(event, sink);
    return sink.all;
}

/** The object that an event's data is; null where it is none, or Boost refuses it. */
json::value document_of(std::string_view event, bool first) {
    json::parse_options options;
    options.allow_invalid_utf8 = true;
    boost::system::error_code error;
    json::value document = json::parse(data_of(event, first), error, {}, options);
    return error || !document.is_object() ? json::value() : document;
}

bool is_empty(const json::value& value) {
    return value.is_null() || value == json::value("") || value == json::array() ||
           value == json::object() || value == json::value(json::array{nullptr});
}

/** The usage is to be left out. */
bool is_hidden(const json::value& usage) {
    if (!usage.is_object()) {
        return usage.is_null();
    }
    for (const char* key : {"cost", "cost_in_usd_ticks"}) {
        const json::value* cost = usage.get_object().if_contains(key);
        if (cost != nullptr && !cost->is_null()) {
            return false;
        }
    }
    return true;
}

/** True if the event has nothing but the usage. */
bool is_alone(const json::value& document) {
    static constexpr std::string_view kEnvelope[] = {
        "id",           "object",      "created",
        "model",        "choices",     "usage",
        "service_tier", "obfuscation", "system_fingerprint",
        "provider"};
    if (!document.is_object()) {
        return false;
    }
    const json::object& members = document.get_object();
    const json::value* choices = members.if_contains("choices");
    const json::value* usage = members.if_contains("usage");
    if (choices == nullptr || *choices != json::array() || usage == nullptr ||
        !usage->is_object() || !is_hidden(*usage)) {
        return false;
    }
    for (const auto& member : members) {
        bool known = false;
        for (const std::string_view name : kEnvelope) {
            known = known || name == std::string_view(member.key().data(), member.key().size());
        }
        if (!known && !is_empty(member.value())) {
            return false;
        }
    }
    return true;
}

/** True if the event is written as servers do: one usage, on one line, without escapes. */
bool is_plain(std::string_view event, bool begins) {
    constexpr std::string_view kKey = "\"usage\"";
    const size_t first = event.find(kKey);
    return first != event.npos && event.find(kKey, first + 1) == event.npos &&
           event.find('\\') == event.npos && data_of(event, begins).find('\n') == std::string::npos;
}

/** An event that has passed as `seen`, which is empty where it was removed. */
void require_less_usage(std::string_view event, std::string_view seen, bool first) {
    json::value document = document_of(event, first);
    if (document.is_null()) {
        require(seen == event || may_have_usage(event));
        return;
    }
    json::object& members = document.get_object();
    const json::value* usage = members.if_contains("usage");
    const bool hidden = usage != nullptr && is_hidden(*usage);
    if (seen == event) {
        require(!hidden || !is_plain(event, first));
        return;
    }
    // A key may come twice, and Boost tells only the last one.
    if (!is_plain(event, first)) {
        require(may_have_usage(event));
        return;
    }
    require(hidden);
    require(seen.empty() == is_alone(document));
    if (seen.empty()) {
        return;
    }
    members.erase("usage");
    require(document_of(seen, first) == document);
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

/** Each event has passed, less its usage. */
void require_all_but_usage(std::string_view passed, std::string_view stream) {
    for (bool first = true; !stream.empty(); first = false) {
        const std::string_view event = take_event(&stream, first);
        if (passed.substr(0, event.size()) == event) {
            require_less_usage(event, event, first);
            passed.remove_prefix(event.size());
            continue;
        }
        // It is removed, or begins and ends as before, and has lost something between.
        std::string_view rest = passed;
        std::string_view seen = take_event(&rest, first);
        if (event.back() == '\r' && seen.size() > 1 && seen.substr(seen.size() - 2) == "\r\n") {
            // This line feed is the next event: what stood before it in the stream was removed.
            seen.remove_suffix(1);
            rest = passed.substr(seen.size());
        }
        const size_t same = static_cast<size_t>(
            std::mismatch(event.begin(), event.end(), seen.begin(), seen.end()).first -
            event.begin());
        const size_t left = seen.size() - same;
        const bool is_edited = seen.size() < event.size() && same > 0 && left > 0 &&
                               event.substr(event.size() - left) == seen.substr(same);
        const bool is_same_document = is_edited && document_of(seen, first).is_object() &&
                                      !is_alone(document_of(event, first));
        require_less_usage(event, is_same_document ? seen : std::string_view(), first);
        passed = is_same_document ? rest : passed;
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
    require(filtered(stream, data[0], 40, true) == whole);
    require(filtered(stream, data[0], 400, true) == whole);
    require_all_but_usage(whole, stream);
    return 0;
}
