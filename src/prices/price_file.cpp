#include "prices/price_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "prices/price_reader.h"

namespace ai_limit {

namespace {

std::string shown(const char* path) {
    return std::string("price file \"") + path + "\"";
}

/** The number of the line in which a byte of the file stands; the file is then read up to it. */
size_t line_of(std::FILE* file, long end) {
    size_t line = 1;
    std::rewind(file);
    for (long at = 0; at < end; ++at) {
        line += std::getc(file) == '\n' ? 1 : 0;
    }
    return line;
}

/** Opens a file if it is one that may be read; otherwise nullptr, and `error` says why. */
std::FILE* open_file(const char* path, std::string* error) {
    // A pipe would block.
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status {};
    if (fd < 0 || fstat(fd, &status) != 0) {
        *error = shown(path) + " cannot be read: " + std::strerror(errno);
    } else if (!S_ISREG(status.st_mode)) {
        *error = shown(path) + " is no regular file";
    } else if (status.st_size == 0) {
        *error = shown(path) + " is empty: write an object of models, such as " +
                 "{\"my-model\":{\"input_cost_per_token\":1.5e-6}}";
    } else if (static_cast<uint64_t>(status.st_size) > kMaxPriceFile) {
        *error = shown(path) + " has more than 16 MB: this is no list of models and their prices";
    } else if (std::FILE* file = fdopen(fd, "rb")) {
        return file;
    } else {
        *error = shown(path) + " cannot be read: " + std::strerror(errno);
    }
    if (fd >= 0) {
        close(fd);
    }
    return nullptr;
}

}  // namespace

bool PriceBook::read(const char* path, std::string* error) {
    std::FILE* file = open_file(path, error);
    if (file == nullptr) {
        return false;
    }
    const bool good = read_open(file, path, error);
    std::fclose(file);
    return good;
}

bool PriceBook::read_open(std::FILE* file, const char* path, std::string* error) {
    PriceReader reader(this, ++files_);
    if (parse_price_file(file, &reader) && std::ferror(file) == 0) {
        doubt_ = reader.doubt();
        if (!doubt_.empty()) {
            doubt_ = shown(path) + ": " + doubt_;
        }
        return true;
    }
    if (std::ferror(file) != 0) {
        *error = shown(path) + " cannot be read";
        return false;
    }
    const long end = std::ftell(file);
    const bool cut = reader.found_no_json() && std::feof(file) != 0;
    *error = shown(path) + ", line " + std::to_string(line_of(file, end)) + ": " + reader.error();
    if (cut) {
        *error += ": the file ends too early";
    }
    return false;
}

}  // namespace ai_limit
