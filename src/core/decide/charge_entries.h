#pragma once

#include "core/decide/charge_entry.h"

namespace ai_limit {

/**
 * The entries of all charges of one decision. It locks their buckets, in the order of their
 * addresses over all zones, and finds the entries in them.
 */
class ChargeEntries {
public:
    ChargeEntries(PolicyCharge* charges, size_t n);
    ChargeEntries(const ChargeEntries&) = delete;
    ChargeEntries& operator=(const ChargeEntries&) = delete;

    ChargeEntry* begin() { return entries_; }
    ChargeEntry* end() { return end_; }

    /** Locks the buckets, and finds the entries that exist. */
    void lock();

    /** Makes what was written final and opens the locks, in each zone. */
    void finish();

    /** True if an entry does not exist, or a request in flight needs a record. */
    bool need_room() const { return need_room_; }

    /** True if a charge of this decision has the cell. */
    bool is_pinned(Cell cell) const;

private:
    ChargeEntry* add(Charge* charge, PolicyCharge* policy);
    void lock_once();
    bool find_all();
    bool find(ChargeEntry* entry, const Geometry& geometry);
    bool find_elsewhere(ChargeEntry* entry, const Geometry& geometry);
    bool has_free_cell_in_first(const ChargeEntry& entry, const Geometry& geometry) const;

    ChargeEntry entries_[kMaxCharges];
    ChargeEntry* end_ = entries_;
    bool need_room_ = false;
};

}  // namespace ai_limit
