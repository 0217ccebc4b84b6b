#include "nginx/worker/state_reading.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

#include <cstring>

#include "core/carry/state_file.h"

namespace ai_limit {

namespace {

constexpr off_t kLargest = off_t{1} << 40;

void log_refused(const ZoneConf& zone, ngx_log_t* log, ngx_err_t error, const char* what) {
    ngx_log_error(NGX_LOG_ERR, log, error,
                  "ai_limit zone \"%V\": the state file \"%V\" %s, counts begin anew", &zone.name,
                  &zone.state_path, what);
}

bool read_all(int fd, char* bytes, size_t size) {
    while (size != 0) {
        ssize_t n = read(fd, bytes, size);
        if (n <= 0) {
            return false;
        }
        bytes += n;
        size -= static_cast<size_t>(n);
    }
    return true;
}

const char* name_of(StateFault fault) {
    switch (fault) {
        case StateFault::kForeign:
            return "is no state of ai_limit";
        case StateFault::kOlder:
            return "is of an older version";
        case StateFault::kNewer:
            return "is of a newer version";
        default:
            return "is damaged";
    }
}

void set_aside(const ZoneConf& zone, StateFault fault, ngx_log_t* log) {
    char* to = static_cast<char*>(ngx_alloc(zone.state_path.len + sizeof(".bad"), log));
    if (to == nullptr) {
        return;
    }
    ngx_sprintf(reinterpret_cast<u_char*>(to), "%V.bad%Z", &zone.state_path);
    bool is_aside = rename(reinterpret_cast<char*>(zone.state_path.data), to) == 0;
    ngx_log_error(
        NGX_LOG_ERR, log, is_aside ? 0 : ngx_errno,
        "ai_limit zone \"%V\": the state file \"%V\" %s%s, counts begin anew", &zone.name,
        &zone.state_path, name_of(fault),
        is_aside ? " and is set aside, with .bad behind its name" : " and cannot be set aside");
    ngx_free(to);
}

/** Returns the file's bytes; nullptr, which is logged, if it cannot be read. */
StateBytes read_bytes(int fd, const ZoneConf& zone, ngx_log_t* log) {
    struct stat file;
    if (fstat(fd, &file) != 0) {
        log_refused(zone, log, ngx_errno, "cannot be read");
        return {};
    }
    if (const char* mistake = mistake_in_file(file, zone)) {
        log_refused(zone, log, 0, mistake);
        return {};
    }
    StateBytes all = {nullptr, static_cast<size_t>(file.st_size)};
    if (file.st_size < kLargest) {
        all.bytes = static_cast<char*>(ngx_alloc(all.size + 1, log));
    }
    if (all.bytes != nullptr && !read_all(fd, all.bytes, all.size)) {
        log_refused(zone, log, ngx_errno, "cannot be read");
        ngx_free(all.bytes);
        all.bytes = nullptr;
    }
    return all;
}

/** True if nginx's workers may make files in the folder. */
bool may_make_files(const struct stat& folder, const ZoneConf& zone) {
    const ngx_core_conf_t& core = core_conf(zone);
    if (core.user == 0) {
        return true;
    }
    if (folder.st_uid == core.user) {
        return (folder.st_mode & (S_IWUSR | S_IXUSR)) == (S_IWUSR | S_IXUSR);
    }
    gid_t groups[256] = {core.group};
    int count = sizeof(groups) / sizeof(groups[0]);
    bool is_known = getgrouplist(core.username, core.group, groups, &count) != -1;
    bool is_member = folder.st_gid == core.group;
    for (int i = 0; is_known && i < count; ++i) {
        is_member = is_member || groups[i] == folder.st_gid;
    }
    mode_t wanted = is_member ? S_IWGRP | S_IXGRP : S_IWOTH | S_IXOTH;
    return (folder.st_mode & wanted) == wanted;
}

}  // namespace

const char* mistake_in_file(const struct stat& file, const ZoneConf& zone) {
    if (!S_ISREG(file.st_mode)) {
        return "is no regular file";
    }
    if (file.st_uid != 0 && file.st_uid != geteuid() && file.st_uid != core_conf(zone).user) {
        return "belongs to another user";
    }
    if (file.st_mode & (S_IWGRP | S_IWOTH)) {
        return "can be written by others";
    }
    return nullptr;
}

StateBytes read_state_file(const ZoneConf& zone, ngx_log_t* log) {
    // Neither a link, which may lead anywhere, nor a pipe, which may never answer.
    int fd = open(reinterpret_cast<char*>(zone.state_path.data),
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        if (ngx_errno != ENOENT) {
            log_refused(zone, log, ngx_errno, "cannot be read");
        }
        return {};
    }
    StateBytes all = read_bytes(fd, zone, log);
    close(fd);
    StateFault fault = all.bytes != nullptr ? check_state(all.view()) : StateFault::kNone;
    if (fault != StateFault::kNone) {
        set_aside(zone, fault, log);
        ngx_free(all.bytes);
        all.bytes = nullptr;
    }
    return all;
}

void warn_of_state_folder(const ZoneConf& zone, ngx_log_t* log) {
    char folder[NGX_MAX_PATH];
    size_t slash = view(zone.state_path).rfind('/');
    struct stat found;
    if (slash == std::string_view::npos || slash >= sizeof(folder)) {
        return;
    }
    std::memcpy(folder, zone.state_path.data, slash + 1);
    folder[slash + 1] = '\0';
    // Without root, workers run as whoever starts nginx.
    bool may_write = geteuid() != 0 ? access(folder, W_OK | X_OK) == 0
                                    : stat(folder, &found) != 0 || may_make_files(found, zone);
    if (may_write) {
        return;
    }
    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "ai_limit zone \"%V\": nginx's workers cannot make files in \"%s\", so the state "
                  "file will not be saved: give them the folder (chown)",
                  &zone.name, folder);
}

}  // namespace ai_limit
