#include "nginx/request/body_fields.h"

#include <new>

#include "nginx/conf/body_field_names.h"

namespace ai_limit {

ngx_int_t begin_body_fields(ngx_http_request_t* r, TokenContext* tokens, BodyFields** fields) {
    *fields = nullptr;
    const BodyFieldsConf* conf = main_conf(r)->body_fields;
    if (conf == nullptr) {
        return NGX_OK;
    }
    void* values = ngx_palloc(r->pool, conf->paths.count() * sizeof(BodyField));
    void* reader = ngx_palloc(r->pool, sizeof(BodyFields));
    if (values == nullptr || reader == nullptr) {
        return NGX_ERROR;
    }
    tokens->fields = static_cast<BodyField*>(values);
    *fields = new (reader) BodyFields(conf->paths, tokens->fields);
    return NGX_OK;
}

}  // namespace ai_limit
