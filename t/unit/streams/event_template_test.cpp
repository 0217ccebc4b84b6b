#include "core/streams/event_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/usage/usage.h"
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
    const EventTemplate& events() const { return template_; }

    /** The characters of text in events, one behind the other. */
    uint64_t match_text(std::string_view stream) const {
        uint64_t text = 0;
        template_.match(stream, &text);
        return text;
    }

    KnownFront match(std::string_view rest) const {
        uint64_t text = 0;
        return template_.match(rest, &text);
    }

    /** The size of the text in an event, which has to match entirely. */
    uint64_t text_of(std::string_view event) const {
        uint64_t text = 0;
        const std::string stream = std::string(event) + "more";
        const size_t size = template_.match(stream, &text).size;
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
    EXPECT_EQ(event.text_of("data: {'x':\"a longer one, of \xC3\xA9\",'y':1}\n\n"), 18U);
    EXPECT_EQ(event.text_of("data: {'x':\"a\",'y':2}\n\n"), kNoMatch);
    EXPECT_EQ(event.text_of("data: {'x':\"a\",'y':1}\n"), kNoMatch);
    EXPECT_EQ(event.text_of("Data: {'x':\"a\",'y':1}\n\n"), kNoMatch);
    EXPECT_EQ(event.text_of("data: {'x':\"a"), kNoMatch);
    EXPECT_EQ(event.text_of("data"), kNoMatch);
    EXPECT_EQ(event.text_of(""), kNoMatch);
}

