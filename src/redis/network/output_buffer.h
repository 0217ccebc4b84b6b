#pragma once

#include <string_view>

#include "ngx.h"
#include "redis/network/socket.h"

namespace ai_limit {

/** The bytes that wait to be sent. Made in zeroed memory. */
class OutputBuffer {
public:
    ~OutputBuffer();

    /** Copies bytes behind those that wait. False without memory. */
    bool add(std::string_view bytes);

    size_t size() const { return end_ - begin_; }

    void clear() { begin_ = end_ = 0; }

    /** Sends what the socket takes. Returns NGX_OK, NGX_AGAIN if bytes are left, or NGX_ERROR. */
    ngx_int_t send_to(RedisSocket* socket);

    /** Sends what the socket takes at once. Ignores an error, which occurs again in send_to(). */
    void send_some_to(RedisSocket* socket);

private:
    std::string_view view() const { return {bytes_ + begin_, size()}; }

    char* bytes_;
    size_t begin_, end_, capacity_;
};

}  // namespace ai_limit
