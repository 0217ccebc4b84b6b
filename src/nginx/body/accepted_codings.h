#pragma once

// Limits the content codings that upstream may answer in: an answer that cannot be read would be
// charged by an estimate that knows nothing of its output, and clients choose the coding.

#include "ngx.h"

namespace ai_limit {

enum class AcceptedCodings { kReadable, kNone };

/**
 * Tells upstream that the client accepts only codings that the module can read, or none. nginx's
 * own filters go on by what the client said. NGX_ERROR without memory.
 */
ngx_int_t limit_accepted_codings(ngx_http_request_t* r, AcceptedCodings accepted);

}  // namespace ai_limit
