// A client of Redis that makes one call again and again, each when the one before is answered: what
// a round trip takes without nginx.
//
// The call comes from a file: each word behind its length and a line end, and with a line end
// behind it. With --keys its keys are many: the digits behind each '{' of a word are replaced.
//
// Prints one line: calls=N seconds=S p50=US p90=US
// Exits with 1 when the connection fails or an answer is an error.

#include <hiredis/hiredis.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

struct Options {
    int port = 0;
    std::string call;
    uint64_t calls = 1000;
    uint64_t keys = 1;
    uint64_t seed = 1;
};

[[noreturn]] void fail(const char* what) {
    fprintf(stderr, "redis_calls: %s\n", what);
    exit(1);
}

double monotonic_seconds() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) * 1e-9;
}

std::vector<std::string> read_words(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<std::string> words;
    size_t size = 0;
    while (file >> size) {
        file.get();
        words.emplace_back(size, '\0');
        file.read(&words.back()[0], static_cast<std::streamsize>(size));
    }
    if (words.empty()) {
        fail("no call in the file");
    }
    return words;
}

class Calls {
public:
    explicit Calls(const Options& options)
        : options_(options), words_(read_words(options.call)), random_(options.seed) {
        for (std::string& word : words_) {
            const size_t brace = word.find('{');
            if (brace != std::string::npos && word.size() > brace + kDigits) {
                numbers_.push_back(&word[brace + 1]);
            }
        }
    }

    void run() {
        redisContext* redis = redisConnect("127.0.0.1", options_.port);
        if (redis == nullptr || redis->err != 0) {
            fail(redis == nullptr ? "no memory" : redis->errstr);
        }
        latencies_.reserve(options_.calls);
        const double start = monotonic_seconds();
        for (uint64_t i = 0; i < options_.calls; i++) {
            call(redis);
        }
        const double seconds = monotonic_seconds() - start;
        redisFree(redis);
        const double p50 = percentile(50);
        printf("calls=%llu seconds=%.6f p50=%.3f p90=%.3f\n",
               static_cast<unsigned long long>(options_.calls), seconds, p50, percentile(90));
    }

private:
    static constexpr size_t kDigits = 12;

    void call(redisContext* redis) {
        choose_key();
        std::vector<const char*> texts;
        std::vector<size_t> sizes;
        for (const std::string& word : words_) {
            texts.push_back(word.data());
            sizes.push_back(word.size());
        }
        const double start = monotonic_seconds();
        void* reply =
            redisCommandArgv(redis, static_cast<int>(texts.size()), texts.data(), sizes.data());
        latencies_.push_back((monotonic_seconds() - start) * 1e6);
        if (reply == nullptr) {
            fail(redis->errstr);
        }
        if (static_cast<redisReply*>(reply)->type == REDIS_REPLY_ERROR) {
            fail(static_cast<redisReply*>(reply)->str);
        }
        freeReplyObject(reply);
    }

    void choose_key() {
        random_ = random_ * 6364136223846793005u + 1442695040888963407u;
        const uint64_t number =
            static_cast<uint64_t>((static_cast<unsigned __int128>(random_) * options_.keys) >> 64);
        const std::string text = std::to_string(number);
        const std::string digits =
            std::string(kDigits - std::min(kDigits, text.size()), '0') + text;
        for (char* place : numbers_) {
            memcpy(place, digits.data(), kDigits);
        }
    }

    double percentile(size_t percent) {
        const auto at =
            latencies_.begin() + static_cast<ptrdiff_t>((latencies_.size() - 1) * percent / 100);
        std::nth_element(latencies_.begin(), at, latencies_.end());
        return *at;
    }

    const Options& options_;
    std::vector<std::string> words_;
    std::vector<char*> numbers_;
    uint64_t random_;
    std::vector<double> latencies_;
};

constexpr const char* kUsage =
    "usage: redis_calls --port P --call FILE [--calls N] [--keys K] [--seed X]";

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const uint64_t number = strtoull(argv[i + 1], nullptr, 10);
        if (name == "--port") {
            options.port = static_cast<int>(number);
        } else if (name == "--call") {
            options.call = argv[i + 1];
        } else if (name == "--calls") {
            options.calls = number;
        } else if (name == "--keys") {
            options.keys = number;
        } else if (name == "--seed") {
            options.seed = number;
        } else {
            fail(kUsage);
        }
    }
    if (argc % 2 == 0 || options.port == 0 || options.calls == 0 || options.call.empty()) {
        fail(kUsage);
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = read_options(argc, argv);
    Calls(options).run();
}
