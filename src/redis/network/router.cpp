#include "redis/network/router.h"

#include <cstdlib>
#include <cstring>

#include "core/zone/table.h"
#include "redis/network/server_name.h"
#include "redis/protocol/command.h"

namespace ai_limit {

namespace {

constexpr ngx_msec_t kAskInterval = 250;

/** Tells apart servers, and ways to be let in by one: what an old configuration is refused for says
 * nothing of a new one. */
uint64_t hash_server(const Zone& zone, const RedisEndpoint& endpoint, const RedisAccess& access) {
    uint64_t hash = hash_key(zone, view(endpoint.name));
    for (std::string_view text :
         {view(access.user), view(access.password), view(endpoint.host), view(endpoint.stand_in)}) {
        hash = hash * 0x9E3779B97F4A7C15 ^ hash_key(zone, text);
    }
    hash ^= static_cast<uint64_t>(access.database) << 2 ^ (access.ssl != nullptr ? 2 : 0) ^
            (access.ssl_verify ? 1 : 0);
    return hash != 0 ? hash : 1;
}

/** Returns the place where the node's workers note for each other whether that server is there. If
 * all places are taken, servers share one. */
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
    retry_.init<&RedisRouter::look_elsewhere>(this, ngx_cycle->log);
    bool sentinels = servers->sentinel_name.len != 0;
    for (ngx_uint_t i = 0; i < servers->count; ++i) {
        add_host(servers->hosts[i], sentinels ? &sentinel_access_ : access);
        prefers_names_ |= servers->hosts[i].is_name && servers->resolver != nullptr;
    }
    configured_ = node_count_;
    if (sentinels || servers->cluster) {
        look_elsewhere();
    }
}

void RedisRouter::add_host(const RedisHost& host, const RedisAccess* access) {
    RedisEndpoint endpoint{};
    endpoint.host = host.host;
    endpoint.port = host.port;
    if (host.is_name && servers_->resolver != nullptr) {
        endpoint.name = host.name;
        endpoint.resolver = servers_->resolver;
        endpoint.addresses = host.addresses;
        endpoint.count = host.count;
        add_node(endpoint, access);
        return;
    }
    for (ngx_uint_t i = 0; i < host.count; ++i) {
        endpoint.name = host.addresses[i].name;
        endpoint.addresses = &host.addresses[i];
        endpoint.count = 1;
        add_node(endpoint, access);
    }
}

/** Copies what may not stay: of the addresses, one that is alone. */
RedisRouter::Node* RedisRouter::add_node(const RedisEndpoint& endpoint, const RedisAccess* access) {
    if (node_count_ == kMaxNodes) {
        return nullptr;
    }
    Node* node = static_cast<Node*>(std::calloc(1, sizeof(Node)));
    if (node == nullptr) {
        return nullptr;
    }
    const char* what_then = access == access_ ? what_then_ : nullptr;
    node->endpoint = endpoint;
    node->endpoint.name = {ngx_min(endpoint.name.len, sizeof(node->name)), node->name};
    std::memcpy(node->name, endpoint.name.data, node->endpoint.name.len);
    node->endpoint.host = {ngx_min(endpoint.host.len, kMaxHost), node->host};
    std::memcpy(node->host, endpoint.host.data, node->endpoint.host.len);
    if (endpoint.count == 1) {
        const ngx_addr_t& address = endpoint.addresses[0];
        std::memcpy(&node->socket_address, address.sockaddr, address.socklen);
        node->address.sockaddr = &node->socket_address.sockaddr;
        node->address.socklen = address.socklen;
        node->address.name = node->endpoint.name;
        node->endpoint.addresses = &node->address;
    }
    node->client.init(access, &node->endpoint, view(servers_->prefix),
                      place_of(zone_, hash_server(zone_, node->endpoint, *access)), what_then,
                      this);
    nodes_[node_count_++] = node;
    return node;
}

/** Finds the node that another server names; makes it if it is new. */
RedisRouter::Node* RedisRouter::find_node(std::string_view host, in_port_t port) {
    ngx_sockaddr_t socket;
    ngx_addr_t address{};
    if (read_address(host, &socket, &address)) {
        ngx_inet_set_port(address.sockaddr, port);
        return find_node_at(address);
    }
    return is_host_name(host) ? find_named_node(host, port, nullptr) : nullptr;
}

RedisRouter::Node* RedisRouter::find_node_at(const ngx_addr_t& address) {
    for (size_t i = 0; i < node_count_; ++i) {
        const RedisEndpoint& known = nodes_[i]->endpoint;
        if (known.resolver == nullptr &&
            ngx_cmp_sockaddr(known.addresses[0].sockaddr, known.addresses[0].socklen,
                             address.sockaddr, address.socklen, 1) == NGX_OK) {
            return nodes_[i];
        }
    }
    u_char host[NGX_SOCKADDR_STRLEN + 1], name[NGX_SOCKADDR_STRLEN];
    RedisEndpoint endpoint{};
    endpoint.host = {ngx_sock_ntop(address.sockaddr, address.socklen, host, NGX_SOCKADDR_STRLEN, 0),
                     host};
    endpoint.name = {ngx_sock_ntop(address.sockaddr, address.socklen, name, sizeof(name), 1), name};
    endpoint.stand_in = servers_->hosts[0].host;
    endpoint.port = ngx_inet_get_port(address.sockaddr);
    endpoint.addresses = &address;
    endpoint.count = 1;
    return add_node(endpoint, access_);
}

/** `address` may be known as well, or nullptr. */
RedisRouter::Node* RedisRouter::find_named_node(std::string_view host, in_port_t port,
                                                const ngx_addr_t* address) {
    for (size_t i = 0; i < node_count_; ++i) {
        const RedisEndpoint& known = nodes_[i]->endpoint;
        if (known.resolver != nullptr && known.port == port && known.host.len == host.size() &&
            ngx_strncasecmp(known.host.data, to_ngx(host).data, host.size()) == 0) {
            return nodes_[i];
        }
    }
    u_char name[sizeof(Node::name)];
    RedisEndpoint endpoint{};
    endpoint.host = to_ngx(host);
    u_char* end = ngx_snprintf(name, sizeof(name), "%V:%ui", &endpoint.host, ngx_uint_t{port});
    endpoint.name = {static_cast<size_t>(end - name), name};
    endpoint.port = port;
    endpoint.resolver = servers_->resolver;
    endpoint.addresses = address;
    endpoint.count = address != nullptr;
    if (servers_->resolver == nullptr) {
        log_unresolved(endpoint);
        return nullptr;
    }
    return add_node(endpoint, access_);
}

/** Logs one warning for all workers. */
void RedisRouter::log_unresolved(const RedisEndpoint& endpoint) {
    RemoteHealth* place = place_of(zone_, hash_server(zone_, endpoint, *access_));
    uint32_t there = RemoteHealth::kThere;
    if (place->state.compare_exchange_strong(there, RemoteHealth::kAway)) {
        bool cluster = servers_->cluster;
        ngx_log_error(kHealthLevel, ngx_cycle->log, 0,
                      "Redis names a server %V, and names can only be resolved with a \"resolver\""
                      " in the http block%s%s",
                      &endpoint.name, cluster ? "" : "; ", cluster ? "" : what_then_);
    }
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
    retry_.stop();
    for (size_t i = 0; i < node_count_; ++i) {
        nodes_[i]->client.close();
    }
    for (size_t i = 0; i < node_count_; ++i) {
        nodes_[i]->client.~RedisClient();
        std::free(nodes_[i]);
    }
    if (asking_) {
        std::free(question_.bytes);
    }
    node_count_ = 0;
    master_ = nullptr;
}

void RedisRouter::look_elsewhere() {
    bool sentinels = servers_->sentinel_name.len != 0;
    if (asking_ || (!sentinels && !servers_->cluster) || msec_until(ask_at_) > 0 ||
        node_count_ == 0) {
        return;
    }
    ask_at_ = msec_now() + kAskInterval;
    // Whoever may know: of a cluster, also those that the configuration does not name.
    size_t many = sentinels ? configured_ : node_count_;
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
    question_.is_probe = true;
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
        Node* node = find_node_of(range, said_by);
        for (size_t i = 0; node != nullptr && i < node_count_; ++i) {
            if (nodes_[i] == node) {
                give_slots(i, range.first, range.last);
                known = true;
            }
        }
    }
    knows_slots_ = known;
    for (size_t i = 0; i < configured_; ++i) {
        if (is_mere_guide(i)) {
            log_replaced(&nodes_[i]->client, said_by->client.name());
        }
    }
}

