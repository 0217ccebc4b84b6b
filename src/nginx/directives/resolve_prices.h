#pragma once

#include "nginx/conf/config.h"

namespace ai_limit {

/** Makes one table of all price files, in memory of the configuration. NGX_ERROR without memory. */
ngx_int_t resolve_prices(ngx_conf_t* cf, const MainConf& main);

}  // namespace ai_limit
