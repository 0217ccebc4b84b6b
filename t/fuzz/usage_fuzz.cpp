// Reads the usage of an answer, which is the same however the answer is cut. Pieces of one byte
// never hold a whole event, so this also compares the ways in which whole and cut events are read.
// Documents are compared with Boost.JSON: their usage at paths of a configuration, and the size of
// a text.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "core/usage/usage.h"
#include "core/words/number.h"
#include "event_stream_message.h"
#include "json_reference.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

struct Cuts {
    // A multiplicative generator (Knuth's MMIX).
    size_t next(size_t most) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        return 1 + (state >> 33) % most;
    }

    uint64_t state;
};

/** Byte by byte. */
UsageReader read_bytes(AnswerKind kind, const UsagePaths* custom, std::string_view body) {
    UsageReader reader(kind, custom);
    for (size_t at = 0; at < body.size(); ++at) {
        reader.feed(body.substr(at, 1));
    }
    return reader;
}

/** Pieces of up to `most` bytes, each in memory of its own, so that a sanitizer sees a step past
 * it. */
UsageReader read(AnswerKind kind, const UsagePaths* custom, std::string_view body, Cuts cuts,
                 size_t most) {
    UsageReader reader(kind, custom);
    while (!body.empty()) {
        const size_t size = std::min(cuts.next(most), body.size());
        const std::unique_ptr<char[]> piece(new char[size]);
        body.copy(piece.get(), size);
        reader.feed({piece.get(), size});
        body.remove_prefix(size);
    }
    return reader;
}

void require_same(const UsageReader& a, const UsageReader& b) {
    require(a.has_usage() == b.has_usage() && a.malformed() == b.malformed());
    require(a.text_characters() == b.text_characters());
    require(a.unreadable_bytes() == b.unreadable_bytes());
    require(a.model() == b.model() && a.service_tier() == b.service_tier());
    require(a.reported().counts.input == b.reported().counts.input &&
            a.reported().counts.output == b.reported().counts.output);
    require(a.reported().counts.cached_input == b.reported().counts.cached_input);
}

/** Requires the same also if the body was cut short there. */
void require_same_ends(UsageReader a, UsageReader b) {
    a.stop();
    b.stop();
    require_same(a, b);
    require(a.is_finished() == b.is_finished());
    a.finish();
    b.finish();
    require_same(a, b);
}

UsageReader check(AnswerKind kind, const UsagePaths* custom, std::string_view body, Cuts cuts) {
    UsageReader whole(kind, custom);
    whole.feed(body);
    require_same_ends(whole, read_bytes(kind, custom, body));
    require_same_ends(whole, read(kind, custom, body, cuts, 40));
    require_same_ends(whole, read(kind, custom, body, cuts, 400));
    whole.finish();
    require(whole.text_characters() <= body.size());
    require(whole.reported().counts.input <= kMaxAmount &&
            whole.reported().counts.output <= kMaxAmount);
    require(whole.reported().counts.cached_input <= whole.reported().counts.input);
    return whole;
}

constexpr std::string_view kPointers[] = {"/usage/input", "/usage/output", "/n"};

UsagePaths make_custom() {
    UsagePaths paths;
    require(paths.add("input=/usage/input") == nullptr);
    require(paths.add("output=/usage/output") == nullptr);
    require(paths.add("total=/n") == nullptr);
    return paths;
}

/** The largest count at each of the paths. */
void check_document(std::string_view body, Cuts cuts) {
    static const UsagePaths custom = make_custom();
    const UsageReader reader = check(AnswerKind::kJson, &custom, body, cuts);
    const JsonResult reference = read_with_boost(body, kPointers, std::size(kPointers));
    // A body that is no document may be lines or events.
    if (!reference.comparable || !reference.valid) {
        return;
    }
    require(!reader.malformed());
    UsageCounts counts;
    constexpr UsageField kFields[] = {UsageField::kPrompt, UsageField::kOutput, UsageField::kTotal};
    for (const JsonValue& value : reference.values) {
        if (value.kind == '0' && value.text.empty()) {
            return;  // the reference leaves out what is longer than kMaxJsonKey
        }
        Amount count = 0;
        const size_t most = value.kind == '0' ? kMaxJsonKey : value.kind == 's' ? 32 : 0;
        const bool is_count = value.text.size() <= most;
        if (is_count && read_reported_count(value.text, &count)) {
            counts.set(UsageSource::kConfigured, kFields[value.id], count);
        }
    }
    const ReportedUsage expected = counts.reported();
    const ReportedUsage reported = reader.reported();
    require(!expected.has_input || expected.counts.input == reported.counts.input);
    require(!expected.has_output || expected.counts.output == reported.counts.output);
}

/** The input as what stands between the quotes of a text. */
void check_text(std::string_view raw, Cuts cuts) {
    if (raw.find('"') != raw.npos) {
        return;
    }
    constexpr std::string_view kPath = "/content";
    const std::string body = "{\"content\":\"" + std::string(raw) + "\"}";
    const UsageReader reader = check(AnswerKind::kJson, nullptr, body, cuts);
    const JsonResult reference = read_with_boost(body, &kPath, 1);
    if (reference.valid) {
        require(reader.text_characters() == count_characters(reference.values.at(0).text));
    }
}

/** Each line is a message: what its first letter says, made of the others. */
std::string make_messages(std::string_view input) {
    std::string stream;
    while (!input.empty()) {
        const std::string_view line = input.substr(0, input.find('\n'));
        input.remove_prefix(std::min(line.size() + 1, input.size()));
        const std::string_view rest = line.substr(line.empty() ? 0 : 1);
        if (line.empty() || line[0] == 'm') {
            stream += event("metadata", rest);
        } else if (line[0] == 'c') {
            stream += chunk(rest);
        } else if (line[0] == 'p') {
            stream += event("chunk", rest);
        } else {
            stream += line;
        }
    }
    return stream;
}

/** Many events alike: what stands before a first \xFE and behind it, with each text between. */
std::string make_events(std::string_view input) {
    std::string_view parts[2];
    for (std::string_view& part : parts) {
        part = input.substr(0, input.find('\xFE'));
        input.remove_prefix(std::min(part.size() + 1, input.size()));
    }
    std::string stream = "\n\n";
    while (!input.empty()) {
        const std::string_view text = input.substr(0, input.find('\xFE'));
        input.remove_prefix(std::min(text.size() + 1, input.size()));
        stream.append(parts[0]).append(text).append(parts[1]);
    }
    return stream;
}

}  // namespace

/** The first byte tells what to make of the input, the second one where to cut. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) {
        return 0;
    }
    const Cuts cuts{data[1]};
    const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
    switch (data[0] % 6) {
        case 0:
            check(AnswerKind::kJson, nullptr, input, cuts);
            check_document(input, cuts);
            break;
        case 1:
            check(AnswerKind::kSse, nullptr, input, cuts);
            break;
        case 2:
            check(AnswerKind::kLines, nullptr, input, cuts);
            break;
        case 3:
            check(AnswerKind::kEventStream, nullptr, make_messages(input), cuts);
            break;
        case 4:
            check(AnswerKind::kSse, nullptr, make_events(input), cuts);
            break;
        default:
            check_text(input, cuts);
            break;
    }
    return 0;
}
