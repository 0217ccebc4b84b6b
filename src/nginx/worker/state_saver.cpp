#include "nginx/worker/state_saver.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "core/carry/state_file.h"
#include "core/observe/meters.h"
#include "nginx/conf/live.h"
#include "nginx/worker/process.h"
#include "nginx/worker/state_reading.h"

namespace ai_limit {

/** A worker's own part in saving a zone. */
struct StateSaver {
    enum : int { kIdle, kWriting, kWritten };

    Timer timer;
    const ZoneConf* zone;
    pthread_t thread;
    std::atomic<int> state;
    std::atomic<bool> stops;

    // For the thread, and its answer.
    StateOrigin origin;
    Now now;
    const char* mistake;  // nullptr: it is saved, or left to another nginx
    int error;
};

namespace {

constexpr Millis kSaveInterval = 5'000;
constexpr Millis kLease = 60'000;  // for one save; a worker that is killed keeps others from it
constexpr ngx_msec_t kLookInterval = 500;

const char* c_text(const ngx_str_t& text) {
    return reinterpret_cast<const char*>(text.data);
}

/** The file that is being written, and a flag that stops the writing. */
struct Target {
    int fd;
    const std::atomic<bool>* stops;
};

bool write_bytes(void* data, const char* bytes, size_t size) {
    Target* target = static_cast<Target*>(data);
    while (size != 0) {
        ssize_t n = write(target->fd, bytes, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || *target->stops) {
            return false;
        }
        bytes += n;
        size -= static_cast<size_t>(n);
    }
    return true;
}

/** True if the file is of another nginx that has taken over, as an upgrade of the binary does, and
 * still runs. */
bool is_left_to_another(const ZoneConf& zone, const StateOrigin& own) {
    int fd = open(c_text(zone.state_path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return false;
    }
    char head[kStateHeadBytes];
    ssize_t size = read(fd, head, sizeof(head));
    close(fd);
    StateOrigin other;
    // If /proc hides the master from a worker, it cannot distinguish its own master from another
    // nginx.
    return own.birth != 0 && size == sizeof(head) &&
           read_state_origin({head, sizeof(head)}, &other) && other.pid != own.pid &&
           (other.birth > own.birth || (other.birth == own.birth && other.pid > own.pid)) &&
           is_process_alive(other.pid, other.birth);
}

/** Returns why the existing state file must not be replaced, or nullptr. */
const char* mistake_in_place(const ZoneConf& zone) {
    struct stat file;
    return lstat(c_text(zone.state_path), &file) == 0 ? mistake_in_file(file, zone) : nullptr;
}

/** Writes the new file to its end, onto the disk. */
const char* write_new(StateSaver* saver, int fd) {
    const ZoneConf& zone = *saver->zone;
    // Root saves at the end; the workers of the next start are somebody else.
    if (geteuid() == 0 && fchown(fd, core_conf(zone).user, core_conf(zone).group) != 0) {
        return "cannot be given to nginx's workers";
    }
    Target target = {fd, &saver->stops};
    if (!write_state(Zone(zone.live->memory), saver->origin, saver->now, {write_bytes, &target}) ||
        fsync(fd) != 0) {
        return "cannot be written";
    }
    return nullptr;
}

/** The folder's entry must be on the disk, too. */
void sync_folder(const ZoneConf& zone) {
    char folder[NGX_MAX_PATH];
    std::string_view path = view(zone.state_path);
    size_t slash = path.rfind('/');
    if (slash == std::string_view::npos || slash + 1 > sizeof(folder)) {
        return;
    }
    ngx_cpystrn(reinterpret_cast<u_char*>(folder), zone.state_path.data, slash + 1);
    int fd = open(slash != 0 ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd != -1) {
        fsync(fd);
        close(fd);
    }
}

bool is_still(const ZoneConf& zone, int fd) {
    struct stat there;
    struct stat own;
    return lstat(c_text(zone.state_temp), &there) == 0 && fstat(fd, &own) == 0 &&
           there.st_ino == own.st_ino && there.st_dev == own.st_dev;
}

/** Returns nullptr if it is saved, else what is wrong, with the reason in errno or 0 there. */
const char* replace_file(StateSaver* saver) {
    const ZoneConf& zone = *saver->zone;
    errno = 0;
    if (const char* mistake = mistake_in_place(zone)) {
        errno = 0;
        return mistake;
    }
    if (is_left_to_another(zone, saver->origin)) {
        return nullptr;
    }
    unlink(c_text(zone.state_temp));
    int fd = open(c_text(zone.state_temp), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  S_IRUSR | S_IWUSR);
    if (fd == -1) {
        return "cannot be saved: nginx's workers must be able to make files in its folder";
    }
    const char* mistake = write_new(saver, fd);
    if (mistake == nullptr && !is_still(zone, fd)) {
        mistake = "is being saved by another process";
    }
    if (mistake == nullptr && rename(c_text(zone.state_temp), c_text(zone.state_path)) != 0) {
        mistake = "cannot be replaced";
    }
    int error = errno;
    close(fd);
    if (mistake != nullptr) {
        unlink(c_text(zone.state_temp));
    } else {
        sync_folder(zone);
    }
    errno = error;
    return mistake;
}

void save(StateSaver* saver) {
    saver->mistake = replace_file(saver);
    saver->error = saver->mistake != nullptr ? errno : 0;
}

void* save_in_thread(void* data) {
    StateSaver* saver = static_cast<StateSaver*>(data);
    save(saver);
    saver->state.store(StateSaver::kWritten, std::memory_order_release);
    return nullptr;
}

/** Says what went wrong once, and that it goes well again, for all workers. */
void log_result(const StateSaver& saver, ngx_log_t* log) {
    const ZoneConf& zone = *saver.zone;
    ZoneHeader* header = Zone(zone.live->memory).header();
    std::atomic<uint32_t>* failed = &header->save_failed;
    if (saver.mistake == nullptr) {
        header->saved_at.store(saver.now.wall);
    } else if (!saver.stops) {
        header->save_failures.fetch_add(1);
    }
    if (saver.mistake != nullptr && !saver.stops && failed->exchange(1) == 0) {
        ngx_log_error(NGX_LOG_ERR, log, saver.error,
                      "ai_limit zone \"%V\": the state file \"%V\" %s; limits go on in memory",
                      &zone.name, &zone.state_path, saver.mistake);
    }
    if (saver.mistake == nullptr && failed->exchange(0) != 0) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "ai_limit zone \"%V\": the state file \"%V\" is saved again", &zone.name,
                      &zone.state_path);
    }
}

StateOrigin origin_of(ngx_pid_t master) {
    StateOrigin origin{};
    origin.pid = static_cast<uint32_t>(master);
    origin.birth = birth_of_process(origin.pid);
    return origin;
}

/** Signals are for nginx's own thread. */
bool start_thread(StateSaver* saver) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    saver->state.store(StateSaver::kWriting);
    bool started = pthread_create(&saver->thread, nullptr, save_in_thread, saver) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!started) {
        saver->state.store(StateSaver::kIdle);
    }
    return started;
}

