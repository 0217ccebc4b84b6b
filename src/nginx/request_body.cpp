#include "nginx/request_body.h"

#include "core/form_text.h"
#include "nginx/body_fields.h"
#include "nginx/body_text.h"

namespace ai_limit {

namespace {

/** Goes on where the phase's handler stopped, as the mirror module does. */
void body_is_there(ngx_http_request_t* r) noexcept {
    // Upstream's answer does not close the body's file: the log may ask for the model.
    r->preserve_body = 1;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}

/** The Content-Type where it is one of a form, otherwise empty. Of several ones servers take
 * either: then there is no boundary that they agree on. */
std::string_view form_type(ngx_http_request_t* r) {
    const ngx_table_elt_t* header = r->headers_in.content_type;
    if (header == nullptr || !FormText::is_form_type(view(header->value))) {
        return {};
    }
    const HeaderName name = {{header->key.len, header->lowcase_key}, header->hash};
    const std::string_view type = view(header->value);
    return find_single_header(r, name) != nullptr ? type : type.substr(0, type.find(';'));
}

void set_form(RequestInfo* info, BodyFields* fields) {
    info->set_form();
    if (fields != nullptr) {
        fields->set_form();
    }
}

void feed(std::string_view text, RequestInfo* info, BodyFields* fields) {
    info->feed(text);
    if (fields != nullptr) {
        fields->feed(text);
    }
}

/** NGX_ERROR without memory. */
ngx_int_t read_text(ngx_http_request_t* r, TokenContext* tokens) {
    RequestInfo* info = &tokens->info;
    BodyFields* fields = nullptr;
    if (begin_body_fields(r, tokens, &fields) != NGX_OK) {
        return NGX_ERROR;
    }
    BodyText text(r);
    FormText form(form_type(r));
    for (std::string_view piece = text.next(); !piece.empty(); piece = text.next()) {
        while (!piece.empty()) {
            const std::string_view json = form.next(&piece);
            if (form.is_form()) {
                set_form(info, fields);
            }
            feed(json, info, fields);
        }
    }
    feed(form.end(), info, fields);
    if (fields != nullptr && fields->disagree()) {
        info->set_disagreeing();
    }
    if (text.is_plain() && !form.is_form()) {
        info->set_offset_in_body(text.mark_size());
    }
    if (!text.is_readable()) {
        info->fail();
    }
    // What a small body becomes when it is decompressed counts as well.
    info->finish(text.is_coded() ? ngx_max(body_size(r), text.size()) : body_size(r));
    return NGX_OK;
}

}  // namespace

bool awaits_body(ngx_http_request_t* r) {
    return r->request_body == nullptr && !r->discard_body &&
           (r->headers_in.content_length_n > 0 || r->headers_in.chunked);
}

ngx_int_t read_body(ngx_http_request_t* r) {
    ngx_int_t rc = ngx_http_read_client_request_body(r, body_is_there);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }
    ngx_http_finalize_request(r, NGX_DONE);
    return NGX_DONE;
}

const RequestInfo* read_request_info(ngx_http_request_t* r) {
    r = r->main;
    TokenContext* tokens = token_context(r);
    if (tokens == nullptr || tokens->info_is_whole) {
        return tokens != nullptr ? &tokens->info : nullptr;
    }
    tokens->info = RequestInfo();
    tokens->info.read_path(view(r->uri));
    if (awaits_body(r) || r->reading_body) {
        return &tokens->info;
    }
    if (r->request_body == nullptr) {
        tokens->info.finish(0);
    } else if (read_text(r, tokens) != NGX_OK) {
        return nullptr;
    }
    tokens->info_is_whole = true;
    return &tokens->info;
}

}  // namespace ai_limit
