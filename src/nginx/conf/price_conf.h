#pragma once

#include "core/prices/price_table.h"
#include "ngx.h"

namespace ai_limit {

class PriceBook;  // prices/price_file.h

/** The cost of a request whose model has no price. */
enum class UnknownPrice : uint8_t {
    kUnset,
    kReject,  // it is refused
    kFree,
    kFixed  // PriceConf::fixed
};

/** All ai_limit_prices. */
struct PriceConf {
    PriceTable table;
    UnknownPrice unknown;
    TokenWeights fixed;
    ngx_str_t unknown_text;  // of `unknown=`; empty: not written
    PriceBook* book;         // while the configuration is read
};

}  // namespace ai_limit
