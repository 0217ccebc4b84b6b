#include "core/event_template.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/usage.h"
#include "random.h"

namespace ai_limit {
namespace {

constexpr uint64_t kNoMatch = UINT64_MAX;

/** An event whose values stand between marks: <text>, (string) and [digits]. */
class Learned {
public:
    explicit Learned(std::string_view marked) {
        std::vector<std::pair<EventHole, std::pair<size_t, size_t>>> holes;
        size_t begin = 0;
        for (const char c : marked) {
            const size_t open = std::string_view("<([").find(c);
            const size_t close = std::string_view(">)]").find(c);
            begin = open != std::string_view::npos ? event_.size() : begin;
            if (close != std::string_view::npos) {
                holes.push_back({static_cast<EventHole>(close), {begin, event_.size() - begin}});
            }
            event_ += open == close ? std::string(1, c) : "";
        }
        EventDraft draft;
        draft.begin(event_);
        for (const auto& [kind, place] : holes) {
            draft.note(kind, std::string_view(event_).substr(place.first, place.second));
        }
        learned_ = template_.learn(draft, std::string_view(event_).substr(event_.size()));
    }

    bool learned() const { return learned_; }

    /** The size of the text in an event, which has to match entirely. */
    uint64_t text_of(std::string_view event) const {
        uint64_t text = 0;
        const std::string stream = std::string(event) + "more";
        const size_t size = template_.match(stream, &text);
        EXPECT_TRUE(size == 0 || size == event.size()) << event;
        EXPECT_TRUE(size > 0 || text == 0) << event;
        return size > 0 ? text : kNoMatch;
    }

private:
    std::string event_;
    bool learned_;
    EventTemplate template_;
};

TEST(EventTemplate, MatchesEventsThatDifferInTheirText) {
    const Learned event("data: {'x':\"<Hello>\",'y':1}\n\n");
    ASSERT_TRUE(event.learned());
    EXPECT_EQ(event.text_of("data: {'x':\"Hello\",'y':1}\n\n"), 5U);
    EXPECT_EQ(event.text_of("data: {'x':\"\",'y':1}\n\n"), 0U);
    EXPECT_EQ(event.text_of("data: {'x':\"a longer one, of \xC3\xA9\",'y':1}\n\n"), 19U);
    EXPECT_EQ(event.text_of("data: {'x':\"a\",'y':2}\n\n"), kNoMatch);
    EXPECT_EQ(event.text_of("data: {'x':\"a\",'y':1}\n"), kNoMatch);
    EXPECT_EQ(event.text_of("Data: {'x':\"a\",'y':1}\n\n"), kNoMatch);
    EXPECT_EQ(event.text_of("data: {'x':\"a"), kNoMatch);
    EXPECT_EQ(event.text_of("data"), kNoMatch);
    EXPECT_EQ(event.text_of(""), kNoMatch);
}

TEST(EventTemplate, InATextStandsWhatCanStandBetweenQuotes) {
    const Learned event("\"<x>\"}");
    ASSERT_TRUE(event.learned());
    EXPECT_EQ(event.text_of("\"a\\n\\\\\\\"\\u00e9\\ud83d\\ude00\"}"), 1 + 1 + 1 + 1 + 2 + 4U);
    EXPECT_EQ(event.text_of("\"a\" \"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\nb\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\x\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\u12g4\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\u12\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\u123"), kNoMatch);
}

TEST(EventTemplate, OtherValuesMayDifferAsWell) {
    const Learned event("{'n':[12],'o':\"(abc)\",'x':\"<y>\"}");
    ASSERT_TRUE(event.learned());
    EXPECT_EQ(event.text_of("{'n':0,'o':\"\\n\",'x':\"four\"}"), 4U);
    EXPECT_EQ(event.text_of("{'n':123456,'o':\"\",'x':\"\"}"), 0U);
    EXPECT_EQ(event.text_of("{'n':01,'o':\"\",'x':\"\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("{'n':,'o':\"\",'x':\"\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("{'n':-1,'o':\"\",'x':\"\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("{'n':1.5,'o':\"\",'x':\"\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("{'n':1,'o':\"\n\",'x':\"\"}"), kNoMatch);
}

TEST(EventTemplate, WhatIsNoWholeNumberIsNoHole) {
    const Learned event("[-1][1.5]\"<x>\"");
    ASSERT_TRUE(event.learned());
    EXPECT_EQ(event.text_of("-11.5\"abc\""), 3U);
    EXPECT_EQ(event.text_of("-21.5\"abc\""), kNoMatch);
}

TEST(EventTemplate, OnlyAnEventWithOneTextIsKept) {
    EXPECT_FALSE(Learned("{'x':\"(a)\"}").learned());
    EXPECT_FALSE(Learned("{'x':\"<a>\",'y':\"<b>\"}").learned());
    EXPECT_FALSE(Learned("(a)(b)(c)<d>").learned());
    EXPECT_TRUE(Learned("(a)(b)<d>(c)").learned());
}

TEST(EventTemplate, OnlyAShortEventIsKept) {
    const std::string longest(EventTemplate::kCapacity, 'x');
    EXPECT_TRUE(Learned(longest + "<" + std::string(2000, 'y') + ">").learned());
    EXPECT_FALSE(Learned(longest + "x<y>").learned());
}

TEST(EventTemplate, KeepsTheLastOneUntilThereIsAnother) {
    EventTemplate events;
    uint64_t text = 0;
    EXPECT_EQ(events.match("a", &text), 0U);
    const std::string first = "a1z";
    const std::string second = "b23z";
    EventDraft draft;
    EXPECT_FALSE(events.learn(draft, ""));
    draft.begin(first);
    draft.note(EventHole::kText, std::string_view(first).substr(1, 1));
    EXPECT_TRUE(events.learn(draft, std::string_view(first).substr(3)));
    draft.begin(second);
    draft.note(EventHole::kText, std::string_view(second).substr(1, 1));
    draft.give_up();
    EXPECT_FALSE(events.learn(draft, std::string_view(second).substr(4)));
    draft.begin(second);
    draft.note(EventHole::kText, first);  // it lies elsewhere
    EXPECT_FALSE(events.learn(draft, std::string_view(second).substr(4)));
    draft.begin(second);
    EXPECT_FALSE(events.learn(draft, std::string_view(second).substr(4)));
}

/** Whether the reader knows such an event again is only to be seen by its speed: here, that what it
 * says is what it says of the same events cut into bytes, which are all parsed. */
TEST(EventTemplate, TellsTheSameAsParsing) {
    constexpr std::string_view kFronts[] = {
        "data: {\"choices\":[{\"delta\":{\"content\":\"",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning\":\"",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"reasoning_content\":\"",
        "event: x\r\ndata: {\"type\":\"response.audio.delta\",\"delta\":\"",
        "data: {\"sequence_number\":12,\"type\":\"t\",\"delta\":\"",
        "data:\ndata: {\"usage\":{\"prompt_tokens\":7},\"delta\":\"",
        "data: {\"choices\":[{\"message\":{},\"delta\":{\"reasoning\":\"ab\\n\",\"content\":\"",
    };
    constexpr std::string_view kTexts[] = {
        "", "a", "word", " \\n", "\\u00e9", "\\ud83d", "\\ude00", "\xE6\xBC\xA2", "\"", "\n", "\\x",
    };
    constexpr std::string_view kBacks[] = {
        "\"}}]}\n\n", "\"}}],\"obfuscation\":\"abc\"}\n\n", "\"}\n\n", "\"}\r\n\r\n", "\"}\r\r",
        "\"}\n",
    };
    Random random(9);
    for (int round = 0; round < 3000; ++round) {
        const std::string_view front = random.one_of(kFronts);
        const std::string_view back = random.one_of(kBacks);
        std::string stream = ": ping\n\n";
        for (uint64_t n = random.below(12); n > 0; --n) {
            stream += random.one_in(8) ? "data: {\"usage\":{\"prompt_tokens\":8}}\n\n" : "";
            stream += random.one_in(8) ? random.one_of(kFronts) : front;
            for (uint64_t texts = random.below(3); texts > 0; --texts) {
                stream += kTexts[random.below(random.one_in(8) ? std::size(kTexts) : 8)];
            }
            stream += random.one_in(8) ? random.one_of(kBacks) : back;
        }
        UsageReader whole(AnswerKind::kSse, nullptr);
        whole.feed(stream);
        whole.finish();
        UsageReader bytes(AnswerKind::kSse, nullptr);
        for (const char& c : stream) {
            bytes.feed({&c, 1});
        }
        bytes.finish();
        ASSERT_EQ(whole.text_bytes(), bytes.text_bytes()) << stream;
        ASSERT_EQ(whole.malformed(), bytes.malformed()) << stream;
        ASSERT_EQ(whole.usage().input, bytes.usage().input) << stream;
    }
}

}  // namespace
}  // namespace ai_limit
