// Measures how long a price map of the size of LiteLLM's takes to read, what memory that needs, and
// how many instructions finding a model's prices takes. Prints Markdown.
//
// With --write FILE, it only writes the map to a file.

#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "prices/large_price_map.h"
#include "prices/price_file.h"
#include "single_step.h"

namespace {

using namespace ai_limit;

constexpr double kMostMillis = 100;
constexpr double kMostKilobytes = 2000;
constexpr uint64_t kMostInstructions = 100;

size_t memory_now = 0;
size_t memory_most = 0;

void* take_memory(size_t size) {
    void* memory = malloc(size);
    memory_now += malloc_usable_size(memory);
    memory_most = std::max(memory_most, memory_now);
    return memory;
}

void give_memory(void* memory) {
    memory_now -= malloc_usable_size(memory);
    free(memory);
}

double now_millis() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

const char* verdict(bool holds) {
    return holds ? "yes" : "**no**";
}

void write_file(const char* path, const std::string& text) {
    std::FILE* file = std::fopen(path, "w");
    if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file) != text.size() ||
        std::fclose(file) != 0) {
        std::perror(path);
        exit(1);
    }
}

/** Prices as the configuration has them. */
struct Reading {
    std::vector<uint64_t> memory;
    PriceTable table;
    size_t bytes = 0;
    double millis = 0;
};

Reading read_map(const char* path) {
    Reading reading;
    const double begin = now_millis();
    PriceBook book;
    std::string error;
    if (!book.read(path, &error)) {
        printf("%s\n", error.c_str());
        exit(1);
    }
    book.add_provider("azure");
    book.add_provider("bedrock");
    reading.bytes = book.bytes();
    reading.memory.resize((reading.bytes + 7) / 8);
    reading.table = book.build(reading.memory.data());
    reading.millis = now_millis() - begin;
    return reading;
}

void print_reading(const char* path, size_t size) {
    std::vector<double> times;
    size_t memory = 0;
    Reading reading;
    for (int round = 0; round < 9; ++round) {
        reading = Reading();
        memory_most = memory_now;
        const size_t before = memory_now;
        reading = read_map(path);
        memory = memory_most - before;
        times.push_back(reading.millis);
    }
    std::sort(times.begin(), times.end());
    const double millis = times[times.size() / 2];
    const double kilobytes = static_cast<double>(memory) / 1e3;
    printf("\nReading a price map of %zu models and %zu KB. Goal: at most %.0f ms and %.0f KB.\n\n",
           LargePriceMap::kModels, size / 1000, kMostMillis, kMostKilobytes);
    printf("| ms | KB of memory while it is read | KB afterwards | holds |\n");
    printf("| ---: | ---: | ---: | --- |\n");
    printf("| %.1f | %.0f | %.0f | %s |\n", millis, kilobytes,
           static_cast<double>(reading.bytes) / 1e3,
           verdict(millis <= kMostMillis && kilobytes <= kMostKilobytes));
}

/** The compiler leaves out no search whose result is written here. */
const void* volatile found = nullptr;

uint64_t steps_of(const SingleStep::Work& action) {
    return SingleStep::run(action, [] {});
}

/** Instructions for finding the prices of a model, without those of the call around it. */
uint64_t steps_of_finding(const PriceTable& table, const std::string& text) {
    const std::string_view name = text;
    const uint64_t all = steps_of([&] {
        const ModelPrices* model = table.find(name);
        found = model != nullptr ? &table.weights_of(*model, PriceTier::kStandard, Amount{1000})
                                 : nullptr;
    });
    return all - steps_of([&] { found = name.data() + reinterpret_cast<uintptr_t>(&table); });
}

/** Instructions for finding the prices of some models: the most that one of them takes. */
void print_row(const char* what, const PriceTable& table, const std::vector<std::string>& names,
               bool judged) {
    std::vector<uint64_t> counts;
    for (const std::string& name : names) {
        counts.push_back(steps_of_finding(table, name));
    }
    std::sort(counts.begin(), counts.end());
    const uint64_t median = counts[counts.size() / 2];
    printf("| %s | %zu | %llu | %llu | %s |\n", what, names.size(),
           static_cast<unsigned long long>(median), static_cast<unsigned long long>(counts.back()),
           judged ? verdict(median <= kMostInstructions) : "");
}

void print_finding(const PriceTable& table, const std::vector<std::string>& all) {
    std::vector<std::string> usual;
    std::vector<std::string> longer;
    std::vector<std::string> dated;
    std::vector<std::string> unknown;
    for (const std::string& name : all) {
        const size_t size = name.size();
        (size >= 12 && size <= 24 ? usual : longer).push_back(name);
        if (size >= 12 && size <= 24) {
            dated.push_back(name + "-2026-11-30");
            unknown.push_back(name.substr(1));
        }
    }
    unknown.erase(std::remove_if(unknown.begin(), unknown.end(),
                                 [&](const std::string& name) { return table.find(name); }),
                  unknown.end());
    printf("\nInstructions for finding a model's prices. Goal: at most %llu.\n\n",
           static_cast<unsigned long long>(kMostInstructions));
    printf("| name | names | median | most | holds |\n| --- | ---: | ---: | ---: | --- |\n");
    print_row("of 12 to 24 bytes", table, usual, true);
    print_row("shorter or longer", table, longer, false);
    print_row("with a date that the map does not have", table, dated, false);
    print_row("unknown", table, unknown, false);
}

}  // namespace

// Counts what the standard library takes.
void* operator new(size_t size) {
    return take_memory(size);
}
void operator delete(void* memory) noexcept {
    give_memory(memory);
}
void operator delete(void* memory, size_t) noexcept {
    give_memory(memory);
}

int main(int argc, char** argv) {
    const LargePriceMap map;
    if (argc == 3 && std::string(argv[1]) == "--write") {
        write_file(argv[2], map.text());
        return 0;
    }
    char path[] = "/tmp/ai_limit_prices.XXXXXX";
    const int file = mkstemp(path);
    if (file < 0 || close(file) != 0) {
        std::perror(path);
        return 1;
    }
    write_file(path, map.text());
    print_reading(path, map.text().size());
    const Reading reading = read_map(path);
    unlink(path);
    if (const char* reason = SingleStep::why_not()) {
        printf("\nInstructions are not counted: this %s.\n", reason);
        return 0;
    }
    print_finding(reading.table, map.names());
    return 0;
}
