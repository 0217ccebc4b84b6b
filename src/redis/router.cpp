#include "redis/router.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "core/table.h"
#include "redis/command.h"
#include "redis/topology.h"

namespace ai_limit {

namespace {

constexpr ngx_msec_t kAskInterval = 250;

/** Splits "host:port"; the host of IPv6 has colons itself. */
bool split_address(std::string_view text, std::string_view* host, std::string_view* port) {
    size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return false;
    }
    *host = text.substr(0, colon);
    *port = text.substr(colon + 1);
    if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
        *host = host->substr(1, host->size() - 2);
    }
    return true;
}

bool read_port(std::string_view text, in_port_t* port) {
    std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), *port);
    return result.ec == std::errc() && result.ptr == text.data() + text.size() && *port != 0;
}

/** Tells apart servers, and ways to be let in by one: what an old configuration is refused for says
 * nothing of a new one. */
uint64_t hash_server(const Zone& zone, const ngx_addr_t& address, const RedisAccess& access) {
    uint64_t hash = hash_key(zone, view(address.name));
    for (std::string_view text : {view(access.user), view(access.password), view(access.host)}) {
        hash = hash * 0x9E3779B97F4A7C15 ^ hash_key(zone, text);
    }
    hash ^= static_cast<uint64_t>(access.database) << 2 ^ (access.ssl != nullptr ? 2 : 0) ^
            (access.ssl_verify ? 1 : 0);
    return hash != 0 ? hash : 1;
}

/** Where the node's workers tell each other whether that server is there. When all places are
 * taken, servers share one. */
RemoteHealth* place_of(const Zone& zone, uint64_t hash) {
    RemoteHealth* places = zone.header()->remotes;
    for (size_t i = 0; i < kMaxRemotes; ++i) {
        RemoteHealth* place = &places[(hash + i) % kMaxRemotes];
        uint64_t present = 0;
        if (place->server.compare_exchange_strong(present, hash) || present == hash) {
            return place;
        }
    }
    return &places[hash % kMaxRemotes];
}

}  // namespace

void RedisRouter::init(const RedisAccess* access, const RedisServers* servers, const Zone& zone,
                       const char* what_then) {
    access_ = access;
    servers_ = servers;
    zone_ = zone;
    what_then_ = what_then;
    // A sentinel has a password of its own, or none.
    sentinel_access_ = *access;
    sentinel_access_.user = sentinel_access_.password = {0, nullptr};
    sentinel_access_.database = 0;
    static ngx_connection_t no_connection;  // nginx's debug log asks an event for its connection
    no_connection.fd = static_cast<ngx_socket_t>(-1);
    retry_.router = this;
    retry_.event.handler = on_retry;
    retry_.event.data = &no_connection;
    retry_.event.log = ngx_cycle->log;
    retry_.event.cancelable = 1;
    bool sentinels = servers->sentinel_name.len != 0;
    for (ngx_uint_t i = 0; i < servers->count; ++i) {
        add_node(&servers->addresses[i], sentinels ? &sentinel_access_ : access);
    }
    if (sentinels || servers->cluster) {
        look_elsewhere();
    }
}

RedisRouter::Node* RedisRouter::add_node(const ngx_addr_t* address, const RedisAccess* access) {
    if (node_count_ == kMaxNodes) {
        return nullptr;
    }
    Node* node = static_cast<Node*>(std::calloc(1, sizeof(Node)));
    if (node == nullptr) {
        return nullptr;
    }
    const char* what_then = access == access_ ? what_then_ : nullptr;
    std::memcpy(&node->socket_address, address->sockaddr, address->socklen);
    size_t size = ngx_min(address->name.len, sizeof(node->name));
    std::memcpy(node->name, address->name.data, size);
    node->address.sockaddr = &node->socket_address.sockaddr;
    node->address.socklen = address->socklen;
    node->address.name = {size, node->name};
    node->client.init(access, &node->address, view(servers_->prefix),
                      place_of(zone_, hash_server(zone_, node->address, *access)), what_then, this);
    nodes_[node_count_++] = node;
    return node;
}