TEST(EventTemplate, AcceptsInATextWhatJsonAllowsBetweenQuotes) {
    const Learned event("\"<x>\"}");
    ASSERT_TRUE(event.learned());
    EXPECT_EQ(event.text_of("\"a\\n\\\\\\\"\\u00e9\\ud83d\\ude00\"}"), 1 + 1 + 1 + 1 + 1 + 1U);
    EXPECT_EQ(event.text_of("\"a\" \"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\nb\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\x\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\u12g4\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\u12\"}"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\"), kNoMatch);
    EXPECT_EQ(event.text_of("\"a\\u123"), kNoMatch);
}

TEST(EventTemplate, MatchesEventsThatDifferInOtherValues) {
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

TEST(EventTemplate, LetsOnlyUnsignedWholeNumbersVary) {
    const Learned event("[-1][1.5]\"<x>\"");
    ASSERT_TRUE(event.learned());
    EXPECT_EQ(event.text_of("-11.5\"abc\""), 3U);
    EXPECT_EQ(event.text_of("-21.5\"abc\""), kNoMatch);
}

TEST(EventTemplate, KeepsOnlyEventsWithOneText) {
    EXPECT_FALSE(Learned("{'x':\"(a)\"}").learned());
    EXPECT_FALSE(Learned("{'x':\"<a>\",'y':\"<b>\"}").learned());
    EXPECT_FALSE(Learned("(a)(b)(c)<d>").learned());
    EXPECT_TRUE(Learned("(a)(b)<d>(c)").learned());
}

TEST(EventTemplate, KeepsOnlyShortEvents) {
    const std::string longest(EventTemplate::kCapacity, 'x');
    EXPECT_TRUE(Learned(longest + "<" + std::string(2000, 'y') + ">").learned());
    EXPECT_FALSE(Learned(longest + "x<y>").learned());
}

TEST(EventTemplate, KeepsTheLastTemplateUntilThereIsAnother) {
    EventTemplate events;
    uint64_t text = 0;
    EXPECT_EQ(events.match("a", &text).size, 0U);
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

TEST(EventTemplate, FindsConsecutiveEvents) {
    const Learned event("data: [12]\"<x>\"\n\n");
    const std::string one = "data: 7\"ab\"\n\n";
    const std::string stream = one + "data: 80\"\"\n\n" + one;
    for (const std::string more : {"", "d", "data: ", "data: 9", "data: 9\"a", "data: 9\"a\"\n"}) {
        EXPECT_EQ(event.match(stream + more).size, stream.size()) << more;
        EXPECT_TRUE(event.match(stream + more).cut) << more;
    }
    for (const std::string more :
         {"\n", "x", "data: x", "data: 9,", "data: 9\"a\n", "data: 9\"\"x"}) {
        EXPECT_EQ(event.match(stream + more).size, stream.size()) << more;
        EXPECT_FALSE(event.match(stream + more).cut) << more;
    }
}

TEST(EventTemplate, CollectsTheTextsAsTheyStand) {
    const Learned event("data: [12]\"<x>\"\n\n");
    const std::string stream = "data: 7\"a\\n\"\n\ndata: 80\"\"\n\ndata: 1\"" +
                               std::string(30, 'b') + "\"\n\ndata: 2\"c\"\n\n";
    const std::string all = "a\\n" + std::string(30, 'b') + "c";
    for (size_t room = 0; room <= all.size() + 20; ++room) {
        std::string memory(room, '\0');
        KnownTexts texts(memory.data(), room);
        uint64_t text = 0;
        const KnownFront found = event.events().match_some(stream, &text, UINT64_MAX, &texts);
        EXPECT_EQ(found.size == stream.size(), room > all.size()) << room;
        EXPECT_EQ(memory.substr(0, texts.size()), all.substr(0, texts.size())) << room;
        EXPECT_EQ(text, event.match_text(stream.substr(0, found.size))) << room;
    }
}

TEST(EventTemplate, TellsOneEventFromMoreAndLess) {
    const Learned event("data: [12]\"<x>\"\n\n");
    const std::string one = "data: 7\"abc\"\n\n";
    const auto matches = [&event](std::string_view piece, uint64_t most) {
        uint64_t text = 0;
        const bool found = event.events().match_one(piece, &text, most, nullptr);
        EXPECT_EQ(text, found ? 3U : 0U);
        return found;
    };
    EXPECT_TRUE(matches(one, 3));
    EXPECT_FALSE(matches(one, 2));
    EXPECT_FALSE(matches(one + "d", 3));
    EXPECT_FALSE(matches(one + one, 9));
    EXPECT_FALSE(matches("data: x\"abc\"\n\n", 3));
    EXPECT_FALSE(matches("data: 7\"abc\"\n ", 3));
    for (size_t size = 0; size < one.size(); ++size) {
        EXPECT_FALSE(matches(std::string_view(one).substr(0, size), 3)) << size;
    }
    uint64_t text = 0;
    EXPECT_FALSE(EventTemplate().match_one(one, &text, 9, nullptr));
}

TEST(EventTemplate, RecognizesTheFrontOfAnEvent) {
    const Learned event("{'n':[12],'o':\"(abc)\",'x':\"<y>\"}");
    const std::string whole = "{'n':34,'o':\"\\u00e9\",'x':\"a\\\"b\\\\\"}";
    ASSERT_EQ(event.match(whole).size, whole.size());
    for (size_t size = 0; size < whole.size(); ++size) {
        EXPECT_EQ(event.match(whole.substr(0, size)).size, 0U) << size;
        EXPECT_TRUE(event.match(whole.substr(0, size)).cut) << size;
        EXPECT_FALSE(event.match(whole.substr(0, size) + '\t').cut) << size;
    }
    uint64_t text = 0;
    EXPECT_FALSE(EventTemplate().match("{", &text).cut);
}

/** Known events in pieces, and whether all of them were skipped. */
struct Skipped {
    Skipped(const KnownEvents& known, const std::vector<std::string>& pieces) : known_(known) {
        for (const std::string& piece : pieces) {
            std::string_view rest = piece;
            good = good && (known_.front().empty() || known_.go_on(&events_, &rest, &text));
            if (good) {
                known_.skip(&events_, &rest, &text);
            }
            good = good && rest.empty();
        }
    }

    bool good = true;
    uint64_t text = 0;
    std::string front() const { return std::string(known_.front()); }

private:
    KnownEvents known_;
    SseReader events_;
};

KnownEvents known_event(std::string_view before, std::string_view text, std::string_view behind) {
    const std::string event = std::string(before).append(text).append(behind);
    EventDraft draft;
    draft.begin(event);
    draft.note(EventHole::kText, std::string_view(event).substr(before.size(), text.size()));
    KnownEvents known;
    EXPECT_TRUE(known.learn(draft, std::string_view(event).substr(event.size())));
    return known;
}

TEST(KnownEvents, AreSkippedHoweverTheyAreCut) {
    for (const std::string line_end : {"\n", "\r", "\r\n"}) {
        const std::string blank = line_end + line_end;
        // The learned event ends where the end of the event is seen.
        const std::string_view seen = std::string_view(blank).substr(0, line_end == "\r\n" ? 3 : 2);
        const KnownEvents known = known_event("data: \"", "x", "\"" + std::string(seen));
        const std::string one = "data: \"abc\\u00e9\"" + blank;
        const std::string stream = one + one + one;
        for (size_t first = 0; first <= stream.size(); ++first) {
            for (size_t second = first; second <= stream.size(); ++second) {
                const Skipped all(known,
                                  {stream.substr(0, first), stream.substr(first, second - first),
                                   stream.substr(second)});
                ASSERT_TRUE(all.good) << first << ' ' << second;
                ASSERT_EQ(all.text, 3 * 4U) << first << ' ' << second;
                ASSERT_EQ(all.front(), "");
            }
        }
    }
}

TEST(KnownEvents, GiveBackTheFrontOfAnotherEvent) {
    const KnownEvents known = known_event("data: \"", "x", "\"\n\n");
    EXPECT_FALSE(Skipped(known, {"data: \"a", "b\"}\n\n"}).good);
    EXPECT_EQ(Skipped(known, {"data: \"a", "b\"}\n\n"}).front(), "data: \"a");
    EXPECT_EQ(Skipped(known, {"data: \"a\"\n\ndata", ": \"", "b", "x"}).front(), "data: \"bx");
    EXPECT_EQ(Skipped(known, {"data: \"a\"\n\ndata", ": \"", "b", "x"}).text, 1U);
}

TEST(KnownEvents, DoNotKeepALongFront) {
    const std::string front = "data: \"";
    const KnownEvents known = known_event(front, "x", "\"\n\n");
    const std::string text(KnownEvents::kMaxFront - front.size(), 'y');
    EXPECT_TRUE(Skipped(known, {front + text}).good);
    EXPECT_FALSE(Skipped(known, {front + text + "y"}).good);
    EXPECT_TRUE(Skipped(known, {front, text}).good);
    EXPECT_FALSE(Skipped(known, {front, text, "y"}).good);
    EXPECT_FALSE(Skipped(known, {front, text + "y"}).good);
    EXPECT_FALSE(Skipped(known, {front, text + "\"\n\n"}).good);
    EXPECT_TRUE(Skipped(known, {front, text.substr(3) + "\"\n\n"}).good);
}

/** Reads a stream in pieces of that size. */
UsageReader read(std::string_view stream, size_t size) {
    UsageReader reader(AnswerKind::kSse, nullptr);
    while (!stream.empty()) {
        const std::string piece(stream.substr(0, size));
        stream.remove_prefix(piece.size());
        reader.feed(piece);
    }
    return reader;
}

/** Expects the same also if the stream was cut short there. */
void expect_same(UsageReader a, UsageReader b, const std::string& stream) {
    for (const auto end : {&UsageReader::stop, &UsageReader::finish}) {
        (a.*end)();
        (b.*end)();
        ASSERT_EQ(a.text_characters(), b.text_characters()) << stream;
        ASSERT_EQ(a.malformed(), b.malformed()) << stream;
        ASSERT_EQ(a.reported().counts.input, b.reported().counts.input) << stream;
        ASSERT_EQ(a.is_finished(), b.is_finished()) << stream;
    }
}

/**
 * The speed alone shows whether the reader knows such an event again. This test shows that the
 * reader says the same of the whole events and of the same events cut into bytes, which are all
 * parsed.
 */
TEST(EventTemplate, ReportsTheSameAsParsing) {
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
        stream.resize(stream.size() -
                      std::min(stream.size(), random.below(random.one_in(2) ? 40 : 1)));
        expect_same(read(stream, SIZE_MAX), read(stream, 1), stream);
        expect_same(read(stream, 1 + random.below(400)), read(stream, 1), stream);
    }
}

}  // namespace
}  // namespace ai_limit
