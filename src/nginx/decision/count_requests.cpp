#include "nginx/decision/count_requests.h"

#include "core/policies/policies.h"
#include "core/reply/error_kind.h"
#include "nginx/decision/report.h"

namespace ai_limit {

namespace {

bool was_refused(const Charge& charge) {
    return is_refused(charge) || charge.verdict == Verdict::kZoneFull ||
           charge.verdict == Verdict::kUndecided;
}

void note(const Charge& charge, const Part& part, TopMeasure measure, Millis monotonic,
          uint64_t amount) {
    note_key(part.policy->live->top_keys, measure, epoch_of(monotonic),
             tag_of(hash_of(charge), charge.policy), view(part.key), amount, label_of(part));
}

/** Counts a rejected request also by its reason, if no wait helps. */
void count_reason(const PolicyCharge& charge, const Part& part, Now now) {
    const ErrorKind kind = kind_of(describe_charge(charge, *part.policy, now));
    if (kind == ErrorKind::kBlocked) {
        count_one(&part.policy->live->counts->rejected_blocked);
    } else if (kind == ErrorKind::kTooLarge) {
        count_one(&part.policy->live->counts->rejected_never);
    }
}

constexpr Millis kTick = 1'000;
constexpr uint32_t kNotedInTick = 100;  // about

/** Chooses the next request, so that a client whose requests come at even intervals is not missed.
 */
void draw_next(Millis now) {
    KeySampler* sampler = &key_sampler;
    sampler->seen += sampler->weight;
    if (now - sampler->tick_began >= kTick) {
        sampler->weight = sampler->seen / kNotedInTick + 1;
        sampler->seen = 0;
        sampler->tick_began = now;
    }
    // The average is as many as the weight says.
    uint32_t most = 2 * sampler->weight - 1;
    sampler->until_next = 1 + static_cast<uint32_t>(ngx_random()) % most;
}

}  // namespace

KeySampler key_sampler;

void note_passed(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        note(one.charges[i].use, one.parts[i], TopMeasure::kRequests, one.now.monotonic,
             key_sampler.weight);
    }
    draw_next(one.now.monotonic);
}

void count_results(const Decision& one) {
    bool refused = one.refused && !one.dry_run;
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i].use;
        const Part& part = one.parts[i];
        if (refused && !was_refused(charge)) {
            continue;
        }
        PolicyCounts* counts = part.policy->live->counts;
        bool refuses = was_refused(charge);
        count_one(!refuses                        ? &counts->passed
                  : one.dry_run || charge.dry_run ? &counts->rejected_dry_run
                                                  : &counts->rejected);
        note(charge, part, TopMeasure::kRequests, one.now.monotonic, 1);
        if (refuses && !one.dry_run && !charge.dry_run) {
            count_reason(one.charges[i], part, one.now);
        }
        if (refuses) {
            note(charge, part, TopMeasure::kRefusals, one.now.monotonic, 1);
        }
    }
}

void count_lowered_output(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        if (one.charges[i].reservation != nullptr) {
            count_one(&one.parts[i].policy->live->counts->output_lowered);
        }
    }
}

void count_unasked(const Part& part, uint64_t tag, Millis monotonic) {
    const PolicyConf* policy = part.policy;
    count_one(&policy->live->counts->rejected);
    count_one(&policy->live->counts->rejected_never);
    for (TopMeasure measure : {TopMeasure::kRequests, TopMeasure::kRefusals}) {
        note_key(policy->live->top_keys, measure, epoch_of(monotonic), tag, view(part.key), 1,
                 label_of(part));
    }
}

void count_undecided(const Decision& one) {
    for (ngx_uint_t i = 0; i < one.count; ++i) {
        const Charge& charge = one.charges[i].use;
        const Part& part = one.parts[i];
        if (was_refused(charge)) {
            count_unasked(part, tag_of(hash_of(charge), charge.policy), one.now.monotonic);
        }
    }
}

void count_used(const Charge& charge, const Part& part, const TokenCounts& used, Settled settled,
                Now now) {
    const Zone& zone = charge.access->journal.zone();
    const DayNumber day = day_of(now.wall, part.policy->time_zone);
    count_tokens(part.policy->live->counts, used);
    count_settled(zone, charge.policy, settled.charged, settled.reserved, day);
    note(charge, part, TopMeasure::kCharges, now.monotonic, settled.charged);
    if (charge.limit->measure == Measure::kMoney) {
        note_in_list(zone.day_keys(part.policy->live->ask.policy), epoch_of_day(day),
                     tag_of(hash_of(charge), charge.policy), view(part.key), settled.charged,
                     label_of(part));
    }
}

}  // namespace ai_limit
