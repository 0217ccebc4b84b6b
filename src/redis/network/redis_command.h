#pragma once

#include "ngx.h"
#include "redis/protocol/reply.h"

namespace ai_limit {

/** A command under way. Its memory, and `bytes`, are its maker's again once it is done. */
struct RedisCommand {
    ngx_queue_t link;
    char* bytes;
    size_t size;
    ngx_msec_t deadline;
    uint64_t sent_at;    // in microseconds
    const char* script;  // that was sent with it; nullptr: none was
    bool is_script;      // an EVALSHA: if Redis has not got the script, it is sent
    bool may_fail;       // an error as its answer does not matter
    bool is_secret;      // an error may quote what nobody shall see
    bool is_greeting;    // the connection's own, one of its first
    bool is_probe;       // no request waits for it, and its answer says nothing about others
    bool is_background;  // no request waits for it: it ends with the worker
    uint8_t redirects;   // from server to server so far
    /**
     * `reply` is nullptr if there is none: Redis may have carried out the command or not. Returns
     * false if the reply is no answer to this command: those that follow answer others then, too.
     */
    bool (*done)(RedisCommand* command, const Reply* reply);
};

inline RedisCommand* command_of(ngx_queue_t* link) {
    return ngx_queue_data(link, RedisCommand, link);
}

/** Moves all from one queue to the end of another one. */
inline void move_commands(ngx_queue_t* from, ngx_queue_t* to) {
    if (!ngx_queue_empty(from)) {
        ngx_queue_add(to, from);
        ngx_queue_init(from);
    }
}

}  // namespace ai_limit
