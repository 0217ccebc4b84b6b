#include "nginx/sharing/redis_key.h"

#include <cstdlib>

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/sharing/redis_flights.h"
#include "nginx/waiting/waiting.h"

namespace ai_limit {

namespace {

/** A question under way; it outlives a request whose client goes away. */
struct KeyLook : RedisCommand {
    Wait wait;  // of the request, unless its client has gone away
    RedisKey* asked;
    KeyThen then;
    void* data;
    bool is_sent;
    bool is_done;
};

void release(KeyLook* look) {
    std::free(look->bytes);
    std::free(look);
}

constexpr WaitReason kWaitForKey = {"Redis to look up a key", nullptr, nullptr};

bool on_look(RedisCommand* command, const Reply* reply) {
    KeyLook* look = static_cast<KeyLook*>(command);
    if (!look->is_sent) {
        look->is_done = true;  // it could not be
        return true;
    }
    RedisLook said{};
    // `asked` is the request's.
    ngx_http_request_t* r = take_content(&look->wait);
    bool fits = reply == nullptr || reply->kind() != ReplyKind::kText || r == nullptr ||
                read_look(*reply, *look->asked, &said);
    bool answered = fits && reply != nullptr && reply->kind() == ReplyKind::kText;
    if (r != nullptr) {
        if (answered) {
            set_redis_clock(*look->asked->zone, now_by_nginx(), said.redis_now);
        }
        finish_content(r, look->then(r, look->data, answered ? &said : nullptr));
    }
    release(look);
    return fits;
}

/** Returns nullptr without memory. */
KeyLook* make_look(RedisKey* asked, bool forgets) {
    KeyLook* look = static_cast<KeyLook*>(std::calloc(1, sizeof(KeyLook)));
    if (look == nullptr) {
        return nullptr;
    }
    Command* command = empty_command();
    write_look(*asked, forgets, now_by_nginx(), command);
    look->bytes = command->format(&look->size);
    if (look->bytes == nullptr) {
        release(look);
        return nullptr;
    }
    look->asked = asked;
    look->is_script = true;
    look->done = on_look;
    return look;
}

}  // namespace

ngx_int_t look_in_redis(ngx_http_request_t* r, std::string_view policy, std::string_view key,
                        uint64_t hash, RedisKey* asked, bool forgets, KeyThen then, void* data) {
    LiveRedis* redis = live_redis(r);
    char* name = static_cast<char*>(ngx_pnalloc(r->pool, kMaxRedisKey));
    KeyHash hashed;
    if (name == nullptr || !hash_key_for_redis(key, hash, &hashed)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    asked->key = {name, write_redis_key(view(redis->conf->servers.prefix), hashed, policy,
                                        asked->limit->measure, name)};
    RedisClient* client = redis->router.client_for(slot_of(asked->key));
    if (client == nullptr || !client->is_there()) {
        return NGX_DECLINED;
    }
    KeyLook* look = make_look(asked, forgets);
    if (look == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    look->then = then;
    look->data = data;
    client->send(look);
    if (look->is_done) {
        release(look);
        return NGX_DECLINED;
    }
    look->is_sent = true;
    return suspend_content(r, &look->wait, kWaitForKey);
}

}  // namespace ai_limit
