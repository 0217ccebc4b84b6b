#include "nginx/request/token_context.h"

#include <new>

#include "core/zone/table.h"

namespace ai_limit {

namespace {

/** The hash of the model that was asked for last. */
struct ModelMemo {
    const void* zone;  // the zone of the hash; nullptr if there is none,
    uint64_t secret;   // and the front of its secret: another zone may come to lie there
    uint64_t hash;
    size_t size;
    char text[64];
};

}  // namespace

TokenContext* token_context(ngx_http_request_t* r) {
    RequestContext* context = find_context(r);
    if (context == nullptr && make_context(r, 0, &context) == nullptr) {
        return nullptr;
    }
    if (context->tokens == nullptr) {
        void* memory = ngx_palloc(r->pool, sizeof(TokenContext));
        if (memory != nullptr) {
            context->tokens = new (memory) TokenContext();
        }
    }
    return context->tokens;
}

uint64_t find_model_hash(TokenContext* tokens, const Zone& zone) {
    // Mostly a worker has had a request for the same model before.
    static ModelMemo memo;
    const std::string_view model = tokens->info.model();
    uint64_t secret = 0;
    ngx_memcpy(&secret, zone.header()->secret, sizeof(secret));
    tokens->model_zone = zone.header();
    if (memo.zone != zone.header() || memo.secret != secret || memo.size != model.size() ||
        ngx_memcmp(memo.text, model.data(), model.size()) != 0) {
        memo.zone = model.size() <= sizeof(memo.text) ? zone.header() : nullptr;
        memo.secret = secret;
        memo.hash = hash_key(zone, model);
        memo.size = model.size();
        ngx_memcpy(memo.text, model.data(), ngx_min(model.size(), sizeof(memo.text)));
    }
    tokens->model_hash = memo.hash;
    return memo.hash;
}

}  // namespace ai_limit
