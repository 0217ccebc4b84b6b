#include "core/usage/hidden_usage.h"

#include <cstddef>

#include "core/words/optional_space.h"
#include "core/words/percent.h"

namespace ai_limit {

namespace {

/** Takes what stands before the first comma that is in no parentheses: `a(b,c),d` has two parts. */
std::string_view take_field(std::string_view* rest) {
    size_t open = 0;
    size_t size = 0;
    for (; size < rest->size() && ((*rest)[size] != ',' || open > 0); ++size) {
        open += (*rest)[size] == '(' ? 1 : 0;
        open -= (*rest)[size] == ')' && open > 0 ? 1 : 0;
    }
    const std::string_view field = rest->substr(0, size);
    rest->remove_prefix(size < rest->size() ? size + 1 : size);
    return trim_optional_space(field);
}

std::string_view take_part(std::string_view* rest, char separator) {
    const std::string_view part = rest->substr(0, rest->find(separator));
    rest->remove_prefix(part.size() < rest->size() ? part.size() + 1 : part.size());
    return part;
}

}  // namespace

bool mask_hides_usage(std::string_view usage_field, std::string_view mask) {
    if (usage_field.empty() || trim_optional_space(mask).empty()) {
        return false;
    }
    while (!mask.empty()) {
        const std::string_view field = take_field(&mask);
        if (field == usage_field || field == "*") {
            return false;
        }
    }
    return true;
}

bool query_hides_usage(std::string_view usage_field, std::string_view query, char* buffer) {
    while (!query.empty() && !usage_field.empty()) {
        std::string_view value = take_part(&query, '&');
        const std::string_view name = decode_percent(take_part(&value, '='), buffer);
        if ((name == "fields" || name == "$fields") &&
            mask_hides_usage(usage_field, decode_percent(value, buffer))) {
            return true;
        }
    }
    return false;
}

}  // namespace ai_limit
