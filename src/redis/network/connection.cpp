#include "redis/network/connection.h"

#include <cstdlib>

#include "clock.h"
#include "redis/network/greeting.h"
#include "redis/script/eval_command.h"

namespace ai_limit {

namespace {

constexpr size_t kReadSize = 16 * 1024;
constexpr size_t kReadsInTurn = 8;
// A worker sends that much, some 20 decisions, before its turn ends: Redis begins while others are
// written.
constexpr size_t kEnough = 4 * 1024;
constexpr uint8_t kMostRedirects = 5;

/** True for an answer that comes unasked, and is taken for that to the first command. */
bool is_full(const Reply& reply) {
    constexpr std::string_view kFull = "ERR max number of clients";
    return reply.text().substr(0, kFull.size()) == kFull;
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

const SocketEvents RedisConnection::kSocketEvents = {
    [](void* self) { static_cast<RedisConnection*>(self)->opened(); },
    [](void* self) { static_cast<RedisConnection*>(self)->receive(); },
    [](void* self) { static_cast<RedisConnection*>(self)->flush(); },
    [](void* self, std::string_view reason) { static_cast<RedisConnection*>(self)->lose(reason); },
};

void RedisConnection::init(const RedisAccess* access, const RedisEndpoint* endpoint,
                           RedisListener* listener) {
    access_ = access;
    listener_ = listener;
    socket_.init(access, endpoint, &kSocketEvents, this);
    ngx_queue_init(&commands_);
    flush_timer_.init<&RedisConnection::flush>(this, ngx_cycle->log);
    deadline_timer_.init<&RedisConnection::check_deadline>(this, ngx_cycle->log);
    deadline_timer_.hold_worker(true);
}

// --- opening

bool RedisConnection::open(bool for_probe) {
    useful_ = false;
    if (!reader_.restart()) {
        socket_.set_failure("no memory");
        return false;
    }
    return socket_.open(!for_probe);
}

void RedisConnection::opened() {
    // The commands that wait were not put out yet: they follow the greeting.
    ngx_queue_t waiting;
    ngx_queue_init(&waiting);
    move_commands(&commands_, &waiting);
    bool fits = add_greeting();
    for (ngx_queue_t* link = ngx_queue_head(&waiting); link != ngx_queue_sentinel(&waiting);
         link = ngx_queue_next(link)) {
        fits = fits && add_to_output(*command_of(link));
    }
    move_commands(&waiting, &commands_);
    if (!fits) {
        lose("no memory");
        return;
    }
    set_deadline();
    uint32_t generation = generation_;
    flush();
    if (generation_ == generation && socket_.has_more()) {
        receive();
    }
}

bool RedisConnection::add_greeting() {
    bool fits = make_greeting(*access_, &commands_);
    uint64_t sent_at = micros_now();
    for (ngx_queue_t* link = ngx_queue_head(&commands_); link != ngx_queue_sentinel(&commands_);
         link = ngx_queue_next(link)) {
        RedisCommand* command = command_of(link);
        command->deadline = msec_now() + access_->timeout;
        command->sent_at = sent_at;
        fits = fits && add_to_output(*command);
    }
    return fits;
}

// --- sending

bool RedisConnection::send(RedisCommand* command) {
    command->deadline = msec_now() + access_->timeout;
    if (!flush_timer_.is_posted()) {
        turn_began_ = micros_now();  // once for all commands of a turn
    }
    command->sent_at = turn_began_;
    if (socket_.is_open()) {
        if (!add_to_output(*command)) {
            socket_.set_failure("no memory");
            return false;
        }
        flush_timer_.post();
    }
    bool first = ngx_queue_empty(&commands_);
    ngx_queue_insert_tail(&commands_, &command->link);
    if (socket_.is_open()) {
        if (first) {
            set_deadline();
        }
        if (output_.size() >= kEnough) {
            output_.send_some_to(&socket_);
        }
        return true;
    }
    if (!command->is_probe) {
        socket_.hold_worker();
    }
    if (!socket_.is_closed() || open(command->is_probe)) {
        return true;
    }
    ngx_queue_remove(&command->link);
    return false;
}

void RedisConnection::flush() {
    if (output_.send_to(&socket_) == NGX_ERROR) {
        lose("the connection is broken");
    } else if (!socket_.await_room()) {
        lose("no event for it");
    }
}

/** True if a command that was sent has this script in it. */
bool RedisConnection::script_is_under_way(const char* script) {
    for (ngx_queue_t* link = ngx_queue_last(&commands_); link != ngx_queue_sentinel(&commands_);
         link = ngx_queue_prev(link)) {
        if (command_of(link)->script == script) {
            return true;
        }
    }
    return false;
}

/** Sends the command once more, behind the others: with the script, unless one of them has it. */
bool RedisConnection::send_again(RedisCommand* command) {
    const char* script = script_called_by({command->bytes, command->size}).data();
    if (script == nullptr) {
        return false;
    }
    if (!script_is_under_way(script)) {
        char* bytes = make_eval_command({command->bytes, command->size}, &command->size);
        if (bytes == nullptr) {
            return false;
        }
        std::free(command->bytes);
        command->bytes = bytes;
        command->script = script;
    }
    if (!add_to_output(*command)) {
        return false;
    }
    ngx_queue_remove(&command->link);
    ngx_queue_insert_tail(&commands_, &command->link);
    command->deadline = msec_now() + access_->timeout;
    flush_timer_.post();
    return true;
}

// --- waiting for the answers

/** Sets the timer to the deadline of the command that waits the longest. */
void RedisConnection::set_deadline() {
    if (!socket_.is_open() || ngx_queue_empty(&commands_)) {
        return;
    }
    ngx_msec_int_t left = msec_until(command_of(ngx_queue_head(&commands_))->deadline);
    deadline_timer_.start(static_cast<ngx_msec_t>(ngx_max(left, 1)));
}

void RedisConnection::check_deadline() {
    if (!has_commands()) {
        return;
    }
    if (msec_until(command_of(ngx_queue_head(&commands_))->deadline) <= 0) {
        lose("a command timed out");
    } else {
        set_deadline();
    }
}

void RedisConnection::receive() {
    static u_char buffer[kReadSize];
    uint32_t generation = generation_;
    size_t reads = 0;
    do {
        if (++reads > kReadsInTurn) {
            // Others have their turn.
            socket_.receive_later();
            return;
        }
        ssize_t n = socket_.receive(buffer, sizeof(buffer));
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
        // The end of a command may have led to closing the connection, or to another one.
        if (generation_ != generation) {
            return;
        }
    } while (socket_.has_more());
    if (!socket_.await_bytes()) {
        lose("no event for it");
    }
}

void RedisConnection::take_replies() {
    uint32_t generation = generation_;
    while (const Reply* reply = reader_.next()) {
        answer(*reply);
        if (generation_ != generation) {
            return;
        }
    }
    if (reader_.failed()) {
        lose("its answer makes no sense");
    }
}

void RedisConnection::answer(const Reply& reply) {
    if (ngx_queue_empty(&commands_)) {
        lose(reply.kind() == ReplyKind::kError ? reply.text() : "an answer that nobody waits for");
        return;
    }
    RedisCommand* command = command_of(ngx_queue_head(&commands_));
    if (reply.is_error("NOSCRIPT") && command->is_script && command->script == nullptr) {
        if (!send_again(command)) {
            lose("a script cannot be sent");
        }
        return;
    }
    if (reply.kind() == ReplyKind::kNone) {
        lose("its answer makes no sense");
        return;
    }
    if (must_close_for(reply, *command)) {
        refused_ = true;
        lose(command->is_secret ? code_of(reply.text()) : reply.text());
        return;
    }
    count(reply, *command);
    useful_ |= !command->is_greeting && !(command->is_probe && command->is_script);
    ngx_queue_remove(&command->link);
    if (ngx_queue_empty(&commands_)) {
        deadline_timer_.stop();
    }
    conclude(command, reply);
}

/** True for an error that the next commands would get as well. An unauthenticated client first gets
 * NOAUTH, then less specific errors: close the connection on the first. */
bool RedisConnection::must_close_for(const Reply& reply, const RedisCommand& command) const {
    return reply.kind() == ReplyKind::kError && !is_for_another_server(reply) &&
           (!command.may_fail || reply.is_error("NOAUTH") || is_full(reply));
}

/** True if a node of a cluster answers that another one has the slot, or may soon have it. */
bool RedisConnection::is_for_another_server(const Reply& reply) const {
    return listener_->redirected != nullptr &&
           (reply.is_error("MOVED") || reply.is_error("ASK") || reply.is_error("TRYAGAIN"));
}

/** Hands the reply to a command that is in the queue no more, or the command to another server. */
void RedisConnection::conclude(RedisCommand* command, const Reply& reply) {
    bool is_elsewhere = is_for_another_server(reply);
    if (is_elsewhere && !reply.is_error("TRYAGAIN") && command->redirects++ < kMostRedirects &&
        listener_->redirected(listener_, command, reply.text())) {
        return;
    }
    bool proves = command->is_script && !command->is_probe && !is_elsewhere;
    uint32_t generation = generation_;
    if (!command->done(command, is_elsewhere ? nullptr : &reply)) {
        if (generation_ == generation) {
            lose("its answer makes no sense", true);
        }
    } else if (proves) {
        listener_->answered(listener_);
    }
}

void RedisConnection::count(const Reply& reply, const RedisCommand& command) {
    count_answer(access_->traffic, reply.kind() == ReplyKind::kError,
                 last_read_at_ > command.sent_at ? last_read_at_ - command.sent_at : 0);
}

// --- the end

void RedisConnection::close() {
    flush_timer_.stop();
    deadline_timer_.stop();
    output_.clear();
    ++generation_;
    socket_.close();
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

void RedisConnection::lose(std::string_view reason, bool awaited) {
    socket_.close_lost(reason, useful_);
    close();
    ngx_queue_t lost;
    ngx_queue_init(&lost);
    move_commands(&commands_, &lost);
    // The listener must know that Redis is away before the commands end, which may want to send
    // something.
    listener_->lost(listener_, failure(), !awaited && ngx_queue_empty(&lost));
    end_without_reply(&lost);
}

void RedisConnection::end_without_reply(ngx_queue_t* commands) {
    while (!ngx_queue_empty(commands)) {
        ngx_queue_t* link = ngx_queue_head(commands);
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
