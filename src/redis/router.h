#pragma once

// Which server decides on a key: the one that there is, the one that a sentinel names, or the one
// of a cluster that has the key's slot.

#include "redis/client.h"
#include "redis/slot.h"

namespace ai_limit {

/** What the configuration says of the servers. */
struct RedisServers {
    ngx_addr_t* addresses;  // of the server, the sentinels or some of the cluster
    ngx_uint_t count;
    bool cluster;
    ngx_str_t sentinel_name;  // of the master, where the addresses are sentinels'
    ngx_str_t prefix;
};

class RedisRouter {
public:
    /** All that is given must stay. The zone is where the workers tell each other which servers are
     * there; `what_then` ends the line that says that one is lost. */
    void init(const RedisAccess* access, const RedisServers* servers, const Zone& zone,
              const char* what_then);

    /** Who decides on keys of this slot: whether it is there, it must be asked itself. */
    RedisClient* client_for(uint16_t slot);

    /** Whether whoever may be asked is there. */
    bool are_all_there();

    bool is_cluster() const { return servers_->cluster; }

    /** RedisClient::deliver() of whom it concerns. */
    void deliver(uint16_t slot, char* bytes, size_t size);

    /** At the worker's end. */
    void close();

    /** A server says that another one is to be asked. False where that cannot be. */
    bool redirect(RedisCommand* command, std::string_view error);

    /** A server is not there: who has its slots now? */
    void look_elsewhere();

private:
    struct Node {
        RedisClient client;
        ngx_addr_t address;
        ngx_sockaddr_t socket_address;
        u_char name[NGX_SOCKADDR_STRLEN];
    };
    struct Question : RedisCommand {
        RedisRouter* router;
        Node* node;  // that is asked
    };

    /** Asks again while no master is known. */
    struct Retry {
        ngx_event_t event;
        RedisRouter* router;
    };

    static void on_retry(ngx_event_t* event);
    static bool on_nodes(RedisCommand* command, const Reply* reply);
    static bool on_master(RedisCommand* command, const Reply* reply);

    Node* add_node(const ngx_addr_t* address, const RedisAccess* access);
    Node* find_node(std::string_view host, std::string_view port);
    void ask(Node* node, bool (*done)(RedisCommand*, const Reply*),
             std::initializer_list<std::string_view> words);
    void take_nodes(std::string_view text, Node* said_by);
    void tell_no_master();
    void take_master(std::string_view text);
    void give_slots(size_t node, uint16_t first, uint16_t last);
    static void tell_replaced(RedisClient* client, const ngx_str_t& by);

    static constexpr size_t kMaxNodes = 256;

    const RedisAccess* access_;
    const RedisServers* servers_;
    Zone zone_;
    const char* what_then_;
    RedisAccess sentinel_access_;

    Node* nodes_[kMaxNodes];  // those of the configuration first
    size_t node_count_;
    Node* master_;           // that a sentinel has named
    uint8_t slots_[kSlots];  // by index in nodes_
    bool knows_slots_;       // a server has told them
    Question question_;
    Retry retry_;
    bool asking_;
    size_t asked_;       // of the nodes of the configuration, in turn
    ngx_msec_t ask_at_;  // not before
};

}  // namespace ai_limit
