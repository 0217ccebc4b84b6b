// Any bytes as Redis's replies, cut where the input says: the same replies as in one piece.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "redis/protocol/message_pack.h"
#include "redis/protocol/reply.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/** Appends the numbers that the text holds if it is read as an answer of the script. */
void note_packed(std::string_view text, std::string* replies) {
    PackedNumbers numbers(text);
    for (uint64_t most = 1; most != 0; most <<= 1) {
        const uint64_t number = numbers.next(most);
        require(number <= most);
        *replies += std::to_string(number) + ' ';
    }
    *replies += numbers.are_fine_and_all() ? "all" : "not all";
}

void note(const Reply& reply, std::string* replies) {
    require(reply.number_count() <= Reply::kMaxNumbers && reply.text().size() <= Reply::kMaxText);
    *replies += static_cast<char>('0' + static_cast<int>(reply.kind()));
    for (size_t i = 0; i < reply.number_count(); ++i) {
        *replies += std::to_string(reply.numbers()[i]) + ' ';
    }
    *replies += reply.text();
    note_packed(reply.text(), replies);
    *replies += '\n';
}

/** Large: the same one for all inputs. */
ReplyReader* reader() {
    static ReplyReader reader;
    return &reader;
}

/** `cuts` of 0: in one piece. */
std::string read_in_pieces(std::string_view bytes, uint64_t cuts) {
    std::string replies;
    require(reader()->restart());
    while (!bytes.empty() && !reader()->failed()) {
        // A multiplicative generator (Knuth's MMIX) draws the length of each piece.
        cuts = cuts != 0 ? cuts * 6364136223846793005U + 1442695040888963407U : 0;
        const size_t most = cuts != 0 ? 1 + (cuts >> 33) % 17 : bytes.size();
        const std::string piece(bytes.substr(0, most));
        bytes.remove_prefix(piece.size());
        if (!reader()->feed(piece)) {
            break;
        }
        while (const Reply* reply = reader()->next()) {
            note(*reply, &replies);
        }
    }
    return replies + (reader()->failed() ? "failed" : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    require(read_in_pieces(bytes, 0) == read_in_pieces(bytes, uint64_t{data[0]} + 1));
    return 0;
}
