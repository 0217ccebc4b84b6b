#pragma once

// Changes a request's body on its way to the upstream server.

#include "core/edits/body_edit.h"
#include "ngx.h"

namespace ai_limit {

/**
 * Puts an edited copy in the place of the body that nginx has read, in memory, or in a file if the
 * body before lay in one. Where nothing becomes longer, no file is copied: what is shorter is
 * followed by spaces then. The content length becomes that of the body. NGX_ERROR without memory or
 * if a file cannot be read or written.
 */
ngx_int_t edit_body(ngx_http_request_t* r, const BodyEdits& edits);

}  // namespace ai_limit
