#pragma once

// Finds the server that decides on a key: the only one, the one that a sentinel names, or the one
// of a cluster that has the key's slot.

#include "redis/network/client.h"
#include "redis/protocol/slot.h"
#include "redis/protocol/topology.h"

namespace ai_limit {

/** A server as the configuration names it. */
struct RedisHost {
    ngx_str_t word;  // that names it
    ngx_str_t name;  // as the log shows it: with the port
    ngx_str_t host;  // a name or an address, empty for a Unix socket; a zero follows
    in_port_t port;
    bool is_name;
    ngx_addr_t* addresses;  // that are known; of a name, none where there is a resolver to ask
    ngx_uint_t count;
};

/** The servers as the configuration names them. */
struct RedisServers {
    RedisHost* hosts;  // the server, the sentinels or some of the cluster
    ngx_uint_t count;
    ngx_resolver_t* resolver;  // of names; nullptr: only those of `hosts`, which are resolved
    bool cluster;
    ngx_str_t sentinel_name;  // of the master, where the addresses are sentinels'
    ngx_str_t prefix;
};

class RedisRouter {
public:
    /** The arguments must outlive it. The workers note in the zone which servers are
     * there; `what_then` ends the line that says that one is lost. */
    void init(const RedisAccess* access, const RedisServers* servers, const Zone& zone,
              const char* what_then);

    /** Returns the client of the server that decides on keys of this slot, or nullptr. Ask the
     * client whether the server is there. */
    RedisClient* client_for(uint16_t slot);

    /** True if every server that may be asked is reachable. */
    bool are_all_there();

    bool is_cluster() const { return servers_->cluster; }

    /** RedisClient::deliver() of whom it concerns. */
    void deliver(uint16_t slot, char* bytes, size_t size);

    /** Ends all clients with their worker. */
    void close();

    /** A server says that another one is to be asked. False if that cannot be. */
    bool redirect(RedisCommand* command, std::string_view error, const RedisClient* said_by);

    /** False for a server that only names the others. */
    bool may_decide(const RedisClient* client) const;

    /** A server is not there: who has its slots now? */
    void look_elsewhere();

private:
    struct Node {
        RedisClient client;
        RedisEndpoint endpoint;
        ngx_addr_t address;  // where the endpoint has one and no more
        ngx_sockaddr_t socket_address;
        u_char host[kMaxHost + 1];
        u_char name[kMaxHost + sizeof(":65535")];
    };
    struct Question : RedisCommand {
        RedisRouter* router;
        Node* node;  // that is asked
    };

    static bool on_nodes(RedisCommand* command, const Reply* reply);
    static bool on_master(RedisCommand* command, const Reply* reply);

    void add_host(const RedisHost& host, const RedisAccess* access);
    Node* add_node(const RedisEndpoint& endpoint, const RedisAccess* access);
    Node* find_node(std::string_view host, in_port_t port);
    Node* find_node_at(const ngx_addr_t& address);
    Node* find_named_node(std::string_view host, in_port_t port, const ngx_addr_t* address);
    Node* find_node_of(const SlotRange& range, Node* said_by);
    Node* find_other_node(const Node& node, in_port_t port);
    size_t index_of(const RedisClient* client) const;
    bool is_mere_guide(size_t node) const;
    void log_unresolved(const RedisEndpoint& endpoint);
    void ask(Node* node, bool (*done)(RedisCommand*, const Reply*),
             std::initializer_list<std::string_view> words);
    void take_nodes(std::string_view text, Node* said_by);
    void log_no_master();
    bool take_master(std::string_view text);
    void give_slots(size_t node, uint16_t first, uint16_t last);
    static void log_replaced(RedisClient* client, const ngx_str_t& by);

    static constexpr size_t kMaxNodes = 256;

    const RedisAccess* access_;
    const RedisServers* servers_;
    Zone zone_;
    const char* what_then_;
    RedisAccess sentinel_access_;

    Node* nodes_[kMaxNodes];  // those of the configuration first
    size_t node_count_;
    size_t configured_;
    bool prefers_names_;     // the cluster wants its nodes to be called by their names
    Node* master_;           // that a sentinel has named
    uint8_t slots_[kSlots];  // by index in nodes_
    bool knows_slots_;       // a server has reported them
    Question question_;
    Timer retry_;  // while no master is known
    bool asking_;
    size_t asked_;       // of the nodes of the configuration, in turn
    ngx_msec_t ask_at_;  // not before
};

}  // namespace ai_limit
