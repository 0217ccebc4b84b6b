#pragma once

// A worker's way to one server of Redis: whether it is there, which all workers know together; one
// of them that looks for it while it is away; and what must still arrive when it is back.

#include "core/zone/zone.h"
#include "redis/network/connection.h"
#include "timer.h"

namespace ai_limit {

class RedisRouter;

/**
 * The level of the lines that say that Redis is lost, and that it is back. Debian's nginx logs
 * nothing below error by default, and an operator who reads of a loss must read of its end as well.
 */
constexpr ngx_uint_t kHealthLevel = NGX_LOG_ERR;

class RedisClient {
public:
    /** The arguments must outlive it. `what_then` ends the log line on the lost server. */
    void init(const RedisAccess* access, const RedisEndpoint* endpoint, std::string_view prefix,
              RemoteHealth* health, const char* what_then, RedisRouter* router);

    /** True if a decision may be asked for. */
    bool is_there();

    /** True if there is a connection by which a command leaves at once. */
    bool is_connected() const { return connection_.is_open(); }

    /** True if another server decides in its place. */
    bool is_replaced() const {
        return health_->state.load(std::memory_order_relaxed) == RemoteHealth::kReplaced;
    }

    /**
     * Sends a command. If that is not possible, the command is done without a reply before this
     * returns. `asking` is for a slot of a cluster that is on its way to this server.
     */
    void send(RedisCommand* command, bool asking = false);

    /**
     * Sends a command that must arrive, since it settles a request, and does no harm twice. The
     * bytes of the command are the client's now (malloc'd). While the server is away they are kept
     * until it is back; if there are too many, Redis ends by itself what a request has taken.
     */
    void deliver(uint16_t slot, char* bytes, size_t size);

    /** A slot that this server of a cluster has. */
    void set_slot(uint16_t slot) { slot_ = slot; }

    /** Marks a server that is away as replaced. Returns true in the first worker that does so. */
    bool note_replaced();

    /** Marks the server as down. Returns true in the first worker that does so. */
    bool note_away();

    const ngx_str_t& name() const { return connection_.endpoint().name; }

    /** Ends the client with its worker: nothing that was kept can be delivered any more. */
    void close();

private:
    struct Listener : RedisListener {
        RedisClient* client;
    };
    struct Delivery : RedisCommand {
        RedisClient* client;
        uint16_t slot;
    };
    struct Probe : RedisCommand {
        RedisClient* client;
    };

    static void on_lost(RedisListener* listener, std::string_view reason, bool idle);
    static void on_answered(RedisListener* listener);
    static bool on_redirected(RedisListener* listener, RedisCommand* command,
                              std::string_view error);
    static bool on_probed(RedisCommand* command, const Reply* reply);
    static bool on_delivered(RedisCommand* command, const Reply* reply);

    void lost(std::string_view reason);
    bool put(RedisCommand* command);
    void probe();
    bool write_probe();
    void keep(Delivery* delivery);
    void deliver_kept();
    void watch();
    void look();

    RemoteHealth* health_;
    const char* what_then_;
    std::string_view prefix_;
    RedisRouter* router_;
    uint16_t slot_;
    Listener listener_;
    RedisConnection connection_;
    uint32_t losses_;  // RemoteHealth::losses when the connection was made
    Probe probe_;
    bool probing_;
    Timer watch_;
    ngx_queue_t kept_;
    size_t kept_count_;
};

}  // namespace ai_limit
