#pragma once

// The socket to one server. It asks for the server's addresses, connects to one after the other
// until one of them is reached, and begins TLS if the configuration wants it.

#include "redis/network/access.h"
#include "redis/network/addresses.h"
#include "timer.h"

namespace ai_limit {

/** Calls to the owner of a socket. They come from nginx's event loop, and also from open(). */
struct SocketEvents {
    void (*opened)(void* owner);    // bytes may be sent; some may have come already
    void (*readable)(void* owner);  // bytes have come, or the other side has closed
    void (*writable)(void* owner);  // bytes may be sent again
    void (*failed)(void* owner, std::string_view reason);  // it cannot be opened
};

class RedisSocket {
public:
    /** In zeroed memory. The arguments must outlive it. */
    void init(const RedisAccess* access, const RedisEndpoint* endpoint, const SocketEvents* events,
              void* owner);

    /**
     * Begins to connect a closed socket. `opened` or `failed` follows. Returns false if that failed
     * at once; the socket is still closed then. A worker that exits gracefully waits for the
     * server's addresses if `holds_worker`.
     */
    bool open(bool holds_worker);

    /** Makes such a worker wait from now on. */
    void hold_worker();

    bool is_closed() const { return stage_ == Stage::kClosed; }
    bool is_open() const { return stage_ == Stage::kOpen; }

    /** Returns how many of the bytes were sent, NGX_AGAIN or NGX_ERROR. */
    ssize_t send(std::string_view bytes);

    /** Returns how many bytes were received, 0 at the end, NGX_AGAIN or NGX_ERROR. */
    ssize_t receive(u_char* buffer, size_t size) {
        return connection_->recv(connection_, buffer, size);
    }

    /** True if there may be bytes to receive. */
    bool has_more() const { return connection_ != nullptr && connection_->read->ready; }

    /** Calls `readable` in the next turn of the event loop. */
    void receive_later() { ngx_post_event(connection_->read, &ngx_posted_next_events); }

    /** Call this after receive() returned NGX_AGAIN, so that `readable` follows. False without an
     * event. */
    bool await_bytes() { return ngx_handle_read_event(connection_->read, 0) == NGX_OK; }

    /** Call this after send(), so that `writable` follows if not all was sent. False without an
     * event. */
    bool await_room() { return ngx_handle_write_event(connection_->write, 0) == NGX_OK; }

    /** Closes without a call to the owner. */
    void close();

    /** Closes, and keeps the reason. If the connection was of no use, open() tries another one of
     * the server's addresses next. */
    void close_lost(std::string_view reason, bool was_useful);

    /** Says why open() failed, or why the socket was closed. */
    std::string_view failure() const { return {failure_, failure_size_}; }

    void set_failure(std::string_view reason);

    const RedisEndpoint& endpoint() const { return *endpoint_; }

private:
    enum class Stage : uint8_t { kClosed, kResolving, kConnecting, kOpen };

    static RedisSocket* of(ngx_event_t* event) {
        return static_cast<RedisSocket*>(static_cast<ngx_connection_t*>(event->data)->data);
    }
    static void on_addresses(void* self);
    static void on_read(ngx_event_t* event);
    static void on_write(ngx_event_t* event);
    static void on_handshake(ngx_connection_t* connection);

    bool connect();
    bool connect_to(const ngx_addr_t& address);
    void take_over(ngx_connection_t* connection);
    void connect_failed(int error);
    void connected();
    void opened();
    void timed_out();
    void fail(std::string_view reason) { events_->failed(owner_, reason); }
    const char* certificate_error();
    void log_stale_addresses();
    void close_connection();
    void set_failure_there(std::string_view reason);

    const RedisAccess* access_;
    const RedisEndpoint* endpoint_;
    const SocketEvents* events_;
    void* owner_;
    ngx_connection_t* connection_;
    Addresses addresses_;
    size_t first_;  // of the addresses, for the next connection
    size_t tried_;  // of them, for this one
    ngx_msec_t connect_deadline_;
    Timer connect_timer_;
    bool stale_logged_;  // that the server's name is not resolved any more
    Stage stage_;
    char failure_[256];
    size_t failure_size_;
};

}  // namespace ai_limit
