#include "redis/network/socket.h"

#include <cstring>

#include "clock.h"

namespace ai_limit {

namespace {

constexpr size_t kPoolSize = 512;

/** Returns the error that connecting ended with; 0 for none. */
int connect_error(ngx_connection_t* c) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1) {
        return ngx_socket_errno;
    }
    return error;
}

#if (NGX_SSL)

bool is_address(const ngx_str_t& host) {
    u_char binary[sizeof(in6_addr)];
    return ngx_inet_addr(host.data, host.len) != INADDR_NONE ||
           ngx_inet6_addr(host.data, host.len, binary) == NGX_OK;
}

/** True if the server's certificate is for that host, which ends with a zero. */
bool is_for_host(ngx_connection_t* c, ngx_str_t host) {
    constexpr int kNoAddress = -2;
    X509* certificate = SSL_get_peer_certificate(c->ssl->connection);
    if (certificate == nullptr) {
        return false;
    }
    int result = X509_check_ip_asc(certificate, reinterpret_cast<char*>(host.data), 0);
    X509_free(certificate);
    return result == kNoAddress ? ngx_ssl_check_host(c, &host) == NGX_OK : result == 1;
}

#endif

/** Returns an error number as text, in memory that the next call uses again. */
std::string_view text_of(int error) {
    static u_char text[128];
    return {reinterpret_cast<char*>(text),
            static_cast<size_t>(ngx_strerror(error, text, sizeof(text)) - text)};
}

}  // namespace

void RedisSocket::init(const RedisAccess* access, const RedisEndpoint* endpoint,
                       const SocketEvents* events, void* owner) {
    access_ = access;
    endpoint_ = endpoint;
    events_ = events;
    owner_ = owner;
    addresses_.init(endpoint, on_addresses, this);
    connect_timer_.init<&RedisSocket::timed_out>(this, ngx_cycle->log);
    connect_timer_.hold_worker(true);
}

bool RedisSocket::open(bool holds_worker) {
    ngx_msec_t timeout = access_->connect_timeout;
    connect_deadline_ = msec_now() + timeout;
    tried_ = 0;
    // If an address is known, time is left to try it.
    ngx_msec_t patience = addresses_.count() != 0 ? timeout / 2 + 1 : timeout;
    if (!addresses_.ask(patience, holds_worker)) {
        stage_ = Stage::kResolving;
        return true;
    }
    return connect();
}

void RedisSocket::hold_worker() {
    if (stage_ == Stage::kResolving) {
        addresses_.hold_worker();
    }
}

void RedisSocket::on_addresses(void* data) {
    RedisSocket* self = static_cast<RedisSocket*>(data);
    if (!self->connect()) {
        self->fail(self->failure());
    }
}

/** Begins to connect to the first of the addresses that are left with which that is possible. */
bool RedisSocket::connect() {
    if (addresses_.count() == 0) {
        char text[sizeof(failure_)];
        u_char* begin = reinterpret_cast<u_char*>(text);
        u_char* end = ngx_snprintf(begin, sizeof(text), "%V cannot be resolved (%s)",
                                   &endpoint_->host, addresses_.error());
        set_failure({text, static_cast<size_t>(end - begin)});
        return false;
    }
    log_stale_addresses();
    while (tried_ < addresses_.count()) {
        if (connect_to(addresses_.at(first_ + tried_++))) {
            return true;
        }
    }
    return false;
}

/** Once, until the server's name is resolved again. */
void RedisSocket::log_stale_addresses() {
    bool stale = addresses_.error() != nullptr;
    if (stale && !stale_logged_) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "Redis %V is looked for where it was, since its name cannot be resolved (%s)",
                      &endpoint_->name, addresses_.error());
    }
    stale_logged_ = stale;
}

bool RedisSocket::connect_to(const ngx_addr_t& address) {
    ngx_peer_connection_t peer{};
    peer.sockaddr = address.sockaddr;
    peer.socklen = address.socklen;
    ngx_str_t name = address.name;
    peer.name = &name;
    peer.get = ngx_event_get_peer;
    // The warning says why connecting failed. nginx itself only logs alerts of the system.
    static ngx_log_t quiet;
    quiet = *ngx_cycle->log;
    quiet.log_level = NGX_LOG_ALERT;
    peer.log = &quiet;
    peer.log_error = NGX_ERROR_INFO;
    ngx_int_t rc = ngx_event_connect_peer(&peer);
    set_failure("connecting failed");
    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        if (peer.connection != nullptr) {
            ngx_close_connection(peer.connection);
        }
        return false;
    }
    take_over(peer.connection);
    if (connection_->pool == nullptr) {
        close_connection();
        return false;
    }
    stage_ = Stage::kConnecting;
    if (address.sockaddr->sa_family != AF_UNIX) {
        ngx_tcp_nodelay(connection_);
    }
    ngx_msec_int_t left = msec_until(connect_deadline_);
    connect_timer_.start(static_cast<ngx_msec_t>(ngx_max(left, 1)));
    if (rc == NGX_OK) {
        connected();
    }
    return true;
}

void RedisSocket::take_over(ngx_connection_t* connection) {
    connection_ = connection;
    connection->data = this;
    connection->log = ngx_cycle->log;
    connection->read->log = ngx_cycle->log;
    connection->write->log = ngx_cycle->log;
    connection->read->handler = on_read;
    connection->write->handler = on_write;
    connection->pool = ngx_create_pool(kPoolSize, ngx_cycle->log);
}

