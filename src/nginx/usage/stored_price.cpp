#include "nginx/usage/stored_price.h"

#include "clock.h"
#include "core/usage/stored_answer.h"
#include "core/zone/charged_answers.h"
#include "nginx/conf/config.h"
#include "nginx/conf/price_conf.h"
#include "nginx/request/request_body.h"
#include "nginx/values/request_price.h"
#include "zone_lock.h"

namespace ai_limit {

namespace {

/** Calls visit(const ZoneConf&) for the zone of each policy in money that the request is charged
 * by. */
template <typename Visit>
void each_zone_of_money(ngx_http_request_t* r, const Visit& visit) {
    const RequestContext* context = find_context(r);
    for (const Decision* one = context != nullptr ? context->latest : nullptr; one != nullptr;
         one = one->earlier) {
        for (ngx_uint_t i = 0; i < one->count; ++i) {
            const PolicyCharge& charge = one->charges[i];
            if (is_to_be_settled(*one, charge) && charge.use.limit->measure == Measure::kMoney) {
                visit(*one->parts[i].policy->zone);
            }
        }
    }
}

const Zone& memory_of(const ZoneConf& zone) {
    return zone.live->access.journal.zone();
}

}  // namespace

void note_stored_price(ngx_http_request_t* r, const TokenContext& tokens) {
    if (tokens.answer_id == nullptr || tokens.fetches_answer ||
        tokens.basis != UsageBasis::kEstimate) {
        return;
    }
    const std::string_view id = tokens.answer_id->id();
    const PriceTable& table = main_conf(r)->prices->table;
    const RequestInfo* info = read_request_info(r);
    if (id.empty() || info == nullptr || table.find(tokens.reader->model()) != nullptr) {
        return;
    }
    const uint64_t number = table.number_of(certain_model(*info));
    if (number == 0) {
        return;
    }
    const Millis wall = now_by_nginx().wall;
    each_zone_of_money(r, [&](const ZoneConf& zone) {
        ZoneLock lock(*zone.shm);
        note_answer_price(memory_of(zone), hash_answer_price(memory_of(zone), id), number, wall);
    });
}

const ModelPrices* find_stored_price(ngx_http_request_t* r, const TokenContext& tokens) {
    const std::string_view id = tokens.answer_id != nullptr && tokens.fetches_answer
                                    ? tokens.answer_id->id()
                                    : std::string_view();
    const ModelPrices* found = nullptr;
    if (id.empty()) {
        return found;
    }
    const Millis wall = now_by_nginx().wall;
    each_zone_of_money(r, [&](const ZoneConf& zone) {
        if (found == nullptr) {
            ZoneLock lock(*zone.shm);
            const uint64_t number =
                answer_price(memory_of(zone), hash_answer_price(memory_of(zone), id), wall);
            found = main_conf(r)->prices->table.find_by_number(number);
        }
    });
    return found;
}

}  // namespace ai_limit
