#pragma once

// The way from the module's commands to the embedded Redis and back: what goes over the network,
// without one.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "redis/protocol/command.h"
#include "redis/protocol/reply.h"
#include "redis/script/script.h"
#include "redis_model.h"

namespace ai_limit {

/** A call of the script, taken apart. */
struct ScriptCall {
    std::vector<std::string> keys;
    std::vector<std::string> arguments;
    int script = 1;  // 2: fair_script()
};

/** `command` is an EVALSHA. */
inline ScriptCall script_call_of(const Command& command) {
    size_t size = 0;
    char* bytes = command.format(&size);
    if (bytes == nullptr) {
        abort();
    }
    const char* at = bytes + 1;
    char* end = nullptr;
    std::vector<std::string> words(strtoul(at, &end, 10));
    for (std::string& word : words) {
        const size_t length = strtoul(end + 3, &end, 10);  // behind a line end and a `$`
        word.assign(end + 2, length);
        end += 2 + length;
    }
    free(bytes);
    const size_t keys = strtoul(words.at(2).c_str(), nullptr, 10);
    const auto first = words.begin() + 3;
    const auto argument = first + static_cast<ptrdiff_t>(keys);
    return {{first, argument}, {argument, words.end()}, words[1] == fair_script_sha1() ? 2 : 1};
}

/** The numbers that the script answers; one that fails ends the program. */
inline std::vector<int64_t> run_script(RedisModel* redis, const ScriptCall& call) {
    std::vector<int64_t> numbers = redis->run(call.keys, call.arguments, call.script);
    if (!redis->error().empty()) {
        fprintf(stderr, "%s\n", redis->error().c_str());
        abort();
    }
    return numbers;
}

/** Makes replies of numbers, as they come from Redis. */
class WireReader {
public:
    WireReader() : reader_(std::make_unique<ReplyReader>()) {
        if (!reader_->restart()) {
            abort();
        }
    }

    /** Valid until the next call. */
    const Reply& reply_of(const std::vector<int64_t>& numbers) {
        const std::string packed = message_pack({numbers.begin(), numbers.end()});
        bytes_ = "$" + std::to_string(packed.size()) + "\r\n" + packed + "\r\n";
        const Reply* reply = reader_->feed(bytes_) ? reader_->next() : nullptr;
        if (reply == nullptr) {
            abort();
        }
        return *reply;
    }

private:
    std::unique_ptr<ReplyReader> reader_;
    std::string bytes_;
};

}  // namespace ai_limit
