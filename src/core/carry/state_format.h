#pragma once

// The format of a state file (state_file.h). First comes the head. Then come a PolicyPart for each
// policy, an OverridePart for each override, a ChargedAnswerPart for each charged answer, a
// FlightRecord for each record of reserved tokens, the small entries, the wide ones, a HabitPart
// for each habit, and a ModelPart for each model. Each list ends with an item of zeros. A checksum
// of everything before it ends the file. Files of earlier formats are read too (state_version.h).

#include <cstring>

#include "core/carry/state_file.h"
#include "core/observe/meters.h"

namespace ai_limit {

constexpr size_t kStateSumBytes = sizeof(uint64_t);

constexpr char kStateMagic[8] = {'A', 'I', 'L', 'I', 'M', 'I', 'T', '\n'};
constexpr uint32_t kStateFormat = 5;

struct StateFileHead {
    char magic[8];
    uint32_t format;
    uint32_t layout;  // kLayoutVersion
    StateOrigin origin;
    int64_t monotonic, wall;   // when it was written
    int64_t redis_clock_base;  // ZoneHeader's
    uint64_t idle_evictions, live_evictions, zone_full;
    uint32_t uses;
    uint32_t reserved;
    uint8_t secret[kSecretBytes];
};
static_assert(offsetof(StateFileHead, monotonic) <= kStateHeadBytes);

struct PolicyPart {
    uint32_t number;  // 0 ends the list
    uint32_t reserved;
    CountSums counts;
    alignas(8) char record[sizeof(PolicyRecord)];
};

struct OverridePart {
    uint64_t tag;  // 0 ends the list
    alignas(8) char override_bytes[sizeof(Override)];
};

/** An answer that was charged, and the set that it stands in. Those that were charged by estimate
 * come last, and their sets have the numbers from kAnswerSets on. */
struct ChargedAnswerPart {
    uint64_t way;  // 0 ends the list
    uint64_t set;
    uint64_t amounts;  // of an estimate (PartSet)
};

/** A habit, as a HabitWay has it. */
struct HabitPart {
    uint64_t mark;  // 0 ends the list
    uint64_t habit;
};

/** A model's row, and that of all others with the tag kNoModelTag. */
struct ModelPart {
    alignas(ModelRow) char row[sizeof(ModelRow)];  // its tag is 0 at the end of the list
};

inline const ModelRow& model_of(const ModelPart& part) {
    return *reinterpret_cast<const ModelRow*>(part.row);
}

struct SmallPart {
    uint64_t tag;  // 0 ends the list
    uint64_t words[kSmallStateBytes / 8];
};

struct WidePart {
    uint64_t tag;  // 0 ends the list
    uint64_t words[kWideStateBytes / 8];
};

/** Takes parts off the front of a state file. */
class StateParts {
public:
    /** `file` is a whole state file, with its checksum. */
    explicit StateParts(std::string_view file)
        : rest_(file.substr(0, file.size() - kStateSumBytes)) {}

    /** False if less than a part is left. */
    template <typename Part>
    bool take(Part* part) {
        return take_bytes(part, sizeof(Part));
    }

    /** The same for a part of a part. */
    bool take_bytes(void* to, size_t size) {
        if (rest_.size() < size) {
            return false;
        }
        std::memcpy(to, rest_.data(), size);
        rest_.remove_prefix(size);
        return true;
    }

    bool is_at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
};

}  // namespace ai_limit
