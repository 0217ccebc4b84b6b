// A binary event stream, cut where the input says: the same messages as in one piece. Preludes get
// the checksum they ask for, or no input would ever pass it. Payloads go through base64 as well.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/streams/event_stream.h"
#include "core/words/base64.h"

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

uint32_t checksum(std::string_view text) {
    uint32_t crc = UINT32_MAX;
    for (const char c : text) {
        crc ^= static_cast<uint8_t>(c);
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320U : crc >> 1;
        }
    }
    return ~crc;
}

/** Each message of the input: whether its prelude is right, the length of its headers, the length
 * of its payload, and as many bytes. */
std::string make_stream(std::string_view input) {
    std::string stream;
    while (input.size() >= 3) {
        const bool right = (input[0] & 7) != 0;
        const size_t headers = static_cast<uint8_t>(input[1]);
        const size_t payload = static_cast<uint8_t>(input[2]);
        input.remove_prefix(3);
        std::string lengths(8, '\0');
        lengths[2] = static_cast<char>((16 + headers + payload) >> 8);
        lengths[3] = static_cast<char>(16 + headers + payload);
        lengths[7] = static_cast<char>(headers);
        uint32_t crc = checksum(lengths) + (right ? 0 : 1);
        stream += lengths;
        for (int i = 0; i < 4; ++i, crc <<= 8) {
            stream += static_cast<char>(crc >> 24);
        }
        const std::string_view body = input.substr(0, headers + payload + 4);
        stream += body;
        input.remove_prefix(body.size());
    }
    return stream;
}

struct Read {
    std::string messages;
    bool malformed;
    bool open;
};

Read read(std::string_view stream, Cuts cuts, size_t most) {
    EventStreamReader reader;
    Read result{};
    while (!stream.empty()) {
        const std::string piece(stream.substr(0, cuts.next(most)));
        stream.remove_prefix(piece.size());
        std::string_view rest = piece;
        for (;;) {
            const EventStreamToken token = reader.next(&rest);
            if (token.kind == EventStreamToken::kNothing) {
                break;
            }
            require(reader.event_type().size() <= EventStreamReader::kMaxEventType);
            result.messages += token.text;
            if (token.kind == EventStreamToken::kEndOfMessage) {
                result.messages.append("<").append(reader.event_type()).append(">");
            }
        }
        require(rest.empty());
    }
    result.malformed = reader.malformed();
    result.open = reader.finish();
    return result;
}

std::string decoded(std::string_view text, Cuts cuts, size_t most, bool* malformed) {
    Base64Decoder decoder;
    std::string bytes;
    while (!text.empty()) {
        const std::string piece(text.substr(0, cuts.next(most)));
        text.remove_prefix(piece.size());
        std::string_view rest = piece;
        while (!rest.empty()) {
            std::string buffer(cuts.next(most), '\0');
            const size_t before = rest.size();
            const size_t size = decoder.decode(&rest, buffer.data(), buffer.size());
            require(size <= buffer.size() && rest.size() < before);
            bytes += buffer.substr(0, size);
        }
    }
    *malformed = decoder.malformed();
    return bytes;
}

void check_stream(std::string_view stream, Cuts cuts) {
    const Read whole = read(stream, cuts, 1 << 20);
    const Read cut = read(stream, cuts, 17);
    require(whole.messages == cut.messages && whole.malformed == cut.malformed &&
            whole.open == cut.open);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const Cuts cuts{data[0]};
    const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    check_stream(input, cuts);
    check_stream(make_stream(input), cuts);
    bool whole_malformed = false;
    bool cut_malformed = false;
    require(decoded(input, cuts, 1 << 12, &whole_malformed) ==
            decoded(input, cuts, 5, &cut_malformed));
    require(whole_malformed == cut_malformed);
    return 0;
}
