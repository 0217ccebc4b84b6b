#include "nginx/worker/process.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ai_limit {

namespace {

/** Reads the state and start time of a process from /proc/PID/stat (proc(5)); false if there is
 * none. */
bool read_stat(uint32_t pid, char* state, uint64_t* birth) {
    char text[1024];
    snprintf(text, sizeof(text), "/proc/%u/stat", pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    // The name, in parentheses, may contain anything: the text behind the last one is plain.
    const char* field = strrchr(text, ')');
    if (field == nullptr || field[1] == '\0') {
        return false;
    }
    *state = field[2];
    for (int i = 2; i < 22 && field != nullptr; ++i) {
        field = strchr(field + 1, ' ');
    }
    *birth = field != nullptr ? strtoull(field + 1, nullptr, 10) : 0;
    return true;
}

}  // namespace

uint64_t birth_of_process(uint32_t pid) {
    char state = 0;
    uint64_t birth = 0;
    return read_stat(pid, &state, &birth) ? birth : 0;
}

uint64_t birth_of_this_process() {
    return birth_of_process(static_cast<uint32_t>(getpid()));
}

bool is_process_alive(uint32_t pid, uint64_t birth) {
    if (kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) {
        return false;
    }
    char state = 0;
    uint64_t present_birth = 0;
    if (!read_stat(pid, &state, &present_birth)) {
        return true;  // no /proc to ask: what kill() says must do
    }
    bool same = birth == 0 || present_birth == 0 || birth == present_birth;
    return same && state != 'Z' && state != 'X';
}

void yield_processor() {
    sched_yield();
}

}  // namespace ai_limit
