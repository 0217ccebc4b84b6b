#include "core/decide/charge_entries.h"

#include "core/zone/lock_order.h"

namespace ai_limit {

ChargeEntries::ChargeEntries(PolicyCharge* charges, size_t n) {
    for (PolicyCharge* policy = charges; policy != charges + n; ++policy) {
        ChargeEntry* ledger = add(policy->ledger, policy);
        ChargeEntry* reservation = add(policy->reservation, policy);
        ChargeEntry* sharer = add(policy->sharer, policy);
        ChargeEntry* use = add(&policy->use, policy);
        use->sharer = sharer;
        use->ledger = ledger;
        use->reservation = reservation;
    }
}

ChargeEntry* ChargeEntries::add(Charge* charge, PolicyCharge* policy) {
    if (charge == nullptr) {
        return nullptr;
    }
    ChargeEntry* entry = end_++;
    entry->charge = charge;
    entry->policy = policy;
    entry->reservation = nullptr;
    entry->ledger = nullptr;
    entry->sharer = nullptr;
    entry->both = false;
    entry->missing = false;
    entry->others.count = 0;
    return entry;
}

void ChargeEntries::lock() {
    do {
        lock_once();
    } while (!find_all());
}

void ChargeEntries::lock_once() {
    if (end_ - entries_ == 1 && !entries_->both) {
        entries_->journal()->lock(entries_->charge->first);
        return;
    }
    LockOrder locks;
    for (const ChargeEntry& entry : *this) {
        locks.want(entry.journal(), entry.charge->first);
        if (entry.both) {
            locks.want(entry.journal(), entry.second());
        }
    }
    locks.take_all();
}

void ChargeEntries::finish() {
    if (end_ - entries_ == 1) {
        entries_->journal()->finish();
        return;
    }
    Journal* last = nullptr;
    for (const ChargeEntry& entry : *this) {
        Journal* journal = entry.journal();
        if (journal != last) {
            journal->finish();
        }
        last = journal;
    }
}

/** False if another bucket must be locked first; the locks are then open. */
bool ChargeEntries::find_all() {
    bool found_all = true;
    need_room_ = false;
    for (ChargeEntry& entry : *this) {
        found_all &= is_wide(entry) ? find(&entry, kWide) : find(&entry, kSmall);
        need_room_ |= !entry.present || has_flights(entry.limit().algorithm);
    }
    if (!found_all) {
        finish();
    }
    return found_all;
}

// The geometry is a constant where it is called, so that the compiler unrolls the search.
inline __attribute__((always_inline)) bool ChargeEntries::find(ChargeEntry* entry,
                                                               const Geometry& geometry) {
    const Charge& charge = *entry->charge;
    uint32_t index = find_tag(charge.first, geometry, charge.tag);
    entry->cell = {charge.first, index};
    entry->present = index != kNoCell;
    return (entry->present && !may_have_others(charge)) || find_elsewhere(entry, geometry);
}

__attribute__((noinline)) bool ChargeEntries::find_elsewhere(ChargeEntry* entry,
                                                             const Geometry& geometry) {
    const Charge& charge = *entry->charge;
    if (!entry->both) {
        bool settled = !charge.first->overflowed &&
                       (entry->present || has_free_cell_in_first(*entry, geometry));
        entry->both = !settled;
        return settled;
    }
    if (!entry->present) {
        Bucket* second = entry->second();
        entry->cell = {second, find_tag(second, geometry, charge.tag)};
        entry->present = entry->cell.index != kNoCell;
    }
    return true;
}

/** True if the first bucket has a free cell beside those that earlier charges take. */
bool ChargeEntries::has_free_cell_in_first(const ChargeEntry& entry,
                                           const Geometry& geometry) const {
    const Bucket* first = entry.charge->first;
    uint32_t wanted = 1;
    for (const ChargeEntry* other = entries_; other != &entry; ++other) {
        wanted += !other->present && other->charge->first == first ? 1 : 0;
    }
    for (uint32_t cell = 0; cell < geometry.cells && wanted != 0; ++cell) {
        wanted -= first->tags[cell] == 0 ? 1 : 0;
    }
    return wanted == 0;
}

bool ChargeEntries::is_pinned(Cell cell) const {
    for (const ChargeEntry* entry = entries_; entry != end_; ++entry) {
        bool is_own = entry->cell.bucket == cell.bucket && entry->cell.index == cell.index;
        if (is_own || entry->others.has(cell)) {
            return true;
        }
    }
    return false;
}

}  // namespace ai_limit
