#pragma once

// What is said about the decisions on a request: to its client, and in logs.

#include "core/words/shown_key.h"
#include "nginx/decision/decision.h"

namespace ai_limit {

/** The report on a request: the descriptions of its policies. */
struct Report {
    Report() {}

    union {  // leaves what is not used as it is
        Description all[2 * kMaxSetPolicies];
    };
    size_t count = 0;
    size_t reported = 0;         // index of the one that speaks for all
    const Part* part = nullptr;  // the reported one's
    bool refused = false;
    bool dry_run = false;  // refused, but only on a dry run

    const Description& spokesman() const { return all[reported]; }
};

/**
 * Describes the policies of a request, whose latest decision is given (nullptr: there is none): all
 * that took part if it passed, else those of the decision that refused. `with_dry_run` also
 * describes policies on a dry run, which headers leave out. False if there is nothing to say.
 */
bool make_report(const Decision* latest, bool with_dry_run, Report* report);

/** Describes the charge of a policy after the decision at the time `now`. */
Description describe_charge(const PolicyCharge& charge, const PolicyConf& policy, Now now);

/** Bytes that write_named_key() needs at most. */
constexpr size_t kMaxNamedKey = 2 * kMaxShownKey + 16;

/** Writes the key of a policy for a log, in quotes, and its label behind it if it has one:
 * `"sk-1…9f2c", label: "Acme"`. */
void write_named_key(const Part& part, TextWriter& out);

/** Describes one policy of the request. Returns false if it did not take part. */
bool describe_policy(const Decision* latest, const PolicyConf* policy, Description* said);

}  // namespace ai_limit
