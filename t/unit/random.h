#pragma once

// Random numbers for the property tests: the same on every machine, one sequence for each seed.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace ai_limit {

class Random {
public:
    explicit Random(uint64_t seed) : bits_(seed) {}

    /** Returns a number from 0 to n - 1, n > 0. */
    uint64_t below(uint64_t n) { return bits_() % n; }

    /** Returns a number from `low` to `high`, both included. */
    int64_t between(int64_t low, int64_t high) {
        return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
    }

    /** Returns a number from 1 to `high`, each order of magnitude about as often as any other. */
    uint64_t scaled(uint64_t high) {
        const unsigned most = 64 - static_cast<unsigned>(__builtin_clzll(high));
        const uint64_t value = bits_() >> (64 - (1 + below(most)));
        return value == 0 ? 1 : value < high ? value : high;
    }

    /** True once in n times. */
    bool one_in(uint64_t n) { return below(n) == 0; }

    template <typename T, size_t n>
    const T& one_of(const T (&values)[n]) {
        return values[below(n)];
    }

private:
    std::mt19937_64 bits_;
};

}  // namespace ai_limit
