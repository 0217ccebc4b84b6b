#include "nginx/redis_key.h"

#include <cstdlib>

#include "clock.h"
#include "core/policies/redis_clock.h"
#include "nginx/redis_flights.h"

namespace ai_limit {

namespace {

/** A question under way; it outlives a request whose client goes away. */
struct KeyLook : RedisCommand {
    ngx_http_request_t* r;  // nullptr: nobody waits for it
    ngx_http_cleanup_t* cleanup;
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

void forget_request(void* data) noexcept {
    static_cast<KeyLook*>(data)->r = nullptr;
}

bool on_look(RedisCommand* command, const Reply* reply) {
    KeyLook* look = static_cast<KeyLook*>(command);
    if (!look->is_sent) {
        look->is_done = true;  // it could not be
        return true;
    }
    RedisLook said{};
    bool fits = reply == nullptr || reply->kind() != ReplyKind::kText || look->r == nullptr ||
                read_look(*reply, *look->asked, &said);
    bool answered = fits && reply != nullptr && reply->kind() == ReplyKind::kText;
    ngx_http_request_t* r = look->r;
    if (r != nullptr) {
        ngx_connection_t* connection = r->connection;
        look->cleanup->handler = nullptr;
        if (answered) {
            set_redis_clock(*look->asked->zone, now_by_nginx(), said.redis_now);
        }
        ngx_http_finalize_request(r, look->then(r, look->data, answered ? &said : nullptr));
        ngx_http_run_posted_requests(connection);
    }
    release(look);
    return fits;
}

/** Returns nullptr without memory. */
KeyLook* make_look(ngx_http_request_t* r, RedisKey* asked, bool forgets) {
    ngx_http_cleanup_t* cleanup = ngx_http_cleanup_add(r, 0);
    KeyLook* look = static_cast<KeyLook*>(std::calloc(1, sizeof(KeyLook)));
    if (cleanup == nullptr || look == nullptr) {
        std::free(look);
        return nullptr;
    }
    Command* command = empty_command();
    write_look(*asked, forgets, now_by_nginx(), command);
    look->bytes = command->format(&look->size);
    if (look->bytes == nullptr) {
        release(look);
        return nullptr;
    }
    cleanup->handler = forget_request;
    cleanup->data = look;
    look->r = r;
    look->cleanup = cleanup;
    look->asked = asked;
    look->is_script = true;
    look->done = on_look;
    return look;
}

}  // namespace

ngx_int_t look_in_redis(ngx_http_request_t* r, std::string_view policy, std::string_view key,
                        uint64_t hash, RedisKey* asked, bool forgets, KeyThen then, void* data) {
    RedisConf* redis = main_conf(r)->redis;
    char* name = static_cast<char*>(ngx_pnalloc(r->pool, kMaxRedisKey));
    KeyHash hashed;
    if (name == nullptr || !hash_key_for_redis(key, hash, &hashed)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    asked->key = {name, write_redis_key(view(redis->servers.prefix), hashed, policy,
                                        asked->limit->measure, name)};
    RedisClient* client = redis->router.client_for(slot_of(asked->key));
    if (client == nullptr || !client->is_there()) {
        return NGX_DECLINED;
    }
    KeyLook* look = make_look(r, asked, forgets);
    if (look == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    look->then = then;
    look->data = data;
    client->send(look);
    if (look->is_done) {
        look->cleanup->handler = nullptr;
        release(look);
        return NGX_DECLINED;
    }
    look->is_sent = true;
    ++r->main->count;
    return NGX_DONE;
}

}  // namespace ai_limit
