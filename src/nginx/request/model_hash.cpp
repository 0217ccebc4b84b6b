#include "nginx/request/model_hash.h"

#include "core/zone/table.h"

namespace ai_limit {

ModelMemo model_memo;

uint64_t hash_model(TokenContext* tokens, const Zone& zone) {
    const std::string_view model = tokens->info.model();
    ModelMemo& memo = model_memo;
    memo.zone = model.size() <= sizeof(memo.text) ? zone.header() : nullptr;
    memo.secret = front_of_secret(zone);
    memo.hash = hash_key(zone, model);
    memo.size = model.size();
    ngx_memcpy(memo.text, model.data(), ngx_min(model.size(), sizeof(memo.text)));
    tokens->model_zone = zone.header();
    tokens->model_hash = memo.hash;
    return memo.hash;
}

}  // namespace ai_limit
