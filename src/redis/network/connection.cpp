#include "redis/network/connection.h"

#include <cstdlib>
#include <cstring>

#include "clock.h"
#include "redis/protocol/command.h"
#include "redis/script/script.h"

namespace ai_limit {

namespace {

constexpr size_t kReadSize = 16 * 1024;
constexpr size_t kPoolSize = 512;
constexpr size_t kReadsInTurn = 8;
// A worker sends that much, some 20 decisions, before its turn ends: Redis begins while others are
// written.
constexpr size_t kEnough = 4 * 1024;
constexpr size_t kShaDigits = 40;
constexpr uint8_t kMostRedirects = 5;

RedisCommand* command_of(ngx_queue_t* link) {
    return ngx_queue_data(link, RedisCommand, link);
}

/** Ends a greeting, for whose answer nobody waits. */
bool forget(RedisCommand* command, const Reply*) {
    std::free(command->bytes);
    std::free(command);
    return true;
}

/** An answer that comes unasked, and is taken for that to the first command. */
bool is_full(const Reply& reply) {
    constexpr std::string_view kFull = "ERR max number of clients";
    return reply.text().substr(0, kFull.size()) == kFull;
}

/** The error that connecting ended with; 0 for none. */
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

/** An error number as text, in memory that the next call uses again. */
std::string_view text_of(int error) {
    static u_char text[128];
    return {reinterpret_cast<char*>(text),
            static_cast<size_t>(ngx_strerror(error, text, sizeof(text)) - text)};
}

/**
 * Returns the code of an error that answers to a password, without the text, which may quote it.
 */
std::string_view code_of(std::string_view error) {
    static u_char text[64];
    ngx_str_t code = to_ngx(error.substr(0, ngx_min(error.find(' '), size_t{32})));
    u_char* end = ngx_snprintf(text, sizeof(text), "AUTH is answered with %V", &code);
    return {reinterpret_cast<char*>(text), static_cast<size_t>(end - text)};
}

}  // namespace

bool RedisConnection::open(bool for_probe) {
    ngx_msec_t timeout = access_->connect_timeout;
    connect_deadline_ = msec_now() + timeout;
    tried_ = 0;
    useful_ = false;
    if (!reader_.restart()) {
        set_failure("no memory");
        return false;
    }
    // If an address is known, time is left to try it.
    ngx_msec_t patience = addresses_.count() != 0 ? timeout / 2 + 1 : timeout;
    if (!addresses_.ask(patience, !for_probe)) {
        stage_ = Stage::kResolving;
        return true;
    }
    return connect();
}

void RedisConnection::on_addresses(void* data) {
    RedisConnection* self = static_cast<RedisConnection*>(data);
    if (!self->connect()) {
        self->lose(self->failure());
    }
}

/** Begins to connect to the first of the addresses that are left with which that is possible. */
bool RedisConnection::connect() {
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
        if (start(addresses_.at(first_ + tried_++))) {
            return true;
        }
    }
    return false;
}

/** Once, until its name is resolved again. */
void RedisConnection::log_stale_addresses() {
    bool stale = addresses_.error() != nullptr;
    if (stale && !stale_logged_) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "Redis %V is looked for where it was, since its name cannot be resolved (%s)",
                      &endpoint_->name, addresses_.error());
    }
    stale_logged_ = stale;
}

bool RedisConnection::start(const ngx_addr_t& address) {
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
    connection_ = peer.connection;
    connection_->data = this;
    connection_->log = ngx_cycle->log;
    connection_->read->log = ngx_cycle->log;
    connection_->write->log = ngx_cycle->log;
    connection_->read->handler = on_read;
    connection_->write->handler = on_write;
    connection_->pool = ngx_create_pool(kPoolSize, ngx_cycle->log);
    if (connection_->pool == nullptr) {
        close_socket();
        return false;
    }
    stage_ = Stage::kConnecting;
    if (address.sockaddr->sa_family != AF_UNIX) {
        ngx_tcp_nodelay(connection_);
    }
    ngx_msec_int_t left = msec_until(connect_deadline_);
    ngx_add_timer(connection_->write, static_cast<ngx_msec_t>(ngx_max(left, 1)));
    if (rc == NGX_OK) {
        connected();
    }
    return true;
}

