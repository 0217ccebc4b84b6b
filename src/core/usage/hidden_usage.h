#pragma once

// Google's servers leave out of an answer what a mask of fields does not name (system parameters
// `fields` and `$fields`, header `X-Goog-FieldMask`; cloud.google.com/apis/docs/system-parameters).
// A mask can leave out what the answer used, and its text.

#include <string_view>

namespace ai_limit {

/**
 * True if a mask leaves out the field that reports the usage, or a part of it. `usage_field` is
 * that of RequestPath; if it is empty, no mask does. An empty mask leaves out nothing.
 */
bool mask_hides_usage(std::string_view usage_field, std::string_view mask);

/**
 * True if any mask in a URL's query leaves it out. `query` is as it was sent. `buffer` has room for
 * as many bytes.
 */
bool query_hides_usage(std::string_view usage_field, std::string_view query, char* buffer);

}  // namespace ai_limit
