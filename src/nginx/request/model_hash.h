#pragma once

// The hash of a request's model, by which its habits are found (core/learn/habits.h). Mostly a
// worker has had a request for the same model just before.

#include "core/words/same_bytes.h"
#include "nginx/request/token_context.h"

namespace ai_limit {

/** The hash of the model that a worker was asked for last. */
struct ModelMemo {
    const void* zone;  // the zone of the hash; nullptr if there is none,
    uint64_t secret;   // and the front of its secret: another zone may come to lie there
    uint64_t hash;
    size_t size;
    char text[64];
};
extern ModelMemo model_memo;

/** Returns the front of the zone's secret. */
inline uint64_t front_of_secret(const Zone& zone) {
    return load_word(reinterpret_cast<const char*>(zone.header()->secret));
}

/** As model_hash(), of another model than that of the memo. */
uint64_t hash_model(TokenContext* tokens, const Zone& zone);

/** Returns the hash of the request's model in a zone. `info` must have been read. */
inline uint64_t model_hash(TokenContext* tokens, const Zone& zone) {
    if (tokens->model_zone == zone.header()) {
        return tokens->model_hash;
    }
    const ModelMemo& memo = model_memo;
    const std::string_view model = tokens->info.model();
    if (memo.zone != zone.header() || memo.secret != front_of_secret(zone) ||
        memo.size != model.size() || !are_same_bytes(memo.text, model.data(), model.size())) {
        return hash_model(tokens, zone);
    }
    tokens->model_zone = zone.header();
    tokens->model_hash = memo.hash;
    return memo.hash;
}

}  // namespace ai_limit
