#include "nginx/decision/report.h"

#include <new>

#include "core/decide/sharer.h"
#include "core/policies/redis_clock.h"
#include "core/reply/report.h"

namespace ai_limit {

namespace {

constexpr Millis kZoneFullWait = 1000;  // also where nobody can decide

/** Adds the policies of one decision, of those on a dry run only these that `which` wants. */
enum class Which { kFirm, kAll, kRefusingOnDryRun };

void add_to_report(const Decision* one, Which which, Report* report) {
    for (ngx_uint_t i = 0; i < one->count && report->count < 2 * kMaxSetPolicies; ++i) {
        const Charge& charge = one->charges[i].use;
        bool dry_run = charge.dry_run || one->dry_run;
        if (which == Which::kFirm
                ? dry_run
                : which == Which::kRefusingOnDryRun && !(dry_run && is_refused(charge))) {
            continue;
        }
        Description* said = new (&report->all[report->count])
            Description(describe_charge(one->charges[i], *one->parts[i].policy, one->now));
        if (report->count == 0 || speaks_rather(*said, report->all[report->reported])) {
            report->reported = report->count;
            report->part = &one->parts[i];
        }
        ++report->count;
    }
}

}  // namespace

Description describe_charge(const PolicyCharge& policy_charge, const PolicyConf& policy, Now now) {
    const Charge& charge = policy_charge.use;
    // A charge that takes nothing now still needs something to be left.
    Amount requested = policy_charge.reservation != nullptr && charge.cost == 0 ? 1 : charge.cost;
    if (in_redis(charge)) {
        now = redis_time(charge.access->journal.zone(), now);
    }
    Description said =
        describe(*charge.limit, charge.state, requested, charge.verdict == Verdict::kRefused, now);
    said.policy = view(policy.name);
    if (policy_charge.sharer != nullptr) {
        describe_part(policy_charge, now, &said);
    }
    if (said.refused && said.wait < Millis{charge.turn_in}) {
        said.wait = charge.turn_in;
    }
    if (charge.verdict == Verdict::kUndecided) {
        said.undecided = true;
    }
    if (charge.verdict == Verdict::kUnpriced) {
        said.refused = true;
        said.unpriced = true;
        said.wait = kNever;
    }
    if (charge.verdict == Verdict::kZoneFull || charge.verdict == Verdict::kUndecided) {
        said.refused = true;
        said.wait = kZoneFullWait;
    }
    return said;
}

bool make_report(const Decision* latest, bool with_dry_run, Report* report) {
    if (latest == nullptr) {
        return false;
    }
    if (latest->refused && !latest->dry_run) {
        report->refused = true;
        add_to_report(latest, Which::kFirm, report);
        return report->count != 0;
    }
    for (const Decision* one = latest; with_dry_run && one != nullptr; one = one->earlier) {
        add_to_report(one, Which::kRefusingOnDryRun, report);
    }
    if (report->count != 0) {
        report->dry_run = true;
        return true;
    }
    for (const Decision* one = latest; one != nullptr; one = one->earlier) {
        // An earlier location may have refused before error_page led here: its decision is left
        // out, as the request did not pass it.
        if (!one->refused || one->dry_run) {
            add_to_report(one, with_dry_run ? Which::kAll : Which::kFirm, report);
        }
    }
    return report->count != 0;
}

void write_named_key(const Part& part, TextWriter& out) {
    out.text("\"");
    write_shown_key(view(part.key), out);
    out.text("\"");
    const std::string_view label = label_of(part);
    if (!label.empty()) {
        out.text(", label: \"");
        write_escaped(label, out);
        out.text("\"");
    }
}

bool describe_policy(const Decision* latest, const PolicyConf* policy, Description* said) {
    const Decision* one = nullptr;
    const PolicyCharge* charge = find_charge(latest, policy, &one);
    if (charge == nullptr) {
        return false;
    }
    *said = describe_charge(*charge, *policy, one->now);
    return true;
}

}  // namespace ai_limit