/** A name may stand for several addresses, and the server listen on one of them. */
void RedisConnection::connect_failed(int error) {
    if (tried_ < addresses_.count()) {
        close_socket();
        if (connect()) {
            return;
        }
    }
    lose(text_of(error));
}

void RedisConnection::connected() {
#if (NGX_SSL)
    if (access_->ssl != nullptr) {
        if (ngx_ssl_create_connection(access_->ssl, connection_, NGX_SSL_CLIENT) != NGX_OK) {
            lose("TLS cannot begin");
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

void RedisConnection::on_handshake(ngx_connection_t* c) {
#if (NGX_SSL)
    RedisConnection* self = static_cast<RedisConnection*>(c->data);
    if (!c->ssl->handshaked) {
        self->lose("the TLS handshake failed");
        return;
    }
    if (self->access_->ssl_verify) {
        if (SSL_get_verify_result(c->ssl->connection) != X509_V_OK) {
            self->lose("its certificate cannot be verified");
            return;
        }
        const RedisEndpoint& endpoint = *self->endpoint_;
        if (!is_for_host(c, endpoint.host) &&
            (endpoint.stand_in.len == 0 || !is_for_host(c, endpoint.stand_in))) {
            self->lose("its certificate is for another host");
            return;
        }
    }
    c->read->handler = on_read;
    c->write->handler = on_write;
    self->opened();
#else
    (void)c;
#endif
}

void RedisConnection::opened() {
    ngx_del_timer(connection_->write);
    stage_ = Stage::kOpen;
    // The commands that wait were not put out yet: they follow the greeting.
    ngx_queue_t waiting;
    ngx_queue_init(&waiting);
    if (!ngx_queue_empty(&commands_)) {
        ngx_queue_add(&waiting, &commands_);
        ngx_queue_init(&commands_);
    }
    bool fits = greet();
    for (ngx_queue_t* link = ngx_queue_head(&waiting); link != ngx_queue_sentinel(&waiting);
         link = ngx_queue_next(link)) {
        fits = fits && enqueue(*command_of(link));
    }
    if (!ngx_queue_empty(&waiting)) {
        ngx_queue_add(&commands_, &waiting);
    }
    if (!fits) {
        lose("no memory");
        return;
    }
    set_deadline();
    ngx_connection_t* connection = connection_;
    flush();
    if (connection_ == connection && connection->read->ready) {
        receive();
    }
}

bool RedisConnection::greet() {
    bool fits = true;
    if (access_->user.len != 0) {
        fits = queue_greeting({"AUTH", view(access_->user), view(access_->password)}, false);
    } else if (access_->password.len != 0) {
        fits = queue_greeting({"AUTH", view(access_->password)}, false);
    }
    if (access_->database != 0) {
        u_char digits[NGX_INT64_LEN];
        u_char* end = ngx_sprintf(digits, "%i", access_->database);
        fits = fits &&
               queue_greeting(
                   {"SELECT", {reinterpret_cast<char*>(digits), static_cast<size_t>(end - digits)}},
                   false);
    }
    // A user may not be allowed to load scripts: a missing script then comes with its first
    // command.
    return fits && queue_greeting({"SCRIPT", "LOAD", limit_script()}, true);
}

bool RedisConnection::queue_greeting(std::initializer_list<std::string_view> words, bool may_fail) {
    static Command command;
    command.clear();
    for (std::string_view word : words) {
        command.word(word);
    }
    RedisCommand* made = static_cast<RedisCommand*>(std::calloc(1, sizeof(RedisCommand)));
    if (made == nullptr) {
        return false;
    }
    made->bytes = command.format(&made->size);
    if (made->bytes == nullptr || !enqueue(*made)) {
        forget(made, nullptr);
        return false;
    }
    made->done = forget;
    made->may_fail = may_fail;
    made->is_background = true;
    made->is_secret = *words.begin() == "AUTH";
    made->deadline = msec_now() + access_->timeout;
    ngx_queue_insert_tail(&commands_, &made->link);
    return true;
}

bool RedisConnection::send(RedisCommand* command) {
    command->deadline = msec_now() + access_->timeout;
    if (!flush_event_.posted) {
        turn_began_ = micros_now();  // once for all commands of a turn
    }
    command->sent_at = turn_began_;
    if (stage_ == Stage::kOpen) {
        if (!enqueue(*command)) {
            set_failure("no memory");
            return false;
        }
        post_flush();
    }
    bool first = ngx_queue_empty(&commands_);
    ngx_queue_insert_tail(&commands_, &command->link);
    if (stage_ == Stage::kOpen) {
        if (first) {
            set_deadline();
        }
        if (output_.size - output_.sent >= kEnough) {
            send_early();
        }
        return true;
    }
    if (stage_ == Stage::kResolving && !command->is_probe) {
        addresses_.hold_worker();
    }
    if (stage_ != Stage::kClosed || open(command->is_probe)) {
        return true;
    }
    ngx_queue_remove(&command->link);
    return false;
}

bool RedisConnection::enqueue(const RedisCommand& command) {
    Output* out = &output_;
    if (out->sent == out->size) {
        out->sent = out->size = 0;
    }
    if (out->sent > out->size / 2) {
        std::memmove(out->bytes, out->bytes + out->sent, out->size - out->sent);
        out->size -= out->sent;
        out->sent = 0;
    }
    if (command.size > out->capacity - out->size) {
        size_t capacity = ngx_max(2 * out->capacity, out->size + command.size);
        void* bytes = std::realloc(out->bytes, capacity);
        if (bytes == nullptr) {
            return false;
        }
        out->bytes = static_cast<char*>(bytes);
        out->capacity = capacity;
    }
    std::memcpy(out->bytes + out->size, command.bytes, command.size);
    out->size += command.size;
    return true;
}

/** Ignores an error, which occurs once more when the turn ends. */
void RedisConnection::send_early() {
    Output* out = &output_;
    ssize_t n = connection_->send(connection_, reinterpret_cast<u_char*>(out->bytes + out->sent),
                                  out->size - out->sent);
    if (n > 0) {
        out->sent += static_cast<size_t>(n);
    }
}

void RedisConnection::post_flush() {
    flush_event_.handler = on_flush;
    flush_event_.data = connection_;
    flush_event_.log = ngx_cycle->log;
    ngx_post_event(&flush_event_, &ngx_posted_events);
}

void RedisConnection::on_flush(ngx_event_t* event) {
    of(event)->flush();
}

void RedisConnection::flush() {
    Output* out = &output_;
    while (out->sent < out->size) {
        ssize_t n = connection_->send(
            connection_, reinterpret_cast<u_char*>(out->bytes + out->sent), out->size - out->sent);
        if (n == NGX_ERROR) {
            lose("the connection is broken");
            return;
        }
        if (n == NGX_AGAIN) {
            break;
        }
        out->sent += static_cast<size_t>(n);
    }
    if (ngx_handle_write_event(connection_->write, 0) != NGX_OK) {
        lose("no event for it");
    }
}

void RedisConnection::on_write(ngx_event_t* event) {
    RedisConnection* self = of(event);
    if (event->timedout) {
        event->timedout = 0;
        self->lose("connecting timed out");
        return;
    }
    if (self->stage_ == Stage::kConnecting) {
        if (int error = connect_error(self->connection_)) {
            self->connect_failed(error);
            return;
        }
        self->connected();
        return;
    }
    self->flush();
}

void RedisConnection::on_read(ngx_event_t* event) {
    RedisConnection* self = of(event);
    if (event->timedout) {
        event->timedout = 0;
        if (self->has_commands()) {
            ngx_msec_t deadline = command_of(ngx_queue_head(&self->commands_))->deadline;
            if (msec_until(deadline) <= 0) {
                self->lose("a command timed out");
            } else {
                self->set_deadline();
            }
        }
        return;
    }
    if (self->stage_ == Stage::kConnecting) {
        if (int error = connect_error(self->connection_)) {
            self->connect_failed(error);
        }
        return;
    }
    self->receive();
}

void RedisConnection::receive() {
    static u_char buffer[kReadSize];
    size_t reads = 0;
    do {
        if (++reads > kReadsInTurn) {
            // Others have their turn.
            ngx_post_event(connection_->read, &ngx_posted_next_events);
            return;
        }
        ssize_t n = connection_->recv(connection_, buffer, sizeof(buffer));
        if (n == NGX_AGAIN) {
            break;
        }
        if (n == 0 || n == NGX_ERROR) {
            lose("it closed the connection");
            return;
        }
        last_read_at_ = micros_now();
        if (!reader_.feed({reinterpret_cast<char*>(buffer), static_cast<size_t>(n)})) {
            lose("its answer makes no sense");
            return;
        }
        take_replies();
    } while (connection_ != nullptr && connection_->read->ready);
    if (connection_ != nullptr && ngx_handle_read_event(connection_->read, 0) != NGX_OK) {
        lose("no event for it");
    }
}

void RedisConnection::take_replies() {
    uint32_t generation = generation_;
    while (const Reply* reply = reader_.next()) {
        answer(*reply);
        // The end of a command may have led to closing the connection.
        if (generation_ != generation) {
            return;
        }
    }
    if (reader_.failed()) {
        lose("its answer makes no sense");
    }
}

void RedisConnection::count(const Reply& reply, const RedisCommand& command) {
    count_answer(access_->traffic, reply.kind() == ReplyKind::kError,
                 last_read_at_ > command.sent_at ? last_read_at_ - command.sent_at : 0);
}

void RedisConnection::answer(const Reply& reply) {
    if (ngx_queue_empty(&commands_)) {
        lose(reply.kind() == ReplyKind::kError ? reply.text() : "an answer that nobody waits for");
        return;
    }
    RedisCommand* command = command_of(ngx_queue_head(&commands_));
    if (reply.is_error("NOSCRIPT") && command->is_script && !command->script_sent) {
        if (!send_again(command)) {
            lose("no memory");
        }
        return;
    }
    bool others = listener_->redirected != nullptr;
    bool redirected = others && (reply.is_error("MOVED") || reply.is_error("ASK"));
    bool for_this_one = redirected || (others && reply.is_error("TRYAGAIN"));
    if (reply.kind() == ReplyKind::kNone) {
        lose("its answer makes no sense");
        return;
    }
    // An unauthenticated client first gets NOAUTH, then less specific errors: close the connection
    // on the first.
    if (reply.kind() == ReplyKind::kError && !for_this_one &&
        (!command->may_fail || reply.is_error("NOAUTH") || is_full(reply))) {
        refused_ = true;
        lose(command->is_secret ? code_of(reply.text()) : reply.text());
        return;
    }
    count(reply, *command);
    useful_ |= command->done != forget && !(command->is_probe && command->is_script);
    ngx_queue_remove(&command->link);
    if (ngx_queue_empty(&commands_) && connection_->read->timer_set) {
        ngx_del_timer(connection_->read);
    }
    if (redirected && command->redirects++ < kMostRedirects &&
        listener_->redirected(listener_, command, reply.text())) {
        return;
    }
    bool proves = command->is_script && !command->is_probe && !for_this_one;
    uint32_t generation = generation_;
    if (!command->done(command, for_this_one ? nullptr : &reply)) {
        if (generation_ == generation) {
            lose("its answer makes no sense", true);
        }
    } else if (proves) {
        listener_->answered(listener_);
    }
}

/** True if a command that was sent has the script in it. */
bool RedisConnection::script_is_under_way() {
    for (ngx_queue_t* link = ngx_queue_last(&commands_); link != ngx_queue_sentinel(&commands_);
         link = ngx_queue_prev(link)) {
        if (command_of(link)->script_sent) {
            return true;
        }
    }
    return false;
}

/** Sends the command once more, behind the others: with the script, unless one of them has it. */
bool RedisConnection::send_again(RedisCommand* command) {
    if (!script_is_under_way() && !add_script(command)) {
        return false;
    }
    if (!enqueue(*command)) {
        return false;
    }
    ngx_queue_remove(&command->link);
    ngx_queue_insert_tail(&commands_, &command->link);
    command->deadline = msec_now() + access_->timeout;
    post_flush();
    return true;
}

/** Makes an EVAL of an EVALSHA. */
bool RedisConnection::add_script(RedisCommand* command) {
    const char* sha = static_cast<const char*>(
        memmem(command->bytes, command->size, limit_script_sha1().data(), kShaDigits));
    std::string_view script = limit_script();
    if (sha == nullptr) {
        return false;
    }
    const char* rest = sha + kShaDigits;
    size_t rest_size = static_cast<size_t>(command->bytes + command->size - rest);
    size_t head_size = static_cast<size_t>(sha - command->bytes);
    char* bytes = static_cast<char*>(std::malloc(head_size + script.size() + rest_size + 32));
    if (bytes == nullptr) {
        return false;
    }
    // "*N", then the lengths of the two words are other ones.
    const char* count_end = static_cast<const char*>(std::memchr(command->bytes, '\n', head_size));
    char* at = std::copy(const_cast<const char*>(command->bytes), count_end + 1, bytes);
    at = reinterpret_cast<char*>(ngx_sprintf(reinterpret_cast<u_char*>(at),
                                             "$4" CRLF "EVAL" CRLF "$%uz" CRLF, script.size()));
    at = std::copy(script.begin(), script.end(), at);
    at = std::copy(rest, rest + rest_size, at);
    std::free(command->bytes);
    command->bytes = bytes;
    command->size = static_cast<size_t>(at - bytes);
    command->script_sent = true;
    return true;
}

/** Sets the timer to the deadline of the command that waits the longest. */
void RedisConnection::set_deadline() {
    if (stage_ != Stage::kOpen || ngx_queue_empty(&commands_)) {
        return;
    }
    ngx_msec_t deadline = command_of(ngx_queue_head(&commands_))->deadline;
    ngx_msec_int_t left = msec_until(deadline);
    ngx_add_timer(connection_->read, static_cast<ngx_msec_t>(ngx_max(left, 1)));
}

void RedisConnection::close() {
    if (flush_event_.posted) {
        ngx_delete_posted_event(&flush_event_);
    }
    output_.sent = output_.size = 0;
    stage_ = Stage::kClosed;
    ++generation_;
    addresses_.cancel();
    close_socket();
}

void RedisConnection::close_socket() {
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

void RedisConnection::end_background() {
    ngx_queue_t* next;
    for (ngx_queue_t* link = ngx_queue_head(&commands_); link != ngx_queue_sentinel(&commands_);
         link = next) {
        next = ngx_queue_next(link);
        RedisCommand* command = command_of(link);
        if (command->is_background) {
            ngx_queue_remove(link);
            command->done(command, nullptr);
        }
    }
}

void RedisConnection::set_failure(std::string_view reason) {
    failure_size_ = ngx_min(reason.size(), sizeof(failure_));
    std::memmove(failure_, reason.data(), failure_size_);
}

/** Adds the address: the name alone does not show which server it was. */
void RedisConnection::set_failure_there(std::string_view reason) {
    u_char address_text[NGX_SOCKADDR_STRLEN], text[sizeof(failure_)];
    ngx_addr_t address = addresses_.at(first_ + tried_ - 1);
    ngx_str_t shown = {
        ngx_sock_ntop(address.sockaddr, address.socklen, address_text, sizeof(address_text), 1),
        address_text};
    ngx_str_t why = to_ngx(reason);
    u_char* end = ngx_snprintf(text, sizeof(text), "at %V: %V", &shown, &why);
    set_failure({reinterpret_cast<char*>(text), static_cast<size_t>(end - text)});
}

/** After a connection of no use, the next one is to another of the server's addresses. */
void RedisConnection::lose(std::string_view reason, bool awaited) {
    if (connection_ != nullptr && endpoint_->resolver != nullptr) {
        set_failure_there(reason);
    } else {
        set_failure(reason);
    }
    first_ = useful_ ? 0 : first_ + tried_;
    close();
    ngx_queue_t lost;
    ngx_queue_init(&lost);
    if (!ngx_queue_empty(&commands_)) {
        ngx_queue_add(&lost, &commands_);
        ngx_queue_init(&commands_);
    }
    // The listener must know that Redis is away before the commands end, which may want to send
    // something.
    listener_->lost(listener_, failure(), !awaited && ngx_queue_empty(&lost));
    while (!ngx_queue_empty(&lost)) {
        ngx_queue_t* link = ngx_queue_head(&lost);
        ngx_queue_remove(link);
        RedisCommand* command = command_of(link);
        std::atomic<uint64_t>* count =
            refused_ ? &access_->traffic->refused : &access_->traffic->lost;
        count->fetch_add(1, std::memory_order_relaxed);
        refused_ = false;  // the others are
        command->done(command, nullptr);
    }
    refused_ = false;
}

}  // namespace ai_limit
