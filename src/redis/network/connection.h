#pragma once

// One connection of a worker to one Redis: nginx's events, timers and TLS; hiredis reads what
// comes. Commands are pipelined: those of one turn of the event loop go out in few writes, mostly
// one.

#include <cstdlib>

#include "core/zone/remote_traffic.h"
#include "ngx.h"
#include "redis/network/addresses.h"
#include "redis/protocol/reply.h"

namespace ai_limit {

/** How to reach Redis and who to be there; the configuration's. */
struct RedisAccess {
    ngx_msec_t connect_timeout;  // the name's resolving and TLS included
    ngx_msec_t timeout;          // of each command
    ngx_str_t user;              // empty: the default one
    ngx_str_t password;          // empty: none
    ngx_int_t database;
    ngx_ssl_t* ssl;  // nullptr: without TLS
    bool ssl_verify;
    RemoteTraffic* traffic;  // a worker's own: where all workers count what they send
};

/** A command under way. Its memory, and `bytes`, are its maker's again once it is done. */
struct RedisCommand {
    ngx_queue_t link;
    char* bytes;
    size_t size;
    ngx_msec_t deadline;
    uint64_t sent_at;    // in microseconds
    bool is_script;      // an EVALSHA: if Redis has not got the script, it is sent
    bool script_sent;    // it has been
    bool may_fail;       // an error as its answer does not matter
    bool is_secret;      // an error may quote what nobody shall see
    bool is_probe;       // no request waits for it, and its answer tells nothing of others
    bool is_background;  // no request waits for it: it ends with the worker
    uint8_t redirects;   // from server to server so far
    /**
     * `reply` is nullptr if there is none: Redis may have carried out the command or not. Returns
     * false if the reply is no answer to this command: those that follow answer others then, too.
     */
    bool (*done)(RedisCommand* command, const Reply* reply);
};

class RedisConnection;

/** Hears of a connection's end, before its commands are done without a reply. */
struct RedisListener {
    /** `reason` says why, for a log line. `idle`: no command was under way. */
    void (*lost)(RedisListener* listener, std::string_view reason, bool idle);

    /** A call of the script that is no probe was answered. */
    void (*answered)(RedisListener* listener);

    /** Takes a command to which the server answers that another one is to be asked, or returns
     * false. nullptr if there is no other one, and that answer is like any error. */
    bool (*redirected)(RedisListener* listener, RedisCommand* command, std::string_view error);
};

class RedisConnection {
public:
    /** Only when it is closed. */
    ~RedisConnection() { std::free(output_.bytes); }

    void init(const RedisAccess* access, const RedisEndpoint* endpoint, RedisListener* listener) {
        access_ = access;
        endpoint_ = endpoint;
        listener_ = listener;
        addresses_.init(endpoint, on_addresses, this);
        ngx_queue_init(&commands_);
    }

    const RedisEndpoint& endpoint() const { return *endpoint_; }

    /** Sends a command; connects if there is no connection. Returns false if that failed at once:
     * the command still belongs to the caller. */
    bool send(RedisCommand* command);

    /** Why sending has failed at once. */
    std::string_view failure() const { return {failure_, failure_size_}; }

    bool is_open() const { return stage_ == Stage::kOpen; }

    bool has_commands() const { return !ngx_queue_empty(&commands_); }

    /** Closes without a word to the listener. */
    void close();

    /** Ends the commands that no request waits for, without a reply. Call it after close(). */
    void end_background();

    /** Closes the connection. Commands under way are done without a reply. */
    void give_up() { lose("given up"); }

private:
    enum class Stage : uint8_t { kClosed, kResolving, kConnecting, kOpen };

    struct Output {
        char* bytes;
        size_t sent, size, capacity;
    };

    static RedisConnection* of(ngx_event_t* event) {
        return static_cast<RedisConnection*>(static_cast<ngx_connection_t*>(event->data)->data);
    }
    static void on_addresses(void* self);
    static void on_read(ngx_event_t* event);
    static void on_write(ngx_event_t* event);
    static void on_flush(ngx_event_t* event);
    static void on_handshake(ngx_connection_t* connection);

    bool open(bool for_probe);
    bool connect();
    bool start(const ngx_addr_t& address);
    void connect_failed(int error);
    void log_stale_addresses();
    void connected();
    void opened();
    bool greet();
    bool queue_greeting(std::initializer_list<std::string_view> words, bool may_fail);
    bool enqueue(const RedisCommand& command);
    void post_flush();
    void count(const Reply& reply, const RedisCommand& command);
    void flush();
    void send_early();
    void receive();
    void take_replies();
    void answer(const Reply& reply);
    bool send_again(RedisCommand* command);
    bool script_is_under_way();
    static bool add_script(RedisCommand* command);
    void set_deadline();
    void close_socket();
    /** `awaited`: by a command that is done by now; where none was under way nothing is lost. */
    void lose(std::string_view reason, bool awaited = false);
    void set_failure(std::string_view reason);
    void set_failure_there(std::string_view reason);

    const RedisAccess* access_;
    const RedisEndpoint* endpoint_;
    RedisListener* listener_;
    ngx_connection_t* connection_;
    Addresses addresses_;
    size_t first_;  // of the addresses, for the next connection
    size_t tried_;  // of them, for this one
    ngx_msec_t connect_deadline_;
    bool useful_;        // a command was answered
    bool stale_logged_;  // that its name is not resolved any more
    char failure_[256];  // see failure()
    size_t failure_size_;
    Stage stage_;
    uint32_t generation_;   // how often it was closed
    ngx_queue_t commands_;  // sent or to be sent, in this order
    Output output_;
    uint64_t turn_began_;    // in microseconds: when the first command of this turn was sent
    uint64_t last_read_at_;  // when what came last came
    bool refused_;           // by an error that ends the connection
    ngx_event_t flush_event_;
    ReplyReader reader_;
};

}  // namespace ai_limit
