#include "core/streams/event_stream.h"

#include <algorithm>
#include <cstring>

namespace ai_limit {

namespace {

constexpr uint32_t kPreludeSize = 12;
constexpr uint32_t kChecksumSize = 4;
constexpr uint32_t kOverhead = kPreludeSize + kChecksumSize;

/**
 * The longest message that Amazon's own reader accepts (aws-c-event-stream,
 * AWS_EVENT_STREAM_MAX_MESSAGE_SIZE). Here a longer one is only a sign of nonsense, since no
 * message is kept.
 */
constexpr uint32_t kMaxMessage = 256 * 1024 * 1024;

constexpr std::string_view kEventTypeName = ":event-type";

enum HeaderType : uint8_t {
    kTrue,
    kFalse,
    kByte,
    kShort,
    kInteger,
    kLong,
    kBytes,
    kString,
    kTimestamp,
    kUuid,
    kTypes
};

/** The number of bytes of a value; nothing if its length stands before it. */
constexpr uint8_t kValueSizes[kTypes] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

uint32_t big_endian(const uint8_t* bytes) {
    return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

/** The CRC-32 of gzip (RFC 1952, 8). Bit by bit: eight bytes of a message are worth no table. */
uint32_t crc32(const uint8_t* bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; ++i) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (0xEDB88320U & (0U - (crc & 1)));
        }
    }
    return ~crc;
}

/** Removes at most `*left` bytes from the front and counts them. */
std::string_view take(std::string_view* rest, uint32_t* left) {
    const std::string_view taken = rest->substr(0, *left);
    rest->remove_prefix(taken.size());
    *left -= static_cast<uint32_t>(taken.size());
    return taken;
}

}  // namespace

EventStreamToken EventStreamReader::next(std::string_view* rest) {
    while (!rest->empty()) {
        switch (at_) {
            case At::kPrelude:
                take_prelude(rest);
                break;
            case At::kHeaders:
                take_headers(rest);
                break;
            case At::kPayload: {
                const std::string_view text = take(rest, &payload_left_);
                at_ = payload_left_ == 0 ? At::kChecksum : At::kPayload;
                return {EventStreamToken::kPayload, text};
            }
            case At::kChecksum:
                take(rest, &checksum_left_);
                if (checksum_left_ == 0) {
                    at_ = At::kPrelude;
                    return {EventStreamToken::kEndOfMessage, {}};
                }
                break;
            case At::kMalformed:
                *rest = {};
                break;
        }
    }
    return {EventStreamToken::kNothing, {}};
}

bool EventStreamReader::finish() {
    // Without its checksum a message is as good as whole.
    const bool open = at_ == At::kPayload || at_ == At::kChecksum;
    *this = EventStreamReader();
    return open;
}

void EventStreamReader::take_prelude(std::string_view* rest) {
    const size_t size = std::min<size_t>(kPreludeSize - prelude_size_, rest->size());
    std::memcpy(prelude_ + prelude_size_, rest->data(), size);
    rest->remove_prefix(size);
    prelude_size_ = static_cast<uint8_t>(prelude_size_ + size);
    if (prelude_size_ == kPreludeSize) {
        begin_message();
    }
}

void EventStreamReader::begin_message() {
    prelude_size_ = 0;
    event_type_size_ = 0;
    header_ = Header::kNameLength;
    const uint32_t total = big_endian(prelude_);
    const uint32_t headers = big_endian(prelude_ + 4);
    if (crc32(prelude_, 8) != big_endian(prelude_ + 8) || total < kOverhead ||
        total > kMaxMessage || headers > total - kOverhead) {
        at_ = At::kMalformed;
        return;
    }
    headers_left_ = headers;
    payload_left_ = total - kOverhead - headers;
    checksum_left_ = kChecksumSize;
    at_ = headers > 0 ? At::kHeaders : payload_left_ > 0 ? At::kPayload : At::kChecksum;
}

void EventStreamReader::take_headers(std::string_view* rest) {
    std::string_view part = take(rest, &headers_left_);
    while (!part.empty()) {
        if (header_ == Header::kIgnored) {
            break;
        }
        if (header_ == Header::kValue) {
            const std::string_view value = part.substr(0, value_left_);
            take_header_value(value);
            part.remove_prefix(value.size());
            continue;
        }
        take_header_byte(static_cast<uint8_t>(part.front()));
        part.remove_prefix(1);
    }
    if (headers_left_ == 0) {
        at_ = payload_left_ > 0 ? At::kPayload : At::kChecksum;
    }
}

void EventStreamReader::take_header_byte(uint8_t byte) {
    switch (header_) {
        case Header::kNameLength:
            name_size_ = byte;
            name_taken_ = 0;
            is_event_type_ = byte == kEventTypeName.size();
            header_ = byte > 0 ? Header::kName : Header::kType;
            break;
        case Header::kName:
            is_event_type_ =
                is_event_type_ && static_cast<char>(byte) == kEventTypeName[name_taken_];
            ++name_taken_;
            header_ = name_taken_ == name_size_ ? Header::kType : Header::kName;
            break;
        case Header::kType:
            begin_header_value(byte);
            break;
        case Header::kLength:
            value_left_ = static_cast<uint16_t>(byte << 8);
            header_ = Header::kLengthEnd;
            break;
        case Header::kLengthEnd:
            value_left_ = static_cast<uint16_t>(value_left_ | byte);
            header_ = value_left_ > 0 ? Header::kValue : Header::kNameLength;
            if (is_event_type_) {
                event_type_size_ = 0;
                is_event_type_ = value_left_ <= kMaxEventType;
            }
            break;
        case Header::kValue:
        case Header::kIgnored:
            break;
    }
}

void EventStreamReader::begin_header_value(uint8_t type) {
    if (type >= kTypes) {
        header_ = Header::kIgnored;
        return;
    }
    is_event_type_ = is_event_type_ && type == kString;
    value_left_ = kValueSizes[type];
    if (type == kBytes || type == kString) {
        header_ = Header::kLength;
    } else {
        header_ = value_left_ > 0 ? Header::kValue : Header::kNameLength;
    }
}

void EventStreamReader::take_header_value(std::string_view value) {
    if (is_event_type_) {
        std::memcpy(event_type_ + event_type_size_, value.data(), value.size());
        event_type_size_ = static_cast<uint8_t>(event_type_size_ + value.size());
    }
    value_left_ = static_cast<uint16_t>(value_left_ - value.size());
    header_ = value_left_ > 0 ? Header::kValue : Header::kNameLength;
}

}  // namespace ai_limit
