// Reads ai_limit_prices. The files are read at once, and become one table when all directives are
// known.

#include <new>
#include <string>

#include "nginx/conf/conf_words.h"
#include "nginx/conf/config.h"
#include "nginx/conf/price_conf.h"
#include "nginx/directives/directives.h"
#include "nginx/directives/foreign_words.h"
#include "nginx/directives/resolve_prices.h"
#include "prices/price_file.h"

namespace ai_limit {

namespace {

void delete_book(void* data) noexcept {
    delete static_cast<PriceBook*>(data);
}

/** The book lives until the configuration has been read. */
PriceBook* make_book(ngx_conf_t* cf) {
    ngx_pool_cleanup_t* cleanup = ngx_pool_cleanup_add(cf->temp_pool, 0);
    PriceBook* book = cleanup != nullptr ? new (std::nothrow) PriceBook() : nullptr;
    if (book != nullptr) {
        cleanup->handler = delete_book;
        cleanup->data = book;
    }
    return book;
}

/** Returns what all ai_limit_prices have said so far; nullptr without memory. */
PriceConf* price_conf(ngx_conf_t* cf, MainConf* main) {
    if (main->prices == nullptr) {
        PriceConf* prices = allocate<PriceConf>(cf);
        if (prices == nullptr) {
            return nullptr;
        }
        prices->book = make_book(cf);
        main->prices = prices->book != nullptr ? prices : nullptr;
    }
    return main->prices;
}

char* read_provider(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PriceConf* prices) {
    if (value.len == 0) {
        return mistake(cf, "empty name in", word,
                       ", expected provider=azure, for example, for prices of azure/NAME");
    }
    const std::string_view name = view(value);
    if (name.front() == '/' || name.back() == '/' || name.find(',') != name.npos) {
        return mistake(cf, "invalid name in", word,
                       ", expected one name without the slash behind it, such as provider=azure; "
                       "write provider= once for each");
    }
    prices->book->add_provider(name);
    return NGX_CONF_OK;
}

/** Reads `INPUT:OUTPUT`, in dollars for a million tokens: a millionth of a dollar for one. */
bool read_fixed(std::string_view text, TokenWeights* weights) {
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        return false;
    }
    std::string count = "input:";
    count.append(text.substr(0, colon)).append(",output:").append(text.substr(colon + 1));
    return text.find(',') == std::string_view::npos &&
           parse_token_weights(count, weights) == nullptr;
}

char* read_unknown(ngx_conf_t* cf, ngx_str_t word, ngx_str_t value, PriceConf* prices) {
    if (prices->unknown_text.len != 0 && view(prices->unknown_text) != view(value)) {
        return mistake(cf, "another ai_limit_prices differs from", word,
                       ", which is for all price files");
    }
    prices->unknown_text = value;
    if (view(value) == "reject") {
        prices->unknown = UnknownPrice::kReject;
    } else if (view(value) == "free") {
        prices->unknown = UnknownPrice::kFree;
    } else if (read_fixed(view(value), &prices->fixed)) {
        prices->unknown = UnknownPrice::kFixed;
    } else {
        return mistake(cf, "invalid value", word,
                       ", expected unknown=reject, unknown=free, or dollars for a million tokens "
                       "of input and output such as unknown=5:20");
    }
    return NGX_CONF_OK;
}

}  // namespace

char* ngx_http_ai_limit_prices(ngx_conf_t* cf, ngx_command_t*, void* conf) {
    PriceConf* prices = price_conf(cf, static_cast<MainConf*>(conf));
    if (prices == nullptr || refuse_inner_quotes(cf) != NGX_CONF_OK) {
        return error_result();
    }
    for (ngx_uint_t i = 1; i < argument_count(cf); ++i) {
        ngx_str_t word = arguments(cf)[i];
        ngx_str_t value;
        char* result = value_of(word, "provider=", &value) ? read_provider(cf, word, value, prices)
                       : value_of(word, "unknown=", &value)
                           ? read_unknown(cf, word, value, prices)
                           : mistake(cf, "invalid parameter", word,
                                     ", expected a file, then provider= or unknown=");
        if (result != NGX_CONF_OK) {
            return result;
        }
    }
    ngx_str_t path = arguments(cf)[0];
    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return error_result();
    }
    std::string error;
    if (!prices->book->read(reinterpret_cast<const char*>(path.data), &error)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "ai_limit_prices: %s", error.c_str());
        return error_result();
    }
    if (!prices->book->doubt().empty()) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "ai_limit_prices: %s",
                           prices->book->doubt().c_str());
    }
    return NGX_CONF_OK;
}

ngx_int_t resolve_prices(ngx_conf_t* cf, const MainConf& main) {
    PriceConf* prices = main.prices;
    if (prices == nullptr) {
        return NGX_OK;
    }
    if (prices->unknown == UnknownPrice::kUnset) {
        prices->unknown = UnknownPrice::kReject;
    }
    void* memory = ngx_palloc(cf->pool, prices->book->bytes());
    if (memory == nullptr) {
        return NGX_ERROR;
    }
    prices->table = prices->book->build(memory);
    if (prices->book->models() == 0) {
        ngx_log_error(
            NGX_LOG_WARN, cf->log, 0,
            "ai_limit_prices: no model has a price in any of the files: each needs one such as "
            "input_cost_per_token");
    }
    prices->book = nullptr;
    return NGX_OK;
}

}  // namespace ai_limit
