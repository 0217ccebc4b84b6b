#include "nginx/admit/websocket.h"

#include "clock.h"
#include "nginx/admit/admit.h"
#include "nginx/answer/refusal.h"
#include "nginx/decision/count_requests.h"

namespace ai_limit {

namespace {

constexpr std::string_view kWebSocket = "websocket";

/** True if the list of protocols has this one; protocols may have a version behind a slash. */
bool lists(std::string_view protocols, std::string_view wanted) {
    while (!protocols.empty()) {
        size_t end = protocols.find(',');
        std::string_view one = protocols.substr(0, end);
        protocols = end == protocols.npos ? std::string_view() : protocols.substr(end + 1);
        one = one.substr(0, one.find('/'));
        size_t first = one.find_first_not_of(" \t");
        size_t last = one.find_last_not_of(" \t");
        if (first != one.npos && equal_ignoring_case(one.substr(first, last - first + 1), wanted)) {
            return true;
        }
    }
    return false;
}

/** Calls visit(header) for every Upgrade header; clients may send several. */
template <typename Visit>
void each_upgrade(ngx_http_request_t* r, Visit visit) {
    for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
        ngx_table_elt_t* headers = static_cast<ngx_table_elt_t*>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; ++i) {
            if (equal_ignoring_case(view(headers[i].key), "upgrade")) {
                visit(&headers[i]);
            }
        }
    }
}

/**
 * RFC 9110, 15.5.22: a 426 names the protocol that the client must use. HTTP/2 and HTTP/3 know no
 * such headers.
 */
bool add_protocol(ngx_http_request_t* r) {
    return r->http_version > NGX_HTTP_VERSION_11 ||
           (add_header(r, {"Upgrade", "upgrade"}, "HTTP/1.1") &&
            add_header(r, {"Connection", "connection"}, "Upgrade"));
}

/** Counts for each policy of the set that the request has a key for. */
ngx_int_t count_unasked_set(ngx_http_request_t* r, const PolicySet& set, const Decision* earlier,
                            Millis monotonic) {
    for (ngx_uint_t i = 0; i < set.count; ++i) {
        Part part = {set.policies[i], {}, {}};
        const LivePolicy& live = *part.policy->live;
        if (!live.usable || part.policy->dry_run || was_decided(r, earlier, part.policy)) {
            continue;
        }
        if (evaluate(r, &part.policy->key, &part.key) != NGX_OK) {
            return NGX_ERROR;
        }
        if (part.key.len != 0) {
            read_label(r, &part);
            const uint64_t hash = hash_key(live.ask.access->journal.zone(), view(part.key));
            count_unasked(part, tag_of(hash, live.ask.policy), monotonic);
        }
    }
    return NGX_OK;
}

}  // namespace

ngx_int_t refuse_any_websocket(ngx_http_request_t* r, const LocConf& conf) {
    if (conf.list != nullptr) {
        RequestContext* context = find_context(r);
        Decision* one =
            context != nullptr ? add_decision(r, context, 0) : make_context(r, 0, &context);
        if (one == nullptr) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        one->now = now_by_nginx();
        for (const PolicySet* set : {&conf.list->preaccess, &conf.list->access}) {
            if (count_unasked_set(r, *set, one->earlier, one->now.monotonic) != NGX_OK) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }
        }
        note_refused_undecided(r, kUpgradeRequired, one);
    }
    return refuse_websocket(r);
}

bool takes_out_websocket(ngx_http_request_t* r) {
    bool websocket = false;
    each_upgrade(
        r, [&](ngx_table_elt_t* header) { websocket |= lists(view(header->value), kWebSocket); });
    // $http_upgrade skips headers without a hash only since nginx 1.23.
    each_upgrade(r, [](ngx_table_elt_t* header) {
        header->hash = 0;
        header->value.len = 0;
    });
    r->headers_in.upgrade = nullptr;
    return websocket;
}

ngx_int_t refuse_websocket(ngx_http_request_t* r) {
    ngx_log_error(loc_conf(r)->log_level, r->connection->log, 0,
                  "refusing an upgrade to WebSocket, in which nothing is counted");
    if (!add_protocol(r)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return answer_error(r, kUpgradeRequired,
                        "WebSocket is not available here. Please send this request over HTTP.");
}

}  // namespace ai_limit
