#include <cstring>

#include "core/buckets/eviction.h"
#include "core/carry/state_format.h"
#include "core/limits/algorithm.h"
#include "core/observe/models.h"
#include "core/policies/redis_clock.h"
#include "core/zone/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ai_limit {

namespace {

constexpr size_t kBufferBytes = 32 * 1024;
constexpr int kMostAttempts = 1000;  // to read a bucket while nobody changes it

/** Collects small pieces, and sums them up. */
class Output {
public:
    explicit Output(const StateSink& sink) : sink_(sink) { XXH3_64bits_reset(&hash_); }

    template <typename Part>
    void add(const Part& part) {
        static_assert(sizeof(Part) <= kBufferBytes && std::is_trivially_copyable_v<Part>);
        if (size_ + sizeof(part) > kBufferBytes) {
            flush();
        }
        std::memcpy(buffer_ + size_, static_cast<const void*>(&part), sizeof(part));
        size_ += sizeof(part);
    }

    bool finish() {
        flush();
        uint64_t sum = XXH3_64bits_digest(&hash_);
        return fine_ && sink_.write(sink_.data, reinterpret_cast<const char*>(&sum), sizeof(sum));
    }

    bool is_fine() const { return fine_; }

private:
    void flush() {
        XXH3_64bits_update(&hash_, buffer_, size_);
        fine_ = fine_ && sink_.write(sink_.data, buffer_, size_);
        size_ = 0;
    }

    StateSink sink_;
    bool fine_ = true;
    size_t size_ = 0;
    XXH3_state_t hash_;
    char buffer_[kBufferBytes] = {};
};

uint64_t read(const std::atomic<uint64_t>& count) {
    return count.load(std::memory_order_relaxed);
}

void write_head(const Zone& zone, const StateOrigin& origin, Now now, Output* out) {
    const ZoneHeader& header = *zone.header();
    StateFileHead head{};
    std::memcpy(head.magic, kStateMagic, sizeof(head.magic));
    head.format = kStateFormat;
    head.layout = kLayoutVersion;
    head.origin = origin;
    head.monotonic = now.monotonic;
    head.wall = now.wall;
    head.redis_clock_base = header.redis_clock_base.load();
    head.idle_evictions = read(header.idle_evictions);
    head.live_evictions = read(header.live_evictions);
    head.zone_full = read(header.zone_full);
    head.uses = header.uses;
    std::memcpy(head.secret, header.secret, kSecretBytes);
    out->add(head);
}

void write_policies(const Zone& zone, Output* out) {
    for (uint32_t number = 1; number <= kMaxPolicies; ++number) {
        if (zone.policy(number)->name_size != 0) {
            PolicyPart part{};
            part.number = number;
            part.counts = sum_counts(zone, number);
            std::memcpy(part.record, static_cast<const void*>(zone.policy(number)),
                        sizeof(part.record));
            out->add(part);
        }
    }
    out->add(PolicyPart{});
}

void write_overrides(const Zone& zone, Output* out) {
    for (uint32_t place = 0; place < kMaxOverrides; ++place) {
        OverridePart part{};
        const Override& from = *zone.override_at(place);
        uint64_t version = from.version.load(std::memory_order_acquire);
        part.tag = zone.override_tag(place)->load();
        std::memcpy(part.override_bytes, static_cast<const void*>(&from),
                    sizeof(part.override_bytes));
        std::atomic_thread_fence(std::memory_order_acquire);
        if (part.tag != 0 && version % 2 == 0 && from.version.load() == version) {
            out->add(part);
        }
    }
    out->add(OverridePart{});
}

void write_answers(const Zone& zone, Now now, Output* out) {
    for (uint32_t set = 0; set < kAnswerSets; ++set) {
        for (const std::atomic<uint64_t>& place : zone.answers(set)->ways) {
            uint64_t way = place.load(std::memory_order_relaxed);
            if (way != 0 && is_answer_kept(way, now.wall)) {
                out->add(ChargedAnswerPart{way, set, 0});
            }
        }
    }
    for (uint32_t set = 0; set < kPartSets; ++set) {
        for (const PartSet::Way& place : zone.answer_parts(set)->ways) {
            const uint64_t way = place.way.load(std::memory_order_acquire);
            const uint64_t amounts = place.amounts.load(std::memory_order_acquire);
            const bool is_same = place.way.load(std::memory_order_relaxed) == way;
            if (way != 0 && is_same && is_answer_kept(way, now.wall)) {
                out->add(ChargedAnswerPart{way, kAnswerSets + set, amounts});
            }
        }
    }
    out->add(ChargedAnswerPart{});
}

/** Writes the reserved tokens. Their requests may not come to their end. */
void write_reservations(const Zone& zone, Output* out) {
    for (uint32_t chunk = 0; chunk < zone.sizes().flight_chunks; ++chunk) {
        for (uint32_t i = 0; zone.chunk_owner(chunk)->load() != 0 && i < kFlightsPerChunk; ++i) {
            FlightRecord record = zone.flights(chunk)[i];
            if (record.tag != 0 && record.used_policy != 0) {
                out->add(record);
            }
        }
    }
    out->add(FlightRecord{});
}

/**
 * Copies a bucket between two changes of it. If the process that locked it is dead, the copy is
 * what that process left.
 */
void copy_bucket(const Bucket* bucket, size_t bytes, char* copy) {
    char again[kWide.bucket_bytes];
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
        bool is_free = bucket->lock.load(std::memory_order_acquire) == 0;
        std::memcpy(copy, static_cast<const void*>(bucket), bytes);
        std::atomic_thread_fence(std::memory_order_acquire);
        std::memcpy(again, static_cast<const void*>(bucket), bytes);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (is_free && bucket->lock.load(std::memory_order_relaxed) == 0 &&
            std::memcmp(copy, again, bytes) == 0) {
            return;
        }
    }
}

