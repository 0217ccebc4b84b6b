// Tests which slot a key has, and which Redis has which slots.

#include "redis/protocol/topology.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "random.h"
#include "redis/protocol/slot.h"

namespace ai_limit {
namespace {

TEST(Slot, MatchesTheSpecification) {
    // The check value of CRC-16/XMODEM, and what CLUSTER KEYSLOT says.
    EXPECT_EQ(slot_of("123456789"), 0x31C3);
    EXPECT_EQ(slot_of("foo"), 12182);
    EXPECT_EQ(slot_of(""), 0);
}

TEST(Slot, HashesWhatStandsBetweenTheFirstBraces) {
    EXPECT_EQ(slot_of("ai_limit:{user1000}:requests"), slot_of("user1000"));
    EXPECT_EQ(slot_of("ai_limit:{user1000}:tokens:flights"), slot_of("user1000"));
    EXPECT_EQ(slot_of("foo{}{bar}"), slot_of("foo{}{bar}"));
    EXPECT_NE(slot_of("foo{}{bar}"), slot_of("bar"));
    EXPECT_EQ(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    EXPECT_EQ(slot_of("foo{bar}{zap}"), slot_of("bar"));
    EXPECT_NE(slot_of("foo{bar"), slot_of("bar"));
}

std::vector<std::string> ranges_of(const std::string& text) {
    std::vector<std::string> found;
    SlotRanges ranges(text);
    SlotRange range;
    while (ranges.next(&range)) {
        found.push_back(std::string(range.address) + "," + std::string(range.host) + " " +
                        std::to_string(range.first) + "-" + std::to_string(range.last));
    }
    return found;
}

TEST(Topology, ReadsTheAnswerOfClusterNodes) {
    const std::string text =
        "07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,hostname4 slave "
        "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4 connected\n"
        "67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 127.0.0.1:30002@31002,hostname2 master - 0 "
        "1426238316232 2 connected 5461-10922\n"
        "292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f ::1:30003@31003 master - 0 1426238318243 3 "
        "connected 10923-16383 [93-<-292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f]\n"
        "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca :30001@31001 myself,master - 0 0 1 connected "
        "0-5459 5460\n"
        "a7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 127.0.0.1:30009@31009 master,fail - 0 0 1 "
        "disconnected 7 8\n";
    EXPECT_EQ(ranges_of(text), (std::vector<std::string>{"127.0.0.1:30002,hostname2 5461-10922",
                                                         "::1:30003, 10923-16383", ":30001, 0-5459",
                                                         ":30001, 5460-5460"}));
}

TEST(Topology, ReadsTheNameThatANodeAnnounces) {
    const std::string rest = " master - 0 0 1 connected 5";
    auto one = [&](const std::string& address) { return ranges_of("id " + address + rest)[0]; };
    EXPECT_EQ(one("10.0.0.1:6379@16379,a.example"), "10.0.0.1:6379,a.example 5-5");
    EXPECT_EQ(one("10.0.0.1:6379@16379,a.example,shard-id=69bc"), "10.0.0.1:6379,a.example 5-5");
    EXPECT_EQ(one("10.0.0.1:6379@16379,,shard-id=69bc"), "10.0.0.1:6379, 5-5");
    EXPECT_EQ(one("10.0.0.1:6379@16379,"), "10.0.0.1:6379, 5-5");
    EXPECT_EQ(one("10.0.0.1:6379"), "10.0.0.1:6379, 5-5");
}

TEST(Topology, SkipsInvalidLines) {
    EXPECT_EQ(ranges_of(""), std::vector<std::string>{});
    EXPECT_EQ(ranges_of("\n\n   \n a b\nERR no\n"), std::vector<std::string>{});
    const std::string head = "id 127.0.0.1:7000@17000 master - 0 0 1 connected ";
    EXPECT_EQ(ranges_of(head + "16384 -1 5-3 1-99999 x -\n"), std::vector<std::string>{});
    EXPECT_EQ(ranges_of(head + "  9  \n"), std::vector<std::string>{"127.0.0.1:7000, 9-9"});
    EXPECT_EQ(ranges_of(head + "0-16383"), std::vector<std::string>{"127.0.0.1:7000, 0-16383"});
}

TEST(Topology, TerminatesOnAnyText) {
    Random random(5);
    const std::string letters = "0123-,@: \nmasterfil[";
    for (int i = 0; i < 20'000; ++i) {
        std::string text;
        for (uint64_t n = random.below(200); n != 0; --n) {
            text += letters[random.below(letters.size())];
        }
        for (const std::string& range : ranges_of(text)) {
            EXPECT_FALSE(range.empty());
        }
    }
}

}  // namespace
}  // namespace ai_limit
