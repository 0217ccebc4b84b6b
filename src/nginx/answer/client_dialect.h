#pragma once

#include "core/reply/dialect.h"
#include "ngx.h"

namespace ai_limit {

/**
 * Returns the dialect of the path that the client asked for, whatever `rewrite` or error_page have
 * made of it. If that path is no API's, returns the dialect of the path it has become.
 */
Dialect client_dialect(const ngx_http_request_t* r);

}  // namespace ai_limit