/**
 * True if the entry is useful after a restart.
 */
bool is_worth_keeping(const Zone& zone, const State& state, Now now) {
    uint32_t policy = state.head.policy;
    if (policy == 0 || zone.policy(policy)->name_size == 0) {
        return false;
    }
    const PolicyRecord& record = *zone.policy(policy);
    if (!outlasts_nginx(record.slowest.algorithm)) {
        return false;
    }
    return appraise_state(zone, state, now_of_policy(zone, policy, now)).worth != Worth::kNothing;
}

template <typename Part>
void write_entries(const Zone& zone, const Geometry& geometry, Now now, Output* out) {
    alignas(64) char copy[kWide.bucket_bytes];
    Bucket* bucket = reinterpret_cast<Bucket*>(copy);
    for (uint64_t i = 0; i < zone.buckets(geometry) && out->is_fine(); ++i) {
        copy_bucket(zone.bucket(geometry, i), geometry.bucket_bytes, copy);
        for (uint32_t cell = 0; cell < geometry.cells; ++cell) {
            Part part{};
            part.tag = bucket->tags[cell];
            State state{};
            load_state({bucket, cell}, geometry, &state);
            if (part.tag != 0 && is_worth_keeping(zone, state, now)) {
                std::memcpy(part.words, state.words, sizeof(part.words));
                out->add(part);
            }
        }
    }
    out->add(Part{});
}

void write_habits(const Zone& zone, Output* out) {
    for (uint32_t set = 0; set < zone.sizes().habit_sets && out->is_fine(); ++set) {
        for (const HabitWay& way : zone.habits(set)->ways) {
            const HabitPart part = {way.mark.load(std::memory_order_acquire),
                                    way.habit.load(std::memory_order_relaxed)};
            if (part.mark != 0) {
                out->add(part);
            }
        }
    }
    out->add(HabitPart{});
}

void write_model(const ModelRow& row, Output* out) {
    ModelPart part;
    std::memcpy(part.row, static_cast<const void*>(&row), sizeof(part.row));
    out->add(part);
}

/** A row that another process changes meanwhile is left out. */
void write_models(const Zone& zone, Output* out) {
    const ModelTable& table = *zone.models();
    for (const ModelRow& row : table.rows) {
        const uint64_t tag = row.tag.load(std::memory_order_acquire);
        ModelRow copy;
        std::memcpy(static_cast<void*>(&copy), static_cast<const void*>(&row), sizeof(copy));
        std::atomic_thread_fence(std::memory_order_acquire);
        if (tag > kNoModelTag && row.tag.load(std::memory_order_relaxed) == tag) {
            write_model(copy, out);
        }
    }
    ModelRow others{};
    others.tag.store(kNoModelTag);
    std::memcpy(static_cast<void*>(&others.counts), static_cast<const void*>(&table.others),
                sizeof(ModelCounts));
    write_model(others, out);
    write_model(ModelRow{}, out);
}

}  // namespace

bool write_state(const Zone& zone, const StateOrigin& origin, Now now, const StateSink& sink) {
    Output out(sink);
    write_head(zone, origin, now, &out);
    write_policies(zone, &out);
    write_overrides(zone, &out);
    write_answers(zone, now, &out);
    write_reservations(zone, &out);
    write_entries<SmallPart>(zone, kSmall, now, &out);
    write_entries<WidePart>(zone, kWide, now, &out);
    write_habits(zone, &out);
    write_models(zone, &out);
    return out.finish();
}

}  // namespace ai_limit
