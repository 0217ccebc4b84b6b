#include "redis/script/eval_command.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "redis/script/script.h"

namespace ai_limit {

char* make_eval_command(std::string_view evalsha, size_t* size) {
    constexpr std::string_view kWord = "$4\r\nEVAL\r\n$";
    std::string_view sha1 = limit_script_sha1();
    std::string_view script = limit_script();
    size_t sha1_at = evalsha.find(sha1);
    size_t count_end = evalsha.find('\n');
    if (sha1_at == std::string_view::npos || count_end > sha1_at) {
        return nullptr;
    }
    std::string_view count = evalsha.substr(0, count_end + 1);  // of the words: "*N"
    std::string_view rest = evalsha.substr(sha1_at + sha1.size());
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
