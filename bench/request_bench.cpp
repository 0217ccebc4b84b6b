// Measures how quickly the body of a request is read for what it asks, and how long one turn of
// that blocks a worker, for bodies that were made to take long. Prints Markdown.
//
// Processor time is measured, so that other processes matter less.

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/requests/request_info.h"

namespace {

using namespace ai_limit;

constexpr size_t kBody = 20'000'000;
constexpr size_t kPiece = 64 * 1024;
constexpr size_t kTurn = 256 * 1024;  // as nginx/request/request_body.cpp reads on
constexpr double kMostMillis = 20;    // of one turn

double now() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/** A body of kBody bytes: a begin, one part again and again, an end. */
std::string body_of(std::string_view begin, std::string_view part, std::string_view end) {
    std::string body(begin);
    while (body.size() + part.size() + end.size() <= kBody) {
        body += part;
    }
    return body += end;
}

struct Reading {
    double seconds = 0;
    double longest_turn = 0;
    Amount estimate = 0;
};

Reading read(std::string_view body) {
    Reading reading;
    RequestInfo info;
    info.read_path("/v1/chat/completions");
    for (std::string_view rest = body; !rest.empty();) {
        std::string_view turn = rest.substr(0, kTurn);
        rest.remove_prefix(turn.size());
        const double begin = now();
        while (!turn.empty()) {
            const std::string_view piece = turn.substr(0, kPiece);
            info.feed(piece);
            turn.remove_prefix(piece.size());
        }
        const double took = now() - begin;
        reading.seconds += took;
        reading.longest_turn = std::max(reading.longest_turn, took);
    }
    info.finish(body.size());
    reading.estimate = info.unreadable() ? 0 : info.prompt_estimate();
    return reading;
}

void print_row(const char* what, const std::string& body) {
    Reading best = read(body);
    for (int round = 0; round < 4; ++round) {
        const Reading again = read(body);
        best.seconds = std::min(best.seconds, again.seconds);
        best.longest_turn = std::min(best.longest_turn, again.longest_turn);
    }
    const double millis = best.longest_turn * 1e3;
    printf("| %s | %.0f | %.1f | %s |\n", what,
           static_cast<double>(body.size()) / best.seconds / 1e6, millis,
           millis <= kMostMillis ? "yes" : "**no**");
    fflush(stdout);
}

}  // namespace

int main() {
    printf(
        "\nReading a request of %zu MB for what it asks. No turn of %zu KB holds a worker up for "
        "more than %.0f ms.\n\n",
        kBody / 1'000'000, kTurn / 1024, kMostMillis);
    printf("| body | MB/s | longest turn, ms | holds |\n| --- | ---: | ---: | --- |\n");
    print_row("prose",
              body_of(R"({"messages":[{"content":")", "The quick brown fox jumps. ", R"("}]})"));
    print_row("short messages",
              body_of(R"({"messages":[)", R"({"role":"user","content":"Hi"},)", "{}]}"));
    print_row("escapes", body_of(R"({"prompt":")", "\\n", R"("})"));
    print_row("an image in base64",
              body_of(R"({"messages":[{"content":[{"image":")", "QUJDREVGR0hJSktM", R"("}]}]})"));
    print_row("numbers of tokens", body_of(R"({"input":[)", "1,", "1]}"));
    print_row("small keys", body_of("{", R"("a":1,)", R"("a":1})"));
    print_row("keys in another case", body_of("{", R"("MODEL":"a",)", R"("MODEL":"a"})"));
    print_row("keys like wanted ones", body_of("{", R"("modex":1,"streax":1,)", R"("a":1})"));
    print_row("brackets", body_of("[", "[],", "[]]"));
    print_row("deep brackets", std::string(kBody / 2, '[') + std::string(kBody / 2, ']'));
    return 0;
}
