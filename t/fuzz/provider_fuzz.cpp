// Fuzzes the headers and bodies by which providers tell about quotas: one header in a line.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/upstream/provider_answer.h"
#include "core/upstream/time_text.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

bool is_length(Millis length) {
    return length >= 0 && length <= kLongestTimeText;
}

void check_quota(const ToldQuota& quota) {
    require(quota.limit <= kMaxAmount && quota.remaining <= quota.limit);
    require(quota.reset == kNotTold || is_length(quota.reset));
    require(quota.period == kNotTold || (quota.period >= 60'000 && quota.period <= 24 * 3'600'000));
    require(quota.limit != 0 || !quota.has_remaining);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    const Millis body = read_retry_info(text);
    require(body == kNotTold || (body > 0 && is_length(body)));
    ProviderHeaders headers(1'755'780'000'000);
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
        const size_t colon = line.find(':');
        if (colon != std::string_view::npos) {
            headers.read(line.substr(0, colon), line.substr(colon + 1));
        }
        Millis point = 0;
        require(!read_time(line, &point) || point > -kLongestTimeText);
    }
    const ProviderAnswer answer = headers.answer();
    for (const ToldQuota& quota : answer.quotas) {
        check_quota(quota);
    }
    require(answer.retry_after == kNotTold ||
            (answer.retry_after > 0 && is_length(answer.retry_after)));
    return 0;
}
