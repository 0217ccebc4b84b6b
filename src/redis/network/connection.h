#pragma once

// One connection of a worker to one Redis. Commands are pipelined: those of one turn of the event
// loop go out in few writes, mostly one. hiredis takes the replies apart.

#include "redis/network/access.h"
#include "redis/network/output_buffer.h"
#include "redis/network/redis_command.h"
#include "redis/network/socket.h"
#include "timer.h"

namespace ai_limit {

/** Is called at a connection's end, before its commands are done without a reply. */
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
    /** In zeroed memory. The arguments must outlive it. */
    void init(const RedisAccess* access, const RedisEndpoint* endpoint, RedisListener* listener);

    const RedisEndpoint& endpoint() const { return socket_.endpoint(); }

    /** Sends a command; connects if there is no connection. Returns false if that failed at once:
     * the command still belongs to the caller. */
    bool send(RedisCommand* command);

    /** Why sending has failed at once. */
    std::string_view failure() const { return socket_.failure(); }

    bool is_open() const { return socket_.is_open(); }

    bool has_commands() const { return !ngx_queue_empty(&commands_); }

    /** Closes without a word to the listener. */
    void close();

    /** Ends the commands that no request waits for, without a reply. Call it after close(). */
    void end_background();

    /** Closes the connection. Commands under way are done without a reply. */
    void give_up() { lose("given up"); }

private:
    static const SocketEvents kSocketEvents;

    bool open(bool for_probe);
    void opened();
    bool add_greeting();
    bool add_to_output(const RedisCommand& command) {
        return output_.add({command.bytes, command.size});
    }
    void flush();
    void receive();
    void take_replies();
    void answer(const Reply& reply);
    bool must_close_for(const Reply& reply, const RedisCommand& command) const;
    bool is_for_another_server(const Reply& reply) const;
    void conclude(RedisCommand* command, const Reply& reply);
    void count(const Reply& reply, const RedisCommand& command);
    bool send_again(RedisCommand* command);
    bool script_is_under_way(const char* script);
    void set_deadline();
    void check_deadline();
    /** `awaited`: by a command that is done by now; where none was under way nothing is lost. */
    void lose(std::string_view reason, bool awaited = false);
    void end_without_reply(ngx_queue_t* commands);

    const RedisAccess* access_;
    RedisListener* listener_;
    RedisSocket socket_;
    uint32_t generation_;   // how often it was closed
    bool useful_;           // a command was answered
    bool refused_;          // by an error that ends the connection
    ngx_queue_t commands_;  // sent or to be sent, in this order
    OutputBuffer output_;
    uint64_t turn_began_;    // in microseconds: when the first command of this turn was sent
    uint64_t last_read_at_;  // when what came last came
    Timer flush_timer_;      // at the end of the turn in which a command was sent
    Timer deadline_timer_;   // of the command that waits the longest
    ReplyReader reader_;
};

}  // namespace ai_limit
