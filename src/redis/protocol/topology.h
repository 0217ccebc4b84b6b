#pragma once

// Finds out which master has which slots of a Redis Cluster, from the answer to CLUSTER NODES
// (https://redis.io/commands/cluster-nodes).

#include <cstdint>
#include <string_view>

namespace ai_limit {

/** A master's slots from `first` to `last`. */
struct SlotRange {
    std::string_view address;  // "ip:port"; ":port" where the node does not know its own address
    std::string_view host;     // the name that it announces; empty for none
    uint16_t first;
    uint16_t last;
};

/** Goes through the ranges of all masters that are not known to have failed. */
class SlotRanges {
public:
    /** `text`: of CLUSTER NODES; it must stay. */
    explicit SlotRanges(std::string_view text) : rest_(text) {}

    /** False at the end. Lines that make no sense are left out. */
    bool next(SlotRange* range);

private:
    bool next_line();

    std::string_view rest_;
    std::string_view slots_;    // what is left of the line, from its first range on
    std::string_view address_;  // of the line's node
    std::string_view host_;
};

}  // namespace ai_limit
