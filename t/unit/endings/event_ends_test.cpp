#include "core/endings/event_ends.h"

#include <gtest/gtest.h>

#include <string>

#include "random.h"

namespace ai_limit {
namespace {

/** Takes a piece byte by byte. */
void take_bytes(std::string_view piece, EventEnds* ends) {
    while (!piece.empty()) {
        bool is_end = false;
        piece.remove_prefix(ends->take(piece.substr(0, 1), &is_end));
    }
}

std::string some_lines(Random* random) {
    static constexpr const char* kParts[] = {"data: x", "event: y", "z",        "\n",   "\n\n",
                                             "\n\n",    "\r\n",     "\r\n\r\n", ": c\n"};
    std::string text;
    for (uint64_t left = random->below(12); left > 0; --left) {
        text += kParts[random->below(std::size(kParts))];
    }
    return text;
}

TEST(EventEnds, AreTheSameForAPieceAsForItsBytes) {
    Random random(7);
    for (int round = 0; round < 20'000; ++round) {
        EventEnds pieces(StreamForm::kSse);
        EventEnds bytes(StreamForm::kSse);
        std::string all;
        for (int i = 0; i < 6; ++i) {
            const std::string piece = some_lines(&random);
            all += piece + "|";
            pieces.take_all(piece);
            take_bytes(piece, &bytes);
            ASSERT_EQ(pieces.position(), bytes.position());
            ASSERT_EQ(pieces.is_between(), bytes.is_between()) << all;
            ASSERT_EQ(pieces.open_at(), bytes.open_at()) << all;
        }
    }
}

}  // namespace
}  // namespace ai_limit
