#include "core/json/text_decoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "random.h"

namespace ai_limit {
namespace {

using namespace std::string_literals;

struct Decoded {
    std::string text;
    bool broken;

    bool operator==(const Decoded& other) const {
        return text == other.text && broken == other.broken;
    }
};

Decoded decoded(std::string_view bytes, size_t most, size_t room_size) {
    TextDecoder decoder;
    std::vector<char> room(room_size);
    Decoded result{};
    for (std::string_view rest = bytes; !rest.empty();) {
        const std::string copy(rest.substr(0, most));
        rest.remove_prefix(copy.size());
        for (std::string_view piece = copy; !piece.empty();) {
            result.text += decoder.next(&piece, room.data(), room.size());
        }
    }
    result.text += decoder.finish(room.data(), room.size());
    result.broken = decoder.is_broken();
    return result;
}

/** Whole, in pieces of every size, and into little room. */
Decoded decoded(std::string_view bytes) {
    const Decoded whole = decoded(bytes, bytes.size() + 1, 4096);
    for (size_t most = 1; most <= bytes.size() && most < 12; ++most) {
        EXPECT_EQ(decoded(bytes, most, 4096), whole) << "in pieces of " << most;
    }
    EXPECT_EQ(decoded(bytes, bytes.size() + 1, TextDecoder::kMinRoom), whole);
    return whole;
}

std::string text(std::string_view bytes) {
    const Decoded result = decoded(bytes);
    EXPECT_FALSE(result.broken);
    return result.text;
}

/** One unit of `size` bytes, the lowest first or last. */
void put_unit(uint32_t unit, size_t size, bool big, std::string* out) {
    for (size_t i = 0; i < size; ++i) {
        const size_t byte = big ? size - 1 - i : i;
        *out += static_cast<char>(unit >> 8 * byte & 0xFF);
    }
}

/** Another implementation of the encodings, by the tables of the Unicode standard. */
std::string encoded(const std::u32string& codes, TextEncoding encoding) {
    const bool big = encoding == TextEncoding::kUtf16Be || encoding == TextEncoding::kUtf32Be;
    const bool wide = encoding == TextEncoding::kUtf32Be || encoding == TextEncoding::kUtf32Le;
    std::string out;
    for (const char32_t code : codes) {
        if (encoding == TextEncoding::kUtf8) {
            const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            static constexpr unsigned char kFirst[] = {0, 0xC0, 0xE0, 0xF0};
            out += static_cast<char>(kFirst[more] | code >> 6 * more);
            for (int i = more - 1; i >= 0; --i) {
                out += static_cast<char>(0x80 | (code >> 6 * i & 0x3F));
            }
        } else if (wide) {
            put_unit(code, 4, big, &out);
        } else if (code < 0x10000) {
            put_unit(code, 2, big, &out);
        } else {
            put_unit(0xD7C0 + (code >> 10), 2, big, &out);
            put_unit(0xDC00 + (code & 0x3FF), 2, big, &out);
        }
    }
    return out;
}

constexpr TextEncoding kAll[] = {TextEncoding::kUtf8, TextEncoding::kUtf16Le,
                                 TextEncoding::kUtf16Be, TextEncoding::kUtf32Le,
                                 TextEncoding::kUtf32Be};

TEST(TextDecoder, LeavesUtf8Unchanged) {
    EXPECT_EQ(text(""), "");
    EXPECT_EQ(text("{"), "{");
    EXPECT_EQ(text("{}"), "{}");
    EXPECT_EQ(text("{\"a\":\"\xC3\xA4\xFF\"}"), "{\"a\":\"\xC3\xA4\xFF\"}");
}

TEST(TextDecoder, SkipsAByteOrderMark) {
    for (const TextEncoding encoding : kAll) {
        EXPECT_EQ(text(encoded(U"\xFEFF{\"a\":1}", encoding)), "{\"a\":1}");
        EXPECT_EQ(text(encoded(U"\xFEFF", encoding)), "");
        EXPECT_EQ(text(encoded(U"\xFEFF"
                               U"1",
                               encoding)),
                  "1");
    }
}

TEST(TextDecoder, DetectsTheEncodingByItsZeros) {
    for (const TextEncoding encoding : kAll) {
        EXPECT_EQ(text(encoded(U"{}", encoding)), "{}");
        EXPECT_EQ(text(encoded(U"\"\x20AC\"", encoding)), "\"\xE2\x82\xAC\"");
        EXPECT_EQ(text(encoded(U"{\"a\":\"\x1F600\"}", encoding)), "{\"a\":\"\xF0\x9F\x98\x80\"}");
    }
    EXPECT_EQ(text("1\0"s), "1");
    EXPECT_EQ(text("\0001"s), "1");
}

TEST(TextDecoder, ReadsALoneSurrogateAsPythonDoes) {
    EXPECT_EQ(text("\"\0\x3D\xD8\"\0"s), "\"\xED\xA0\xBD\"");
    EXPECT_EQ(text("\"\0\x00\xDE\"\0"s), "\"\xED\xB8\x80\"");
    EXPECT_EQ(text("\"\0\x3D\xD8\x3D\xD8\x00\xDE"s), "\"\xED\xA0\xBD\xF0\x9F\x98\x80");
    EXPECT_EQ(text("\"\0\x3D\xD8"s), "\"\xED\xA0\xBD");
}

TEST(TextDecoder, RejectsInvalidText) {
    EXPECT_TRUE(decoded("{\0}\0x"s).broken);
    EXPECT_TRUE(decoded("{\0\0\0}\0"s).broken);
    EXPECT_TRUE(decoded("{\0\0\0\0\0\x11\0"s).broken);
    EXPECT_TRUE(decoded("\0\0\0{\xFF\0\0\0"s).broken);
    EXPECT_FALSE(decoded("{\0\0\0\xFF\xFF\x10\0"s).broken);
}

TEST(TextDecoder, ReadsWhatAnotherImplementationWrites) {
    Random random(5);
    for (int round = 0; round < 300; ++round) {
        std::u32string codes = U"[\"";
        for (uint64_t i = random.below(40); i > 0; --i) {
            const uint64_t bits = random.below(21) + 1;
            const auto code = static_cast<char32_t>(random.below(uint64_t{1} << bits));
            codes += code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? U'x' : code;
        }
        const std::string expected = encoded(codes, TextEncoding::kUtf8);
        for (const TextEncoding encoding : kAll) {
            ASSERT_EQ(text(encoded(codes, encoding)), expected);
        }
    }
}

}  // namespace
}  // namespace ai_limit
