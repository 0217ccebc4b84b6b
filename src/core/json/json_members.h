#pragma once

#include <cstddef>
#include <string_view>

namespace ai_limit {

/** A member of a JSON object, as it stands there. `key` is without its quotes. */
struct JsonMember {
    std::string_view key;
    std::string_view value;
};

/**
 * Takes the first member from the text between the brackets of an object that JsonScanner found to
 * be well-formed. False at its end, or if brackets do not match or are nested more than 64 deep:
 * the scanner lets those of an array pass for those of an object far down.
 */
bool take_json_member(std::string_view* rest, JsonMember* member);

/** Calls `visit(key, value)` for each member of a well-formed object. */
template <typename Visit>
void for_each_json_member(std::string_view object, const Visit& visit) {
    if (object.size() < 2) {
        return;
    }
    std::string_view rest = object.substr(1, object.size() - 2);
    JsonMember member;
    while (take_json_member(&rest, &member)) {
        visit(member.key, member.value);
    }
}

}  // namespace ai_limit
