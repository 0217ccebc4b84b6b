#include "nginx/request_context.h"

#include "core/report.h"

namespace ai_limit {

namespace {

constexpr Millis kNoRoomWait = 1000;

/** Ends what the request had in flight, when nginx frees the request. */
void clean_up(void* data) noexcept {
    RequestContext* context = static_cast<RequestContext*>(data);
    for (Evaluation* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            Charge* charge = &one->charges[i];
            // A worker that ends has given back everything already.
            if (charge->flight != nullptr && charge->access->journal.is_open()) {
                end_flight(charge->access, charge->flight);
            }
            charge->flight = nullptr;
        }
    }
}

/** A redirect within nginx clears the context, but not the cleanups of the request's pool. */
RequestContext* find_by_cleanup(ngx_http_request_t* r) {
    for (ngx_pool_cleanup_t* cleanup = r->pool->cleanup; cleanup != nullptr;
         cleanup = cleanup->next) {
        if (cleanup->handler == clean_up) {
            return static_cast<RequestContext*>(cleanup->data);
        }
    }
    return nullptr;
}

Description describe_charge(const Charge& charge, const PolicyConf& policy, Now now) {
    bool refused = charge.verdict == Verdict::kRefused;
    Description said = describe(*charge.limit, charge.state, charge.cost, refused, now);
    said.policy = view(policy.name);
    if (charge.verdict == Verdict::kNoRoom) {
        said.refused = true;
        said.wait = kNoRoomWait;
    }
    return said;
}

/** Which policies of one decision a report is to hold. */
struct Selection {
    bool with_dry_run;
    bool dry_run_only;
    bool refusing_only;
};

void add_to_report(Evaluation* one, Selection selection, Report* report) {
    for (ngx_uint_t i = 0; i < one->count && report->count < 2 * kMaxCharges; ++i) {
        const Charge& charge = one->charges[i];
        bool dry_run = charge.dry_run || one->dry_run;
        if ((dry_run && !selection.with_dry_run) || (!dry_run && selection.dry_run_only)) {
            continue;
        }
        Description said = describe_charge(charge, *one->parts()[i].policy, one->now);
        if (selection.refusing_only && !said.refused) {
            continue;
        }
        report->all[report->count] = said;
        size_t candidates[] = {report->reported, report->count};
        Description two[] = {report->all[candidates[0]], said};
        if (report->count == 0 || choose_reported(two, 2) == 1) {
            report->reported = report->count;
            report->part = &one->parts()[i];
        }
        ++report->count;
    }
}

bool refuses_on_dry_run(Evaluation* one) {
    for (ngx_uint_t i = 0; i < one->count; ++i) {
        const Charge& charge = one->charges[i];
        if ((charge.dry_run || one->dry_run) && charge.verdict == Verdict::kRefused) {
            return true;
        }
    }
    return false;
}

}  // namespace

RequestContext* find_context(ngx_http_request_t* r) {
    r = r->main;
    RequestContext* context =
        static_cast<RequestContext*>(ngx_http_get_module_ctx(r, ngx_http_ai_limit_module));
    if (context == nullptr && (r->internal || r->filter_finalize)) {
        context = find_by_cleanup(r);
        ngx_http_set_ctx(r, context, ngx_http_ai_limit_module);
    }
    return context;
}

RequestContext* get_context(ngx_http_request_t* r) {
    RequestContext* context = find_context(r);
    if (context != nullptr) {
        return context;
    }
    ngx_pool_cleanup_t* cleanup = ngx_pool_cleanup_add(r->pool, sizeof(RequestContext));
    if (cleanup == nullptr) {
        return nullptr;
    }
    context = static_cast<RequestContext*>(cleanup->data);
    *context = {};
    cleanup->handler = clean_up;
    ngx_http_set_ctx(r, context, ngx_http_ai_limit_module);
    return context;
}

bool make_report(RequestContext* context, bool with_dry_run, Report* report) {
    report->count = 0;
    report->reported = 0;
    report->part = nullptr;
    report->refused = context->latest != nullptr && context->latest->refused && !context->latest->dry_run;
    report->dry_run = false;
    if (report->refused) {
        add_to_report(context->latest, {false, false, false}, report);
        return report->count != 0;
    }
    for (Evaluation* one = context->latest; with_dry_run && one != nullptr; one = one->earlier) {
        if (refuses_on_dry_run(one)) {
            add_to_report(one, {true, true, true}, report);
            report->dry_run = true;
        }
    }
    for (Evaluation* one = context->latest; !report->dry_run && one != nullptr; one = one->earlier) {
        // What an earlier location refused, before error_page led here, is not what passed.
        if (!one->refused || one->dry_run) {
            add_to_report(one, {with_dry_run, false, false}, report);
        }
    }
    return report->count != 0;
}

bool describe_policy(RequestContext* context, const PolicyConf* policy, Description* said) {
    for (Evaluation* one = context->latest; one != nullptr; one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            if (one->parts()[i].policy == policy) {
                *said = describe_charge(one->charges[i], *policy, one->now);
                return true;
            }
        }
    }
    return false;
}

}  // namespace ai_limit
