// The page to look at: one file, which is part of the module.

#include "nginx/api/api_output.h"
#include "nginx/api/api_resources.h"

namespace ai_limit {

namespace {

/** page.html. The build makes the list of its bytes (config.make). */
constexpr unsigned char kPage[] = {
#include "api/page.html.inc"
};

constexpr std::string_view kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "
    "'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace

ngx_int_t send_page(ngx_http_request_t* r) {
    if (add_api_header(r, "Content-Security-Policy", kPolicy) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ApiOutput output(r);
    output.add_static({reinterpret_cast<const char*>(kPage), sizeof(kPage)});
    return output.send(NGX_HTTP_OK, "text/html; charset=utf-8");
}

}  // namespace ai_limit