std::atomic<int64_t>* next_save(const StateSaver& saver) {
    return &Zone(saver.zone->live->memory).header()->next_save_at;
}

void end_saving(StateSaver* saver, ngx_log_t* log) {
    pthread_join(saver->thread, nullptr);
    saver->state.store(StateSaver::kIdle);
    next_save(*saver)->store(now_by_nginx().monotonic + kSaveInterval);
    log_result(*saver, log);
}

/** Whoever comes first when it is due does it. */
void begin_saving(StateSaver* saver) {
    Now now = now_by_nginx();
    int64_t due = next_save(*saver)->load();
    if (now.monotonic < due ||
        !next_save(*saver)->compare_exchange_strong(due, now.monotonic + kLease)) {
        return;
    }
    saver->now = now;
    if (!start_thread(saver)) {
        next_save(*saver)->store(now.monotonic + kSaveInterval);
    }
}

void look(StateSaver* saver) {
    int state = saver->state.load(std::memory_order_acquire);
    if (state == StateSaver::kWritten) {
        end_saving(saver, saver->timer.log());
    } else if (state == StateSaver::kIdle && !ngx_exiting) {
        // A worker of an older configuration may have a zone that was copied since.
        begin_saving(saver);
    }
    saver->timer.start(kLookInterval);
}

void fill_zone(const ZoneConf* zone, const Host* host, const StateBytes& state, ngx_log_t* log) {
    Journal journal;
    if (!journal.open(Zone(zone->live->memory), host, static_cast<uint32_t>(ngx_getpid()),
                      birth_of_this_process())) {
        return;
    }
    read_state(state.view(), &journal, now_by_nginx());
    journal.retire(journal.number());
    ngx_log_error(NGX_LOG_NOTICE, log, 0, "ai_limit zone \"%V\": %uL entries are read from \"%V\"",
                  &zone->name, count_entries(Zone(zone->live->memory)), &zone->state_path);
}

}  // namespace

void create_from_state_file(const ZoneConf* zone, const Host* host, const uint8_t* secret,
                            ngx_log_t* log) {
    StateBytes state{};
    if (zone->state_path.len != 0 && !ngx_test_config) {
        state = read_state_file(*zone, log);
    }
    if (state.bytes == nullptr) {
        Zone::create(zone->live->memory, zone->sizes, secret);
        return;
    }
    Zone::create(zone->live->memory, zone->sizes, secret_of_state(state.view()));
    fill_zone(zone, host, state, log);
    ngx_free(state.bytes);
}

ngx_int_t start_saving(const ZoneConf* zone, ngx_cycle_t* cycle) {
    if (zone->state_path.len == 0) {
        return NGX_OK;
    }
    StateSaver* saver = static_cast<StateSaver*>(ngx_pcalloc(cycle->pool, sizeof(StateSaver)));
    if (saver == nullptr) {
        return NGX_ERROR;
    }
    saver->zone = zone;
    saver->origin = origin_of(ngx_parent);
    saver->timer.init<look>(saver, cycle->log);
    zone->live->saver = saver;
    saver->timer.start(kLookInterval);
    return NGX_OK;
}

void stop_saving(const ZoneConf* zone) {
    StateSaver* saver = zone->live->saver;
    if (saver == nullptr) {
        return;
    }
    if (saver->state.load() != StateSaver::kIdle) {
        saver->stops = true;
        end_saving(saver, saver->timer.log());
        next_save(*saver)->store(0);
    }
    zone->live->saver = nullptr;
}

void save_at_end(const ZoneConf* zone, ngx_log_t* log) {
    if (zone->state_path.len == 0 || zone->live->memory == nullptr) {
        return;
    }
    StateSaver saver{};
    saver.zone = zone;
    saver.origin = origin_of(ngx_pid);
    update_clocks();
    saver.now = now_by_nginx();
    save(&saver);
    log_result(saver, log);
}

}  // namespace ai_limit
