#include "redis/script/override_calls.h"

#include <charconv>

namespace ai_limit {

namespace {

/**
 * KEYS: the hash and the log. ARGV: what to do, and what that takes: `list` a version and how many
 * changes; `set` a field, how long it lasts, its texts, and how many there may be; `remove` a field
 * and how long a node would still have had it in force.
 *
 * A field's value is: the end, until when the field is kept, the texts. Listing removes fields that
 * are over, at most as many as it lists. Each node lists all of them now and then, and each change
 * the oldest ones.
 */
constexpr std::string_view kOverrideScript =
    "local call, entries, log, what = redis.call, KEYS[1], KEYS[2], ARGV[1]\n"
    "local clock = call('TIME')\n"
    "local now = clock[1] * 1000 + math.floor(clock[2] / 1000)\n"
    "local function read(field)\n"
    "    local value = call('HGET', entries, field) or ''\n"
    "    local last, keep, texts = string.match(value, '^(%d+) (%d+) (.*)$')\n"
    "    return tonumber(last or 0), tonumber(keep or 0), texts\n"
    "end\n"
    "local function newest()\n"
    "    return tonumber(call('ZRANGE', log, -1, -1, 'WITHSCORES')[2] or 0)\n"
    "end\n"
    "local function list(since, most)\n"
    "    local changes = call('ZRANGEBYSCORE', log, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', "
    "0, most)\n"
    "    local lines = {''}\n"
    "    for i = 1, #changes, 2 do\n"
    "        local last, keep, texts = read(changes[i])\n"
    "        since = changes[i + 1]\n"
    "        if keep <= now then\n"
    "            redis.pcall('HDEL', entries, changes[i])\n"
    "            call('ZREM', log, changes[i])\n"
    "        else\n"
    "            lines[#lines + 1] = string.format('%.0f %s %s', last, changes[i], texts)\n"
    "        end\n"
    "    end\n"
    "    local more = #changes == 2 * most and 1 or 0\n"
    "    lines[1] = string.format('%.0f %.0f %.0f %d', now, newest(), since, more)\n"
    "    return table.concat(lines, '\\n') .. '\\n'\n"
    "end\n"
    "if what == 'list' then\n"
    "    return list(ARGV[2], tonumber(ARGV[3]))\n"
    "end\n"
    "local field, lasts = ARGV[2], tonumber(ARGV[3])\n"
    "local last, keep = read(field)\n"
    "local is_set = last > now and 1 or 0\n"
    "local texts, ends = '', 0\n"
    "if what == 'set' then\n"
    "    list('0', 32)\n"
    "    if keep == 0 and call('ZCARD', log) >= tonumber(ARGV[5]) then\n"
    "        return 'full'\n"
    "    end\n"
    "    texts, ends = ARGV[4], now + lasts\n"
    "elseif is_set == 0 and lasts <= 0 then\n"
    "    return '0 0'\n"
    "end\n"
    "local version = string.format('%.0f', math.max(newest() + 1, now))\n"
    "keep = math.max(keep, now + lasts)\n"
    "call('HSET', entries, field, string.format('%.0f %.0f %s', ends, keep, texts))\n"
    "call('ZADD', log, version, field)\n"
    "call('PEXPIRE', entries, '31708800000')\n"
    "call('PEXPIRE', log, '31708800000')\n"
    "return version .. ' ' .. is_set\n";

constexpr size_t kUnitLength = 2;

void begin_call(std::string_view prefix, std::string_view what, Command* command) {
    command->clear();
    command->word("EVAL");
    command->word(kOverrideScript);
    command->number(2);
    command->joined_word({prefix, ":overrides:{all}"});
    command->joined_word({prefix, ":overrides:{all}:log"});
    command->word(what);
}

/** Takes a whole number and what ends it off a text. */
bool take_number(std::string_view* text, char end, int64_t* number) {
    const char* last = text->data() + text->size();
    const std::from_chars_result read = std::from_chars(text->data(), last, *number);
    if (read.ec != std::errc() || *number < 0 || read.ptr == last || *read.ptr != end) {
        return false;
    }
    text->remove_prefix(static_cast<size_t>(read.ptr - text->data()) + 1);
    return true;
}

/** Takes what stands before the next of these characters, and that, off a text. */
bool take_word(std::string_view* text, char end, std::string_view* word) {
    const size_t size = text->find(end);
    if (size == std::string_view::npos) {
        return false;
    }
    *word = text->substr(0, size);
    text->remove_prefix(size + 1);
    return true;
}

/** True for what copy_shown_key() writes: plain ASCII, and an ellipsis. */
bool is_shown_form(std::string_view text) {
    constexpr std::string_view kEllipsis = "\xE2\x80\xA6";
    for (size_t at = 0; at < text.size(); ++at) {
        if (text.substr(at, kEllipsis.size()) == kEllipsis) {
            at += kEllipsis.size() - 1;
        } else if (text[at] < 0x20 || text[at] >= 0x7F) {
            return false;
        }
    }
    return true;
}

bool is_change(const Reply& reply) {
    return reply.kind() == ReplyKind::kText;
}

}  // namespace

size_t write_override_field(const KeyHash& hash, std::string_view unit, std::string_view policy,
                            char* out) {
    char* at = out + std::string_view(hash.text, kKeyHashLength).copy(out, kKeyHashLength);
    at += unit.copy(at, kUnitLength);
    *at++ = ':';
    at += policy.copy(at, kMaxPolicyName);
    return static_cast<size_t>(at - out);
}

void write_override_question(std::string_view prefix, int64_t since, Command* command) {
    begin_call(prefix, "list", command);
    command->number(since);
    command->number(static_cast<int64_t>(kOverridesInAnswer));
}

void write_override(std::string_view prefix, const SharedOverride& wanted, Command* command) {
    begin_call(prefix, "set", command);
    command->word(wanted.field);
    command->number(wanted.lasts);
    command->joined_word({wanted.rate, " ", wanted.shown});
    command->number(static_cast<int64_t>(kMostOverridesInRedis));
}

void write_override_removal(std::string_view prefix, std::string_view field, Millis left,
                            Command* command) {
    begin_call(prefix, "remove", command);
    command->word(field);
    command->number(left);
}

bool read_override_answer(const Reply& reply, OverrideAnswer* answer) {
    if (!is_change(reply)) {
        return false;
    }
    *answer = {};
    if (reply.text() == "full") {
        answer->is_full = true;
        return true;
    }
    std::string_view text = reply.text();
    if (!take_number(&text, ' ', &answer->version) || (text != "0" && text != "1")) {
        return false;
    }
    answer->was_set = text == "1";
    return true;
}

bool OverrideChanges::begin(const Reply& reply) {
    rest_ = reply.text();
    int64_t more = 0;
    if (!is_change(reply) || !take_number(&rest_, ' ', &now_) ||
        !take_number(&rest_, ' ', &newest_) || !take_number(&rest_, ' ', &last_) ||
        !take_number(&rest_, '\n', &more)) {
        return false;
    }
    has_more_ = more != 0;
    return true;
}

bool OverrideChanges::next(OverrideChange* change) {
    std::string_view line;
    while (take_word(&rest_, '\n', &line)) {
        if (read_line(line, change)) {
            return true;
        }
    }
    return false;
}

bool OverrideChanges::read_line(std::string_view line, OverrideChange* change) const {
    int64_t ends = 0;
    std::string_view field;
    if (!take_number(&line, ' ', &ends) || !take_word(&line, ' ', &field) ||
        field.size() <= kKeyHashLength + kUnitLength + 1 || field.size() > kMaxOverrideField ||
        field[kKeyHashLength + kUnitLength] != ':') {
        return false;
    }
    *change = {};
    change->lasts = ends - now_;
    change->hash = field.substr(0, kKeyHashLength);
    change->unit = field.substr(kKeyHashLength, kUnitLength);
    change->policy = field.substr(kKeyHashLength + kUnitLength + 1);
    if (change->lasts <= 0) {
        return true;
    }
    change->shown = line;
    return take_word(&change->shown, ' ', &change->rate) && !change->rate.empty() &&
           change->rate.size() <= kMaxRateText && change->shown.size() <= kMaxTopKeyText &&
           is_shown_form(change->shown);
}

}  // namespace ai_limit
