#include "redis/script/eval_command.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "redis/script/script.h"

namespace ai_limit {

namespace {

constexpr std::string_view kBeforeSha1 = "$7\r\nEVALSHA\r\n$40\r\n";
constexpr size_t kSha1Length = 40;

/** Returns where in the bytes of an EVALSHA its SHA-1 begins: in its second word. */
size_t place_of_sha1(std::string_view evalsha) {
    return evalsha.find('\n') + 1 + kBeforeSha1.size();
}

}  // namespace

std::string_view script_called_by(std::string_view evalsha) {
    const size_t count_end = evalsha.find('\n');
    if (count_end == std::string_view::npos ||
        evalsha.substr(count_end + 1, kBeforeSha1.size()) != kBeforeSha1) {
        return {};
    }
    const size_t place = place_of_sha1(evalsha);
    return place <= evalsha.size() ? script_with_sha1(evalsha.substr(place, kSha1Length))
                                   : std::string_view();
}

char* make_eval_command(std::string_view evalsha, size_t* size) {
    constexpr std::string_view kWord = "$4\r\nEVAL\r\n$";
    std::string_view script = script_called_by(evalsha);
    if (script.empty()) {
        return nullptr;
    }
    std::string_view count = evalsha.substr(0, evalsha.find('\n') + 1);  // of the words: "*N"
    std::string_view rest = evalsha.substr(place_of_sha1(evalsha) + kSha1Length);
    char length[24];
    char* length_end = std::to_chars(length, length + sizeof(length) - 2, script.size()).ptr;
    *length_end++ = '\r';
    *length_end++ = '\n';
    std::string_view parts[] = {
        count, kWord, {length, static_cast<size_t>(length_end - length)}, script, rest};
    size_t sum = 0;
    for (std::string_view part : parts) {
        sum += part.size();
    }
    char* bytes = static_cast<char*>(std::malloc(sum));
    if (bytes == nullptr) {
        return nullptr;
    }
    char* at = bytes;
    for (std::string_view part : parts) {
        std::memcpy(at, part.data(), part.size());
        at += part.size();
    }
    *size = sum;
    return bytes;
}

}  // namespace ai_limit
