#include "core/words/base64.h"

#include <gtest/gtest.h>

#include <string>

#include "random.h"

namespace ai_limit {
namespace {

struct Decoded {
    std::string bytes;
    bool malformed;

    bool operator==(const Decoded& other) const {
        return bytes == other.bytes && malformed == other.malformed;
    }
};

Decoded decoded(std::string_view text, size_t most, size_t room) {
    Base64Decoder decoder;
    std::string bytes;
    while (!text.empty()) {
        const std::string piece(text.substr(0, most));
        text.remove_prefix(piece.size());
        std::string_view rest = piece;
        while (!rest.empty()) {
            std::string buffer(room, '\0');
            const size_t size = decoder.decode(&rest, buffer.data(), room);
            EXPECT_LE(size, room);
            EXPECT_TRUE(size > 0 || rest.empty());
            bytes += buffer.substr(0, size);
        }
    }
    return {bytes, decoder.malformed()};
}

/** Decodes a text in one piece and in many, into large buffers and small ones. */
Decoded decoded(std::string_view text) {
    const Decoded whole = decoded(text, text.size() + 1, text.size() + 1);
    for (size_t most = 1; most <= 8; ++most) {
        for (size_t room = 1; room <= 5; ++room) {
            EXPECT_EQ(decoded(text, most, room), whole) << text;
        }
    }
    return whole;
}

std::string encoded(std::string_view bytes, bool padded) {
    constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const std::string_view group = bytes.substr(i, 3);
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; ++k) {
            bits = bits << 8 | (k < group.size() ? static_cast<uint8_t>(group[k]) : 0U);
        }
        for (size_t k = 0; k < 4; ++k) {
            if (k <= group.size()) {
                text += kAlphabet[bits >> (18 - 6 * k) & 63];
            } else if (padded) {
                text += '=';
            }
        }
    }
    return text;
}

// RFC 4648, 10.
TEST(Base64, DecodesTheExamplesOfTheStandard) {
    EXPECT_EQ(decoded(""), (Decoded{"", false}));
    EXPECT_EQ(decoded("Zg=="), (Decoded{"f", false}));
    EXPECT_EQ(decoded("Zm8="), (Decoded{"fo", false}));
    EXPECT_EQ(decoded("Zm9v"), (Decoded{"foo", false}));
    EXPECT_EQ(decoded("Zm9vYg=="), (Decoded{"foob", false}));
    EXPECT_EQ(decoded("Zm9vYmE="), (Decoded{"fooba", false}));
    EXPECT_EQ(decoded("Zm9vYmFy"), (Decoded{"foobar", false}));
}

TEST(Base64, ReadsBothAlphabetsLineEndsAndMissingPadding) {
    EXPECT_EQ(decoded("+/+/"), decoded("-_-_"));
    EXPECT_EQ(decoded("Zm9v\r\nYg"), (Decoded{"foob", false}));
    EXPECT_EQ(decoded("Zg==\n"), (Decoded{"f", false}));
}

TEST(Base64, StopsAtTheFirstInvalidCharacter) {
    EXPECT_EQ(decoded("Zm9v Zm9v"), (Decoded{"foo", true}));
    EXPECT_EQ(decoded("Zm\"9v"), (Decoded{"f", true}));
    EXPECT_EQ(decoded("Zg==Zg=="), (Decoded{"f", true}));
    EXPECT_EQ(decoded(std::string_view("Zm9v\0Zm9v", 9)), (Decoded{"foo", true}));
    EXPECT_EQ(decoded("Zm9v\xFFZm9v"), (Decoded{"foo", true}));
}

TEST(Base64, DecodesWhatWasEncoded) {
    Random random(3);
    for (int i = 0; i < 2000; ++i) {
        std::string bytes(random.below(40), '\0');
        for (char& c : bytes) {
            c = static_cast<char>(random.below(256));
        }
        const std::string text = encoded(bytes, random.one_in(2));
        ASSERT_EQ(decoded(text), (Decoded{bytes, false})) << text;
    }
}

}  // namespace
}  // namespace ai_limit
