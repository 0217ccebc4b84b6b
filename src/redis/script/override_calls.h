#pragma once

// Limits of single keys, as operators set them, over all nodes. Redis keeps them by a script of its
// own in two keys: PREFIX:overrides:{all}, a hash with a field for each key of a policy, and
// PREFIX:overrides:{all}:log, the fields by the version of their last change. A version is later
// than all before it, and is mostly the time of the change in milliseconds. A node asks for what
// has changed since the version that it knows. An override that was removed, or that was followed
// by a shorter one, is kept as a change until no node can have it in force any more.

#include <string_view>

#include "redis/protocol/command.h"
#include "redis/protocol/reply.h"
#include "redis/script/key_names.h"

namespace ai_limit {

/** The most changes that one answer has. */
constexpr size_t kOverridesInAnswer = 128;

/** The most overrides, removed ones included, that Redis keeps under one prefix. */
constexpr size_t kMostOverridesInRedis = 16'384;

constexpr size_t kMaxOverrideField = kKeyHashLength + 3 + kMaxPolicyName;

/**
 * Writes the name of a key of a policy: the key's hash, what the policy counts (`:r`, `:t`, `:c` or
 * `:u`, and `:v` where a variable says it), a colon and the policy's name. At most
 * kMaxOverrideField characters; returns how many.
 */
size_t write_override_field(const KeyHash& hash, std::string_view unit, std::string_view policy,
                            char* out);

/** What an override counts where a variable says it. */
constexpr std::string_view kVariableUnit = ":v";

/** Asks for the changes behind a version, at most kOverridesInAnswer of them. */
void write_override_question(std::string_view prefix, int64_t since, Command* command);

/** An override to set for all nodes. */
struct SharedOverride {
    std::string_view field;
    Millis lasts;
    std::string_view rate;
    std::string_view shown;  // the key as a log shows it
};

void write_override(std::string_view prefix, const SharedOverride& wanted, Command* command);

/** Removes an override. `left`: how long the one that this node knows would have lasted, or 0;
 * it is removed from all nodes even if Redis has lost it. */
void write_override_removal(std::string_view prefix, std::string_view field, Millis left,
                            Command* command);

/** The answer to one of the latter two. */
struct OverrideAnswer {
    int64_t version;  // of the change; 0: there was nothing to change
    bool was_set;     // before
    bool is_full;     // there are kMostOverridesInRedis: nothing has changed
};

/** Returns false if the reply is none. */
bool read_override_answer(const Reply& reply, OverrideAnswer* answer);

/** One change. Its texts are the reply's. */
struct OverrideChange {
    Millis lasts;           // from the time of the answer on; 0 or less: it is over, or removed
    std::string_view hash;  // of the key, kKeyHashLength characters
    std::string_view unit;
    std::string_view policy;
    std::string_view rate;
    std::string_view shown;
};

/** Reads the answer to a question. The reply must outlive it. */
class OverrideChanges {
public:
    /** False if the reply is no such answer. */
    bool begin(const Reply& reply);

    /** The version of the newest change that Redis knows; 0 if it knows none. */
    int64_t newest() const { return newest_; }

    /** The version up to which this answer says all. */
    int64_t last() const { return last_; }

    /** True if there is more behind that. */
    bool has_more() const { return has_more_; }

    /** The next change that makes sense; false if there is none. */
    bool next(OverrideChange* change);

private:
    bool read_line(std::string_view line, OverrideChange* change) const;

    Millis now_ = 0;
    int64_t newest_ = 0;
    int64_t last_ = 0;
    bool has_more_ = false;
    std::string_view rest_;
};

}  // namespace ai_limit
