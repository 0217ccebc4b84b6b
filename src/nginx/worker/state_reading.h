#pragma once

#include <sys/stat.h>

#include "nginx/conf/config.h"

namespace ai_limit {

/** A state file that can be read, in memory of its own. */
struct StateBytes {
    char* bytes;  // to be freed by ngx_free(); nullptr: there is none
    size_t size;

    std::string_view view() const { return {bytes, size}; }
};

/** Reads the zone's state file; one that is damaged or of another version is set aside. What is
 * wrong is logged. */
StateBytes read_state_file(const ZoneConf& zone, ngx_log_t* log);

/** Returns why the file must not be read or replaced: somebody else may have put it there. nullptr
 * if nothing is wrong. */
const char* mistake_in_file(const struct stat& file, const ZoneConf& zone);

/** Logs a warning if nginx's workers cannot make files in the folder of the state file. */
void warn_of_state_folder(const ZoneConf& zone, ngx_log_t* log);

/** nginx's own settings, among them whom its workers run as. */
inline const ngx_core_conf_t& core_conf(const ZoneConf& zone) {
    return *reinterpret_cast<ngx_core_conf_t*>(ngx_get_conf(zone.cycle->conf_ctx, ngx_core_module));
}

}  // namespace ai_limit
