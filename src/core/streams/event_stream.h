#pragma once

// Amazon's binary event streams (application/vnd.amazon.eventstream), in which Bedrock streams, cut
// anywhere, taken apart where they lie. A message is
//
//     4 bytes  length of all of it      big-endian, as all numbers here
//     4 bytes  length of the headers
//     4 bytes  CRC-32 of these 8 bytes
//              headers, payload
//     4 bytes  CRC-32 of all before
//
// (https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html). The first checksum is
// verified: it distinguishes a message from anything else. The last is not: it would cost a pass
// over every byte, to find what TCP and TLS have looked for already.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ai_limit {

/** The next thing that EventStreamReader finds. */
struct EventStreamToken {
    enum Kind : uint8_t {
        kNothing,      // the piece is used up
        kPayload,      // more of the message's payload: `text`, within the piece
        kEndOfMessage  // all of a message has been seen
    };
    Kind kind;
    std::string_view text;
};

/** The position within one stream. */
class EventStreamReader {
public:
    /** As many bytes of an event's type are kept: Bedrock's have at most 17. */
    static constexpr size_t kMaxEventType = 32;

    /**
     * Takes the next token from the front of `rest`, which begins where the last call left off: in
     * the same piece or at the start of the following one. Returns kNothing if `rest` has no more;
     * it is then empty. Bytes behind something malformed are skipped.
     */
    EventStreamToken next(std::string_view* rest);

    /**
     * The header `:event-type` of the message whose payload or end was reported last, such as
     * `metadata` or `chunk`. Empty if it has none or a longer one than kMaxEventType. In this
     * object's memory, until next() is called.
     */
    std::string_view event_type() const { return {event_type_, event_type_size_}; }

    /** This is no such stream, or no longer one. Bad headers alone are passed over. */
    bool malformed() const { return at_ == At::kMalformed; }

    /** Call this once, where the stream ends: true if that is in the middle of a payload. */
    bool finish();

private:
    enum class At : uint8_t { kPrelude, kHeaders, kPayload, kChecksum, kMalformed };

    enum class Header : uint8_t {
        kNameLength,
        kName,
        kType,
        kLength,     // its first byte
        kLengthEnd,  // its second
        kValue,
        kIgnored  // all that is left: a type that nobody knows
    };

    void take_prelude(std::string_view* rest);
    void take_headers(std::string_view* rest);
    void take_header_byte(uint8_t byte);
    void take_header_value(std::string_view value);
    void begin_header_value(uint8_t type);
    void begin_message();

    At at_ = At::kPrelude;
    Header header_ = Header::kNameLength;
    bool is_event_type_ = false;  // the header's name, as far as it has been seen
    uint8_t name_size_ = 0;
    uint8_t name_taken_ = 0;
    uint8_t event_type_size_ = 0;
    uint8_t prelude_size_ = 0;
    uint16_t value_left_ = 0;
    uint32_t headers_left_ = 0;
    uint32_t payload_left_ = 0;
    uint32_t checksum_left_ = 0;
    uint8_t prelude_[12] = {};
    char event_type_[kMaxEventType] = {};
};

}  // namespace ai_limit
