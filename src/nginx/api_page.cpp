// The page to look at: one file, which is part of the module.

#include "nginx/api_output.h"
#include "nginx/api_resources.h"

// page.html, found by the compiler's -I.
__asm__(
    ".pushsection .rodata\n"
    ".globl ngx_http_ai_limit_page, ngx_http_ai_limit_page_end\n"
    ".hidden ngx_http_ai_limit_page, ngx_http_ai_limit_page_end\n"
    "ngx_http_ai_limit_page:\n"
    ".incbin \"nginx/page.html\"\n"
    "ngx_http_ai_limit_page_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" const char ngx_http_ai_limit_page[] __attribute__((visibility("hidden")));
extern "C" const char ngx_http_ai_limit_page_end[] __attribute__((visibility("hidden")));

namespace ai_limit {

namespace {

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
    output.add_static({ngx_http_ai_limit_page,
                       static_cast<size_t>(ngx_http_ai_limit_page_end - ngx_http_ai_limit_page)});
    return output.send(NGX_HTTP_OK, "text/html; charset=utf-8");
}

}  // namespace ai_limit
