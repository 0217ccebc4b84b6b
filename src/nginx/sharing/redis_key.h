#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/** Goes on when Redis has answered, or has not: `look` is nullptr then. Returns what a content
 * handler has to return. */
using KeyThen = ngx_int_t (*)(ngx_http_request_t* r, void* data, const RedisLook* look);

/**
 * Asks Redis for a key of a policy in Redis; `forgets` also makes what it has used nothing.
 * NGX_DONE while the request waits, then `then` goes on, unless the client has gone. NGX_DECLINED
 * where Redis is not there. `asked` but its key of Redis is given, and stays as long as the
 * request.
 */
ngx_int_t look_in_redis(ngx_http_request_t* r, std::string_view policy, std::string_view key,
                        uint64_t hash, RedisKey* asked, bool forgets, KeyThen then, void* data);

}  // namespace ai_limit