/** The node of that address, which is made where it is new. */
RedisRouter::Node* RedisRouter::find_node(std::string_view host, std::string_view port) {
    in_port_t number = 0;
    ngx_pool_t* pool = ngx_create_pool(512, ngx_cycle->log);
    if (pool == nullptr || !read_port(port, &number)) {
        if (pool != nullptr) {
            ngx_destroy_pool(pool);
        }
        return nullptr;
    }
    ngx_addr_t address{};
    Node* found = nullptr;
    ngx_str_t text = to_ngx(host);
    if (ngx_parse_addr(pool, &address, text.data, text.len) == NGX_OK) {
        ngx_inet_set_port(address.sockaddr, number);
        u_char name[NGX_SOCKADDR_STRLEN];
        address.name = {ngx_sock_ntop(address.sockaddr, address.socklen, name, sizeof(name), 1),
                        name};
        for (size_t i = 0; i < node_count_ && found == nullptr; ++i) {
            if (ngx_cmp_sockaddr(nodes_[i]->address.sockaddr, nodes_[i]->address.socklen,
                                 address.sockaddr, address.socklen, 1) == NGX_OK) {
                found = nodes_[i];
            }
        }
        found = found != nullptr ? found : add_node(&address, access_);
    }
    ngx_destroy_pool(pool);
    return found;
}

RedisClient* RedisRouter::client_for(uint16_t slot) {
    if (servers_->sentinel_name.len != 0) {
        if (master_ == nullptr) {
            look_elsewhere();
            return nullptr;
        }
        return &master_->client;
    }
    if (node_count_ == 0) {
        return nullptr;
    }
    // A name may stand for several addresses, and the server listen on one of them.
    for (size_t i = 0; i < node_count_ && !servers_->cluster; ++i) {
        if (nodes_[i]->client.is_there()) {
            return &nodes_[i]->client;
        }
    }
    return &nodes_[slots_[slot]]->client;
}

bool RedisRouter::are_all_there() {
    if (!is_cluster()) {
        RedisClient* client = client_for(0);
        return client != nullptr && client->is_there();
    }
    for (size_t i = 0; i < node_count_; ++i) {
        RedisClient* client = &nodes_[i]->client;
        if (!client->is_replaced() && !client->is_there()) {
            return false;
        }
    }
    return true;
}

void RedisRouter::deliver(uint16_t slot, char* bytes, size_t size) {
    RedisClient* client = client_for(slot);
    if (client != nullptr) {
        client->deliver(slot, bytes, size);
    } else {
        std::free(bytes);
    }
}

void RedisRouter::close() {
    if (retry_.event.timer_set) {
        ngx_del_timer(&retry_.event);
    }
    for (size_t i = 0; i < node_count_; ++i) {
        nodes_[i]->client.close();
    }
    for (size_t i = 0; i < node_count_; ++i) {
        nodes_[i]->client.~RedisClient();
        std::free(nodes_[i]);
    }
    node_count_ = 0;
    master_ = nullptr;
}

void RedisRouter::look_elsewhere() {
    bool sentinels = servers_->sentinel_name.len != 0;
    if (asking_ || (!sentinels && !servers_->cluster) ||
        static_cast<ngx_msec_int_t>(ask_at_ - ngx_current_msec) > 0 || node_count_ == 0) {
        return;
    }
    ask_at_ = ngx_current_msec + kAskInterval;
    // Whoever may know: of a cluster, also those that the configuration does not name.
    size_t many = sentinels ? ngx_min(servers_->count, node_count_) : node_count_;
    Node* node = nodes_[asked_++ % many];
    if (sentinels) {
        ask(node, on_master,
            {"SENTINEL", "get-master-addr-by-name", view(servers_->sentinel_name)});
    } else {
        ask(node, on_nodes, {"CLUSTER", "NODES"});
    }
}

void RedisRouter::ask(Node* node, bool (*done)(RedisCommand*, const Reply*),
                      std::initializer_list<std::string_view> words) {
    static Command command;
    command.clear();
    for (std::string_view word : words) {
        command.word(word);
    }
    question_ = {};
    question_.router = this;
    question_.node = node;
    question_.done = done;
    question_.bytes = command.format(&question_.size);
    if (question_.bytes != nullptr) {
        asking_ = true;
        node->client.send(&question_);
    }
}

