#pragma once

#include "ngx.h"

namespace ai_limit {

/** The error message for a client whose request hides_usage(). */
constexpr std::string_view kHiddenUsage =
    "The mask of fields leaves out the usage, which is needed here: add usageMetadata, or leave "
    "the "
    "mask out.";

/** True if a request to Google's API has a mask of fields (in its query, or in X-Goog-FieldMask)
 * that leaves the usage out of the answer. Also true if there is no memory to look. */
bool hides_usage(ngx_http_request_t* r);

}  // namespace ai_limit
