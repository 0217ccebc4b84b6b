#include "redis/network/client.h"

#include <cstdlib>

#include "core/words/shown_key.h"
#include "redis/network/router.h"
#include "redis/protocol/command.h"
#include "redis/script/script.h"

namespace ai_limit {

namespace {

constexpr ngx_msec_t kWatchInterval = 50;
constexpr ngx_msec_t kFirstBackoff = 100;
constexpr ngx_msec_t kLongestBackoff = 1000;
constexpr size_t kMaxShownReason = 256;
constexpr size_t kMostKept = 10'000;
constexpr size_t kKeptAtOnce = 500;

/** Twice as long after each failure, and not at the same moment as other nodes. */
ngx_msec_t backoff(uint32_t failures) {
    ngx_msec_t length = kFirstBackoff << ngx_min(failures, 4);
    length = ngx_min(length, kLongestBackoff);
    return length / 2 + static_cast<ngx_msec_t>(ngx_random()) % (length / 2 + 1);
}

void release(RedisCommand* command) {
    std::free(command->bytes);
    std::free(command);
}

bool forget(RedisCommand* command, const Reply*) {
    release(command);
    return true;
}

/** True if the script may have answered that, or nobody has. */
bool may_be_answer(const Reply* reply) {
    return reply == nullptr || reply->kind() == ReplyKind::kText;
}

RedisCommand* make_asking() {
    static Command words;
    words.clear();
    words.word("ASKING");
    RedisCommand* command = static_cast<RedisCommand*>(std::calloc(1, sizeof(RedisCommand)));
    if (command == nullptr) {
        return nullptr;
    }
    command->done = forget;
    command->bytes = words.format(&command->size);
    if (command->bytes == nullptr) {
        release(command);
        return nullptr;
    }
    return command;
}

}  // namespace

void RedisClient::init(const RedisAccess* access, const RedisEndpoint* endpoint,
                       std::string_view prefix, RemoteHealth* health, const char* what_then,
                       RedisRouter* router) {
    health_ = health;
    what_then_ = what_then;
    prefix_ = prefix;
    router_ = router;
    listener_.lost = on_lost;
    listener_.answered = on_answered;
    listener_.redirected = router->is_cluster() ? on_redirected : nullptr;
    listener_.client = this;
    connection_.init(access, endpoint, &listener_);
    ngx_queue_init(&kept_);
    watch_.init<&RedisClient::look>(this, ngx_cycle->log);
}

bool RedisClient::is_there() {
    uint32_t state = health_->state.load(std::memory_order_relaxed);
    if (state == RemoteHealth::kThere || state == RemoteHealth::kOnTrial) {
        return true;
    }
    watch();
    return false;
}

void RedisClient::watch() {
    watch_.start_if_idle(kWatchInterval);
}

void RedisClient::send(RedisCommand* command, bool asking) {
    if (asking) {
        RedisCommand* before = make_asking();
        if (before == nullptr || !put(before)) {
            if (before != nullptr) {
                release(before);
            }
            command->done(command, nullptr);
            return;
        }
    }
    if (!put(command)) {
        lost(connection_.failure());
        command->done(command, nullptr);
    }
}

void RedisClient::on_lost(RedisListener* listener, std::string_view reason, bool idle) {
    // Redis may close a connection that is idle for long: the next command opens another one.
    if (!idle) {
        static_cast<Listener*>(listener)->client->lost(reason);
    }
}

bool RedisClient::on_redirected(RedisListener* listener, RedisCommand* command,
                                std::string_view error) {
    RedisClient* self = static_cast<Listener*>(listener)->client;
    return self->router_->redirect(command, error, self);
}

void RedisClient::lost(std::string_view reason) {
    if (what_then_ == nullptr || !router_->may_decide(this)) {
        return;  // nothing is decided there
    }
    watch();
    // Others have noticed before, by connections of the same time; or it is looked for, and others
    // may have found it.
    if (losses_ != health_->losses.load() || probing_) {
        return;
    }
    uint32_t on_trial = RemoteHealth::kOnTrial;
    if (health_->state.compare_exchange_strong(on_trial, RemoteHealth::kAway)) {
        health_->losses.fetch_add(1);
        return;  // it was never back, and is looked for as seldom as before
    }
    uint32_t there = RemoteHealth::kThere;
    if (!health_->state.compare_exchange_strong(there, RemoteHealth::kAway)) {
        return;
    }
    health_->losses.fetch_add(1);
    health_->failures.store(0);
    health_->next_probe_at.store(msec_now() + backoff(0));
    char shown[kMaxShownReason];
    TextWriter out(shown, sizeof(shown));
    write_escaped(reason, out);
    ngx_str_t why = to_ngx(out.view());
    ngx_log_error(kHealthLevel, ngx_cycle->log, 0, "Redis %V is lost: %V; %s", &name(), &why,
                  what_then_);
}

/** Sends by a connection that is no older than the last loss: what another worker has lost may be
 * silent here for long, or be a server that is none any more. */
bool RedisClient::put(RedisCommand* command) {
    if (probing_ && command != &probe_) {
        connection_.give_up();  // another worker has found what is still looked for here
    }
    uint32_t losses = health_->losses.load();
    if (losses_ != losses && !connection_.has_commands()) {
        connection_.close();
        losses_ = losses;
    }
    return connection_.send(command);
}

void RedisClient::on_answered(RedisListener* listener) {
    RedisClient* self = static_cast<Listener*>(listener)->client;
    uint32_t on_trial = RemoteHealth::kOnTrial;
    if (self->health_->state.load(std::memory_order_relaxed) == on_trial &&
        self->health_->state.compare_exchange_strong(on_trial, RemoteHealth::kThere)) {
        ngx_log_error(kHealthLevel, ngx_cycle->log, 0, "Redis %V is back", &self->name());
    }
}

bool RedisClient::note_away() {
    uint32_t there = RemoteHealth::kThere;
    return health_->state.compare_exchange_strong(there, RemoteHealth::kAway);
}

bool RedisClient::note_replaced() {
    uint32_t away = RemoteHealth::kAway;
    return health_->state.compare_exchange_strong(away, RemoteHealth::kReplaced);
}

/** Looks for a server that is away, and delivers to one that is back. */
void RedisClient::look() {
    if (!is_there()) {
        // Gives up an answer that other workers have waited for in vain.
        if (connection_.has_commands() && losses_ != health_->losses.load()) {
            connection_.give_up();
        }
        probe();
        router_->look_elsewhere();
    }
    deliver_kept();
}

/** A key that belongs to this server; of a cluster, in a slot that it has. */
bool RedisClient::write_probe() {
    static Command command;
    command.clear();
    command.word("EVALSHA");
    command.word(limit_script_sha1());
    command.word("1");
    u_char text[NGX_INT32_LEN + 8];
    std::string_view slot;
    if (router_->is_cluster()) {
        // One in so many numbers belongs there, so it is soon found.
        for (uint32_t i = 0;; ++i) {
            u_char* end = ngx_sprintf(text, ":{%uD}", i);
            slot = {reinterpret_cast<char*>(text), static_cast<size_t>(end - text)};
            if (slot_of(slot) == slot_) {
                break;
            }
        }
    }
    command.joined_word({prefix_, slot, ":probe"});
    command.word("probe");
    probe_ = {};
    probe_.client = this;
    probe_.bytes = command.format(&probe_.size);
    probe_.done = on_probed;
    probe_.is_script = true;
    probe_.is_probe = true;
    return probe_.bytes != nullptr;
}

/** Looks whether the server is back, if that is due, in one of all workers. */
void RedisClient::probe() {
    uint64_t due = health_->next_probe_at.load();
    uint32_t failures = health_->failures.load();
    if (probing_ || msec_now() < due ||
        !health_->next_probe_at.compare_exchange_strong(due, msec_now() + backoff(failures + 1))) {
        return;
    }
    health_->failures.store(failures + 1);
    probing_ = write_probe();
    if (probing_ && !put(&probe_)) {
        on_probed(&probe_, nullptr);
    }
}

bool RedisClient::on_probed(RedisCommand* command, const Reply* reply) {
    RedisClient* self = static_cast<Probe*>(command)->client;
    std::free(command->bytes);
    self->probing_ = false;
    if (reply == nullptr || !may_be_answer(reply)) {
        return reply == nullptr;
    }
    std::atomic<uint32_t>* state = &self->health_->state;
    uint32_t away = RemoteHealth::kAway;
    if (!state->compare_exchange_strong(away, RemoteHealth::kOnTrial) &&
        away == RemoteHealth::kReplaced) {
        state->compare_exchange_strong(away, RemoteHealth::kThere);
    }
    return true;
}

void RedisClient::deliver(uint16_t slot, char* bytes, size_t size) {
    Delivery* delivery = static_cast<Delivery*>(std::calloc(1, sizeof(Delivery)));
    if (delivery == nullptr) {
        std::free(bytes);
        return;
    }
    delivery->client = this;
    delivery->slot = slot;
    delivery->bytes = bytes;
    delivery->size = size;
    delivery->is_script = true;
    delivery->is_background = true;
    delivery->done = on_delivered;
    // Deliveries that wait go first, to keep the order.
    if (kept_count_ != 0 || !is_there() || !put(delivery)) {
        keep(delivery);
    }
}

bool RedisClient::on_delivered(RedisCommand* command, const Reply* reply) {
    Delivery* delivery = static_cast<Delivery*>(command);
    bool fits = may_be_answer(reply);
    if (reply != nullptr && fits) {
        release(delivery);
    } else {
        delivery->client->keep(delivery);  // it may have arrived: what settles twice counts once
    }
    return fits;
}

void RedisClient::keep(Delivery* delivery) {
    if (kept_count_ == kMostKept) {
        release(delivery);
        return;
    }
    ++kept_count_;
    ngx_queue_insert_tail(&kept_, &delivery->link);
    watch();
}

/** A part of them, so that none has to wait for all. */
void RedisClient::deliver_kept() {
    for (size_t i = 0; i < kKeptAtOnce && kept_count_ != 0; ++i) {
        ngx_queue_t* link = ngx_queue_head(&kept_);
        Delivery* delivery = static_cast<Delivery*>(ngx_queue_data(link, RedisCommand, link));
        RedisClient* client = router_->client_for(delivery->slot);
        if (client == nullptr || !client->is_there()) {
            break;
        }
        ngx_queue_remove(link);
        --kept_count_;
        delivery->client = client;
        delivery->redirects = 0;
        client->send(delivery);
    }
    if (kept_count_ != 0) {
        watch();
    }
}

void RedisClient::close() {
    connection_.close();
    connection_.end_background();
    if (probing_) {
        std::free(probe_.bytes);
    }
    watch_.stop();
    while (!ngx_queue_empty(&kept_)) {
        ngx_queue_t* link = ngx_queue_head(&kept_);
        ngx_queue_remove(link);
        release(ngx_queue_data(link, RedisCommand, link));
    }
}

}  // namespace ai_limit
