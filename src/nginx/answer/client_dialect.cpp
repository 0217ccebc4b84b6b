#include "nginx/answer/client_dialect.h"

namespace ai_limit {

Dialect client_dialect(const ngx_http_request_t* r) {
    r = r->main;
    std::string_view asked = view(r->unparsed_uri);
    Dialect dialect = find_dialect(asked.substr(0, asked.find('?')));
    return dialect != Dialect::kPlain ? dialect : find_dialect(view(r->uri));
}

}  // namespace ai_limit
