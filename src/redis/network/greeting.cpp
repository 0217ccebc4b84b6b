#include "redis/network/greeting.h"

#include <cstdlib>

#include "redis/protocol/command.h"
#include "redis/script/script.h"

namespace ai_limit {

namespace {

bool forget(RedisCommand* command, const Reply*) {
    std::free(command->bytes);
    std::free(command);
    return true;
}

/** Returns nullptr without memory. */
RedisCommand* add(std::initializer_list<std::string_view> words, ngx_queue_t* queue) {
    static Command command;
    command.clear();
    for (std::string_view word : words) {
        command.word(word);
    }
    RedisCommand* made = static_cast<RedisCommand*>(std::calloc(1, sizeof(RedisCommand)));
    if (made == nullptr) {
        return nullptr;
    }
    made->bytes = command.format(&made->size);
    if (made->bytes == nullptr) {
        std::free(made);
        return nullptr;
    }
    made->done = forget;
    made->is_greeting = true;
    made->is_background = true;
    ngx_queue_insert_tail(queue, &made->link);
    return made;
}

bool add_login(const RedisAccess& access, ngx_queue_t* queue) {
    RedisCommand* login = access.user.len != 0
                              ? add({"AUTH", view(access.user), view(access.password)}, queue)
                              : add({"AUTH", view(access.password)}, queue);
    if (login != nullptr) {
        login->is_secret = true;
    }
    return login != nullptr;
}

bool add_database(ngx_int_t database, ngx_queue_t* queue) {
    u_char digits[NGX_INT64_LEN];
    u_char* end = ngx_sprintf(digits, "%i", database);
    return add({"SELECT", {reinterpret_cast<char*>(digits), static_cast<size_t>(end - digits)}},
               queue) != nullptr;
}

/** A user may not be allowed to load scripts: a missing script then comes with its first command.
 */
bool add_script(ngx_queue_t* queue) {
    RedisCommand* load = add({"SCRIPT", "LOAD", limit_script()}, queue);
    if (load != nullptr) {
        load->may_fail = true;
    }
    return load != nullptr;
}

}  // namespace

bool make_greeting(const RedisAccess& access, ngx_queue_t* queue) {
    bool has_login = access.user.len != 0 || access.password.len != 0;
    return (!has_login || add_login(access, queue)) &&
           (access.database == 0 || add_database(access.database, queue)) && add_script(queue);
}

}  // namespace ai_limit
