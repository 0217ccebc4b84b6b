#include "core/keys/key_sharers.h"

#include "core/policies/likely_limit.h"
#include "core/zone/bucket_pair.h"

namespace ai_limit {

namespace {

/** Reads an entry with its buckets locked; false if there is none. */
bool read_state(Journal* journal, const BucketPair& pair, State* state) {
    LockOrder locks;
    pair.want(&locks, journal);
    locks.take_all();
    const Cell cell = pair.find();
    if (cell.index != kNoCell) {
        load_state(cell, *pair.geometry, state);
    }
    journal->finish();
    return cell.index != kNoCell;
}

Limit limit_of(const SharedKey& key) {
    if (key.limit != nullptr) {
        return *key.limit;
    }
    Journal* journal = &key.access->journal;
    const Zone& zone = journal->zone();
    const Algorithm algorithm = zone.policy(key.use)->slowest.algorithm;
    State state{};
    read_state(journal, bucket_pair_of(zone, algorithm, key.tag, key.use), &state);
    return likely_limit(zone, key.use, state);
}

bool goes_first(const SharerRow& one, const SharerRow& other) {
    const int order = one.key.view().compare(other.key.view());
    if (order != 0 || one.used != other.used) {
        return order != 0 ? order < 0 : one.used > other.used;
    }
    return one.sharer.view() < other.sharer.view();
}

}  // namespace

bool read_sharer_row(const SharedKey& key, const NamedSharer& sharer, const Ask& ask, Now now,
                     SharerRow* row) {
    Journal* journal = &key.access->journal;
    const Zone& zone = journal->zone();
    State state{};
    if (!read_state(journal, bucket_pair_of(zone, ask.limit->algorithm, sharer.tag, ask.policy),
                    &state)) {
        return false;
    }
    const SharerUse use =
        use_of_sharer(limit_of(key), find_activity(zone, key.tag), now, state.sharer, key.nodes);
    *row = {sharer.sharer, sharer.key, use.part, use.used, use.need, use.weight};
    return use.part != 0 || use.used != 0;
}

void add_row(const SharerRow& row, SharerRows* rows) {
    size_t place = rows->count++;
    for (; place > 0 && goes_first(row, rows->rows[place - 1]); --place) {
        rows->rows[place] = rows->rows[place - 1];
    }
    rows->rows[place] = row;
}

}  // namespace ai_limit