RedisRouter::Node* RedisRouter::find_node_of(const SlotRange& range, Node* said_by) {
    std::string_view host, port_text;
    in_port_t port = 0;
    if (!split_address(range.address, &host, &port_text) || !read_port(port_text, &port)) {
        return nullptr;
    }
    ngx_sockaddr_t socket;
    ngx_addr_t address{};
    bool has_address = read_address(host, &socket, &address);
    if (has_address) {
        ngx_inet_set_port(address.sockaddr, port);
    }
    if (prefers_names_ && is_host_name(range.host)) {
        return find_named_node(range.host, port, has_address ? &address : nullptr);
    }
    if (has_address) {
        return find_node_at(address);
    }
    // A node that nobody has met yet does not know its own address.
    return host.empty() ? said_by : nullptr;
}

/** True for a name that only serves to ask for a cluster's nodes: the cluster calls them otherwise,
 * and no slot belongs to the name. */
bool RedisRouter::is_mere_guide(size_t node) const {
    return servers_->cluster && knows_slots_ && node < configured_ &&
           nodes_[node]->endpoint.resolver != nullptr &&
           std::memchr(slots_, static_cast<int>(node), sizeof(slots_)) == nullptr;
}

size_t RedisRouter::index_of(const RedisClient* client) const {
    size_t i = 0;
    while (i < node_count_ && &nodes_[i]->client != client) {
        ++i;
    }
    return i;
}

