#pragma once

#include <string_view>

namespace ai_limit {

/** `name=value` of a header such as Content-Type; a quoted value is without its quotes, but with
 * its escapes as they stand. */
struct HeaderParameter {
    std::string_view name, value;
};

/** Takes what stands before the first semicolon from the front of a header's value, such as the
 * type in Content-Type, without white space around it. */
std::string_view take_header_word(std::string_view* rest);

/**
 * Takes the next parameter from the front of `rest` (RFC 9110, 5.6.6). False if there is none
 * any more, and where what stands there is none; `rest` is not empty then.
 */
bool take_header_parameter(std::string_view* rest, HeaderParameter* parameter);

}  // namespace ai_limit