/** A name may stand for several addresses, and the server listen on one of them. */
void RedisSocket::connect_failed(int error) {
    if (tried_ < addresses_.count()) {
        close_connection();
        if (connect()) {
            return;
        }
    }
    fail(text_of(error));
}

void RedisSocket::timed_out() {
#if (NGX_SSL)
    if (connection_->ssl != nullptr) {
        fail("the TLS handshake failed");
        return;
    }
#endif
    fail("connecting timed out");
}

void RedisSocket::connected() {
#if (NGX_SSL)
    if (access_->ssl != nullptr) {
        if (ngx_ssl_create_connection(access_->ssl, connection_, NGX_SSL_CLIENT) != NGX_OK) {
            fail("TLS cannot begin");
            return;
        }
        // The bytes that wait may move as more is added.
        SSL_set_mode(connection_->ssl->connection, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        // RFC 6066, section 3: no addresses.
        for (const ngx_str_t& host : {endpoint_->stand_in, endpoint_->host}) {
            if (host.len != 0 && !is_address(host)) {
                SSL_set_tlsext_host_name(connection_->ssl->connection,
                                         reinterpret_cast<char*>(host.data));
            }
        }
        connection_->ssl->handler = on_handshake;
        if (ngx_ssl_handshake(connection_) != NGX_AGAIN) {
            on_handshake(connection_);
        }
        return;
    }
#endif
    opened();
}

void RedisSocket::on_handshake(ngx_connection_t* c) {
#if (NGX_SSL)
    RedisSocket* self = static_cast<RedisSocket*>(c->data);
    if (!c->ssl->handshaked) {
        self->fail("the TLS handshake failed");
        return;
    }
    if (const char* error = self->certificate_error()) {
        self->fail(error);
        return;
    }
    c->read->handler = on_read;
    c->write->handler = on_write;
    self->opened();
#else
    (void)c;
#endif
}

/** Returns nullptr if the server's certificate is good, or is not to be verified. */
const char* RedisSocket::certificate_error() {
#if (NGX_SSL)
    if (!access_->ssl_verify) {
        return nullptr;
    }
    if (SSL_get_verify_result(connection_->ssl->connection) != X509_V_OK) {
        return "its certificate cannot be verified";
    }
    if (!is_for_host(connection_, endpoint_->host) &&
        (endpoint_->stand_in.len == 0 || !is_for_host(connection_, endpoint_->stand_in))) {
        return "its certificate is for another host";
    }
#endif
    return nullptr;
}

void RedisSocket::opened() {
    connect_timer_.stop();
    stage_ = Stage::kOpen;
    events_->opened(owner_);
}

void RedisSocket::on_write(ngx_event_t* event) {
    RedisSocket* self = of(event);
    if (self->stage_ == Stage::kOpen) {
        self->events_->writable(self->owner_);
    } else if (int error = connect_error(self->connection_)) {
        self->connect_failed(error);
    } else {
        self->connected();
    }
}

void RedisSocket::on_read(ngx_event_t* event) {
    RedisSocket* self = of(event);
    if (self->stage_ == Stage::kOpen) {
        self->events_->readable(self->owner_);
    } else if (int error = connect_error(self->connection_)) {
        self->connect_failed(error);
    }
}

ssize_t RedisSocket::send(std::string_view bytes) {
    u_char* first = reinterpret_cast<u_char*>(const_cast<char*>(bytes.data()));
    return connection_->send(connection_, first, bytes.size());
}

void RedisSocket::close() {
    stage_ = Stage::kClosed;
    addresses_.cancel();
    close_connection();
}

void RedisSocket::close_lost(std::string_view reason, bool was_useful) {
    if (connection_ != nullptr && endpoint_->resolver != nullptr) {
        set_failure_there(reason);
    } else {
        set_failure(reason);
    }
    first_ = was_useful ? 0 : first_ + tried_;
    close();
}

void RedisSocket::close_connection() {
    connect_timer_.stop();
    ngx_connection_t* connection = connection_;
    connection_ = nullptr;
    if (connection == nullptr) {
        return;
    }
    ngx_pool_t* pool = connection->pool;
#if (NGX_SSL)
    if (connection->ssl != nullptr) {
        connection->ssl->no_wait_shutdown = 1;
        connection->ssl->no_send_shutdown = 1;
        ngx_ssl_shutdown(connection);
    }
#endif
    ngx_close_connection(connection);
    if (pool != nullptr) {
        ngx_destroy_pool(pool);
    }
}

void RedisSocket::set_failure(std::string_view reason) {
    failure_size_ = ngx_min(reason.size(), sizeof(failure_));
    std::memmove(failure_, reason.data(), failure_size_);
}

/** Adds the address: the name alone does not show which server it was. */
void RedisSocket::set_failure_there(std::string_view reason) {
    u_char address_text[NGX_SOCKADDR_STRLEN], text[sizeof(failure_)];
    ngx_addr_t address = addresses_.at(first_ + tried_ - 1);
    ngx_str_t shown = {
        ngx_sock_ntop(address.sockaddr, address.socklen, address_text, sizeof(address_text), 1),
        address_text};
    ngx_str_t why = to_ngx(reason);
    u_char* end = ngx_snprintf(text, sizeof(text), "at %V: %V", &shown, &why);
    set_failure({reinterpret_cast<char*>(text), static_cast<size_t>(end - text)});
}

}  // namespace ai_limit