bool RedisRouter::may_decide(const RedisClient* client) const {
    return !is_mere_guide(index_of(client));
}

void RedisRouter::give_slots(size_t node, uint16_t first, uint16_t last) {
    RedisClient* client = &nodes_[node]->client;
    client->set_slot(first);
    for (uint32_t slot = first; slot <= last; ++slot) {
        RedisClient* before = &nodes_[slots_[slot]]->client;
        if (before != client && knows_slots_) {
            log_replaced(before, client->name());
        }
        slots_[slot] = static_cast<uint8_t>(node);
    }
}

/** Marks a server that is away as replaced, and logs which one decides in its place. */
void RedisRouter::log_replaced(RedisClient* client, const ngx_str_t& by) {
    if (client->note_replaced()) {
        ngx_log_error(kHealthLevel, ngx_cycle->log, 0, "Redis is back: %V stands in for %V", &by,
                      &client->name());
    }
}

bool RedisRouter::on_master(RedisCommand* command, const Reply* reply) {
    RedisRouter* self = static_cast<Question*>(command)->router;
    std::free(command->bytes);
    self->asking_ = false;
    bool named =
        reply != nullptr && reply->kind() == ReplyKind::kArray && self->take_master(reply->text());
    if (self->master_ == nullptr && !self->retry_.is_set()) {
        self->retry_.start(kAskInterval);
        if (!named) {
            self->log_no_master();
        }
    }
    return true;
}

/** Logs one warning for all workers, once all sentinels have been asked. */
void RedisRouter::log_no_master() {
    if (asked_ >= configured_ && nodes_[0]->client.note_away()) {
        ngx_log_error(kHealthLevel, ngx_cycle->log, 0,
                      "no sentinel names a master \"%V\", the first of them being %V; %s",
                      &servers_->sentinel_name, &nodes_[0]->client.name(), what_then_);
    }
}

/** `text`: a host and a port, a line each. False if it is none. */
bool RedisRouter::take_master(std::string_view text) {
    size_t end = text.find('\n');
    if (end == std::string_view::npos) {
        return false;
    }
    std::string_view port_text = text.substr(end + 1);
    in_port_t port = 0;
    if (!read_port(port_text.substr(0, port_text.find('\n')), &port)) {
        return false;
    }
    Node* node = find_node(text.substr(0, end), port);
    if (node == nullptr || node == master_) {
        return true;
    }
    if (master_ != nullptr) {
        log_replaced(&master_->client, node->client.name());
    } else if (nodes_[0]->client.note_replaced()) {
        ngx_log_error(kHealthLevel, ngx_cycle->log, 0, "Redis is back: %V is the master",
                      &node->client.name());
    }
    master_ = node;
    return true;
}

/** The one at that port of the same host. */
RedisRouter::Node* RedisRouter::find_other_node(const Node& node, in_port_t port) {
    if (node.endpoint.resolver != nullptr) {
        return find_named_node(view(node.endpoint.host), port, nullptr);
    }
    ngx_sockaddr_t socket = node.socket_address;
    ngx_addr_t address = node.address;
    address.sockaddr = &socket.sockaddr;
    ngx_inet_set_port(address.sockaddr, port);
    return find_node_at(address);
}

bool RedisRouter::redirect(RedisCommand* command, std::string_view error,
                           const RedisClient* said_by) {
    // "MOVED 3999 127.0.0.1:6381" or "ASK 3999 redis.example:6381"; without the host if it is
    // the same.
    size_t first = error.find(' ');
    size_t second = first == std::string_view::npos ? first : error.find(' ', first + 1);
    if (second == std::string_view::npos || !servers_->cluster) {
        return false;
    }
    bool asking = error.substr(0, first) == "ASK";
    if (!asking) {
        look_elsewhere();
    }
    std::string_view host, port_text;
    in_port_t port = 0;
    if (!split_address(error.substr(second + 1), &host, &port_text) ||
        !read_port(port_text, &port)) {
        return false;
    }
    Node* node = nullptr;
    if (!host.empty()) {
        node = find_node(host, port);
        prefers_names_ = node != nullptr && node->endpoint.resolver != nullptr;
    } else if (size_t i = index_of(said_by); i < node_count_) {
        node = find_other_node(*nodes_[i], port);
    }
    if (node == nullptr || !node->client.is_there()) {
        return false;
    }
    node->client.send(command, asking);
    return true;
}

}  // namespace ai_limit
