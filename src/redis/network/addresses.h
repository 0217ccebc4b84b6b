#pragma once

// Finds the addresses of a server. If the configuration has a resolver, nginx asks for a name anew
// before each connection, and so without blocking.

#include "ngx.h"

namespace ai_limit {

constexpr size_t kMaxHost = 255;  // what DNS lets a name have

/** A server as the configuration or another server names it. All that is pointed to must stay. */
struct RedisEndpoint {
    ngx_str_t name;  // as the log shows it: with the port
    ngx_str_t host;  // that its certificate is to be for; a zero follows
    // Another name that its certificate may be for; a zero follows. Set for a server whose address
    // another one has reported.
    ngx_str_t stand_in;
    in_port_t port;
    ngx_resolver_t* resolver;     // nullptr: the addresses are all there is
    const ngx_addr_t* addresses;  // that are known without asking; with the port
    ngx_uint_t count;
};

class Addresses {
public:
    /** Keeps the arguments, which must outlive it. Calls `done` with `data` from nginx's event loop
     * when a question is answered. */
    void init(const RedisEndpoint* endpoint, void (*done)(void* data), void* data);

    /**
     * Asks where the server is. True if that was answered, or has failed, at once. Otherwise wait
     * for `done`, which comes after `timeout` milliseconds at most. A failure leaves the addresses
     * that were known before; see error(). Do not ask again before the answer, or cancel().
     */
    bool ask(ngx_msec_t timeout, bool holds_worker);

    /** Makes a worker that exits gracefully wait for the answer from now on. */
    void hold_worker();

    void cancel();

    size_t count() const { return count_; }

    /** Returns one of them, in an order that is the same everywhere; behind the last one it starts
     * again from the first. Its name is the server's. Valid until the next ask(). */
    ngx_addr_t at(size_t i);

    /** Returns why the last answer was none; nullptr if it was one. */
    const char* error() const { return error_; }

private:
    static constexpr size_t kMost = 16;

    /** One of nginx's, by which it is found again. */
    struct Posted {
        ngx_event_t event;
        Addresses* addresses;
    };

    static void on_answer(ngx_resolver_ctx_t* context);
    static void on_posted(ngx_event_t* event);

    void take(const ngx_resolver_ctx_t& context);
    void add(const struct sockaddr* address, socklen_t size);

    const RedisEndpoint* endpoint_;
    void (*done_)(void* data);
    void* data_;
    ngx_resolver_ctx_t* context_;  // while it is asked
    Posted posted_;
    const char* error_;
    u_char host_[kMaxHost];  // nginx writes it in small letters
    size_t count_;
    ngx_sockaddr_t addresses_[kMost];
    socklen_t sizes_[kMost];
};

}  // namespace ai_limit
