#include "nginx/request/usage_request.h"

#include "nginx/body/accepted_codings.h"

namespace ai_limit {

bool add_usage_edit(ngx_http_request_t* r, const TokenContext& tokens, BodyEdits* edits) {
    BodyEdit edit;
    return !tokens.asked_for_usage && tokens.info_is_whole && r->request_body != nullptr &&
           tokens.info.edit_to_include_usage(&edit) && edits->add(edit);
}

ngx_int_t expect_usage(ngx_http_request_t* r, TokenContext* tokens) {
    tokens->asked_for_usage = true;
    // An event cannot be taken out of a compressed stream.
    return limit_accepted_codings(r, AcceptedCodings::kNone);
}

}  // namespace ai_limit