bool RedisRouter::on_nodes(RedisCommand* command, const Reply* reply) {
    Question* question = static_cast<Question*>(command);
    std::free(command->bytes);
    question->router->asking_ = false;
    if (reply != nullptr && reply->kind() == ReplyKind::kText) {
        question->router->take_nodes(reply->text(), question->node);
    }
    return true;
}

void RedisRouter::take_nodes(std::string_view text, Node* said_by) {
    SlotRanges ranges(text);
    SlotRange range;
    bool known = knows_slots_;
    while (ranges.next(&range)) {
        std::string_view host, port;
        Node* node = split_address(range.address, &host, &port) ? find_node(host, port) : nullptr;
        // A node that nobody has met yet does not know where it is.
        node = node == nullptr && host.empty() ? said_by : node;
        for (size_t i = 0; node != nullptr && i < node_count_; ++i) {
            if (nodes_[i] == node) {
                give_slots(i, range.first, range.last);
                known = true;
            }
        }
    }
    knows_slots_ = known;
}

void RedisRouter::give_slots(size_t node, uint16_t first, uint16_t last) {
    RedisClient* client = &nodes_[node]->client;
    client->set_slot(first);
    for (uint32_t slot = first; slot <= last; ++slot) {
        RedisClient* before = &nodes_[slots_[slot]]->client;
        if (before != client && knows_slots_) {
            tell_replaced(before, client->name());
        }
        slots_[slot] = static_cast<uint8_t>(node);
    }
}

/** Where that one is away, others decide in its place. */
void RedisRouter::tell_replaced(RedisClient* client, const ngx_str_t& by) {
    if (client->note_replaced()) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "Redis is back: %V stands in for %V", &by,
                      &client->name());
    }
}

void RedisRouter::on_retry(ngx_event_t* event) {
    reinterpret_cast<Retry*>(event)->router->look_elsewhere();
}

bool RedisRouter::on_master(RedisCommand* command, const Reply* reply) {
    RedisRouter* self = static_cast<Question*>(command)->router;
    std::free(command->bytes);
    self->asking_ = false;
    if (reply != nullptr && reply->kind() == ReplyKind::kArray) {
        self->take_master(reply->text());
    }
    if (self->master_ == nullptr && !self->retry_.event.timer_set) {
        ngx_add_timer(&self->retry_.event, kAskInterval);
        self->tell_no_master();
    }
    return true;
}

/** One warning of all workers, once all sentinels have been asked. */
void RedisRouter::tell_no_master() {
    if (asked_ >= servers_->count && nodes_[0]->client.note_away()) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "no sentinel names a master \"%V\", the first of them being %V; %s",
                      &servers_->sentinel_name, &nodes_[0]->client.name(), what_then_);
    }
}

/** `text`: an address and a port, a line each. */
void RedisRouter::take_master(std::string_view text) {
    size_t end = text.find('\n');
    if (end == std::string_view::npos) {
        return;
    }
    std::string_view port = text.substr(end + 1);
    Node* node = find_node(text.substr(0, end), port.substr(0, port.find('\n')));
    if (node == nullptr || node == master_) {
        return;
    }
    if (master_ != nullptr) {
        tell_replaced(&master_->client, node->client.name());
    } else if (nodes_[0]->client.note_replaced()) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "Redis is back: %V is the master",
                      &node->client.name());
    }
    master_ = node;
}

bool RedisRouter::redirect(RedisCommand* command, std::string_view error) {
    // "MOVED 3999 127.0.0.1:6381" or "ASK 3999 127.0.0.1:6381"
    size_t first = error.find(' ');
    size_t second = first == std::string_view::npos ? first : error.find(' ', first + 1);
    if (second == std::string_view::npos || !servers_->cluster) {
        return false;
    }
    bool asking = error.substr(0, first) == "ASK";
    if (!asking) {
        look_elsewhere();
    }
    std::string_view host, port;
    Node* node =
        split_address(error.substr(second + 1), &host, &port) ? find_node(host, port) : nullptr;
    if (node == nullptr || !node->client.is_there()) {
        return false;
    }
    node->client.send(command, asking);
    return true;
}

}  // namespace ai_limit
