#include "core/requests/include_usage.h"

namespace ai_limit {

namespace {

constexpr uint64_t kNullSize = 4;

}  // namespace

bool edit_to_include_usage(const StreamOptionsPlace& place, BodyEdit* edit) {
    switch (place.options) {
        case StreamOptionsPlace::kMissing:
            *edit = {place.root_at, 0, "\"stream_options\":{\"include_usage\":true},"};
            return true;
        case StreamOptionsPlace::kNull:
            *edit = {place.options_at, kNullSize, "{\"include_usage\":true}"};
            return true;
        case StreamOptionsPlace::kObject:
            break;
        default:
            return false;
    }
    switch (place.include_usage) {
        case StreamOptionsPlace::kMissing:
            *edit = {place.options_at, 0,
                     place.empty ? "\"include_usage\":true" : "\"include_usage\":true,"};
            return true;
        case StreamOptionsPlace::kOther:
            if (place.include_usage_size == 0) {
                return false;
            }
            *edit = {place.include_usage_at, place.include_usage_size, "true"};
            return true;
        default:
            return false;
    }
}

}  // namespace ai_limit
