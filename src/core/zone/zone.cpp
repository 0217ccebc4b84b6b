#include "core/zone/zone.h"

#include <cstring>

namespace ai_limit {

namespace {

constexpr size_t kLine = 64;

size_t round_up(size_t bytes) {
    return (bytes + kLine - 1) / kLine * kLine;
}

uint64_t buckets_in(size_t bytes, const Geometry& geometry) {
    // Neighbouring policies share aligned groups of eight buckets (table.h).
    uint64_t buckets = bytes / geometry.bucket_bytes / 8 * 8;
    return buckets != 0 ? buckets : 8;
}

}  // namespace

ZoneLayout layout_of(const ZoneSizes& sizes) {
    ZoneLayout layout{};
    layout.policies = round_up(sizeof(ZoneHeader));
    layout.counts = layout.policies + round_up(sizeof(PolicyRecord) * kMaxPolicies);
    layout.top_keys = layout.counts + round_up(sizeof(PolicyCounts) * kCountShards * kMaxPolicies);
    layout.day_keys = layout.top_keys + round_up(sizeof(TopKeys) * kMaxPolicies);
    layout.histories = layout.day_keys + round_up(sizeof(TopList) * kMaxPolicies);
    layout.models = layout.histories + round_up(sizeof(History) * kMaxPolicies);
    layout.override_tags = layout.models + round_up(sizeof(ModelTable));
    layout.overrides = layout.override_tags + round_up(sizeof(uint64_t) * kMaxOverrides);
    layout.answers = layout.overrides + round_up(sizeof(Override) * kMaxOverrides);
    layout.answer_parts = layout.answers + sizeof(AnswerSet) * kAnswerSets;
    layout.processes = layout.answer_parts + sizeof(PartSet) * kPartSets;
    layout.journals = layout.processes + round_up(sizeof(ProcessSlot) * kMaxProcesses);
    layout.tallies = layout.journals + round_up(sizeof(JournalData) * kMaxProcesses);
    layout.chunk_owners = layout.tallies + round_up(sizeof(uint64_t) * kMaxProcesses);
    layout.flights = layout.chunk_owners + round_up(sizeof(uint32_t) * sizes.flight_chunks);
    layout.served_keys =
        layout.flights + round_up(sizeof(FlightRecord) * kFlightsPerChunk * sizes.flight_chunks);
    layout.habits =
        layout.served_keys + round_up(sizeof(uint32_t) * kFlightsPerChunk * sizes.flight_chunks);
    layout.activity = layout.habits + sizeof(HabitSet) * sizes.habit_sets;
    layout.sharer_names = layout.activity + sizeof(ActivitySet) * sizes.activity_sets;
    layout.queue_changes =
        layout.sharer_names + (sizes.activity_sets != 0 ? sizeof(SharerNames) * kMaxPolicies : 0);
    layout.queues = layout.queue_changes + (sizes.queues != 0 ? sizeof(QueueChanges) : 0);
    layout.accounts = layout.queues + sizeof(KeyQueue) * sizes.queues;
    layout.small = layout.accounts + sizeof(AccountSet) * sizes.account_sets;
    // Buckets do not straddle more lines, nor pages, than they must.
    layout.small = (layout.small + 1023) / 1024 * 1024;
    layout.wide = layout.small + sizes.small_buckets * kSmall.bucket_bytes;
    layout.total = layout.wide + sizes.wide_buckets * kWide.bucket_bytes;
    return layout;
}

ZoneSizes sizes_for(size_t bytes, bool small, bool wide, bool ledgers, bool sharers) {
    ZoneSizes sizes{};
    size_t for_wide = wide ? (small ? bytes / 2 : bytes) : ledgers || sharers ? bytes / 8 : 0;
    sizes.small_buckets = small || !wide ? buckets_in(bytes - for_wide, kSmall) : 0;
    sizes.wide_buckets = wide || ledgers || sharers ? buckets_in(for_wide, kWide) : 0;
    // One request in flight for every 128 bytes of the zone, and never fewer than 16,384.
    size_t chunks = bytes / 128 / kFlightsPerChunk;
    sizes.flight_chunks = static_cast<uint32_t>(chunks > 256 ? chunks : 256);
    sizes.habit_sets = habit_sets_for(bytes);
    sizes.activity_sets = sharers ? activity_sets_for(bytes) : 0;
    return sizes;
}

Zone Zone::create(void* memory, const ZoneSizes& sizes, const uint8_t* secret) {
    ZoneHeader* header = static_cast<ZoneHeader*>(memory);
    header->sizes = sizes;
    std::memcpy(header->secret, secret, kSecretBytes);
    header->version = kLayoutVersion;
    return Zone(memory);
}

Zone::Zone(void* memory) : base_(static_cast<char*>(memory)) {
    sizes_ = header()->sizes;
    layout_ = layout_of(sizes_);
    small_ = base_ + layout_.small;
    wide_ = base_ + layout_.wide;
}

bool Zone::is_valid(const void* memory, const ZoneSizes& sizes) {
    const ZoneHeader* header = static_cast<const ZoneHeader*>(memory);
    return header->version == kLayoutVersion &&
           header->sizes.small_buckets == sizes.small_buckets &&
           header->sizes.wide_buckets == sizes.wide_buckets &&
           header->sizes.flight_chunks == sizes.flight_chunks &&
           header->sizes.habit_sets == sizes.habit_sets &&
           header->sizes.activity_sets == sizes.activity_sets &&
           header->sizes.queues == sizes.queues && header->sizes.account_sets == sizes.account_sets;
}

}  // namespace ai_limit
