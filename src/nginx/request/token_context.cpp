#include "nginx/request/token_context.h"

#include <new>

namespace ai_limit {

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

}  // namespace ai_limit
