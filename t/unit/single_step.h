#pragma once

// Runs a piece of code one machine instruction at a time and looks at it after each: whatever a
// kill at that instant would leave behind is then what memory holds. The processor's trap flag does
// it, in the process itself.

#include <csignal>
#include <cstdint>
#include <functional>

#if defined(__x86_64__) && defined(__linux__)
#include <ucontext.h>
#endif

namespace ai_limit {

class SingleStep {
public:
    /** `see` must not do what `action` may be in the middle of, such as asking for memory. */
    static uint64_t run(const std::function<void()>& action, const std::function<void()>& see) {
        see_ = &see;
        steps_ = 0;
#if defined(__x86_64__) && defined(__linux__)
        struct sigaction trap = {};
        struct sigaction before = {};
        trap.sa_sigaction = on_trap;
        trap.sa_flags = SA_SIGINFO;
        sigaction(SIGTRAP, &trap, &before);
        // Below the red zone, where the compiler may keep what it does not push.
        asm volatile(
            "lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                : "memory", "cc");
        action();
        asm volatile(
            "lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                : "memory", "cc");
        sigaction(SIGTRAP, &before, nullptr);
#else
        action();
#endif
        return steps_;
    }

private:
    static void on_trap(int, siginfo_t*, void*) {
        ++steps_;
        (*see_)();
    }

    static inline const std::function<void()>* see_ = nullptr;
    static inline uint64_t steps_ = 0;
};

}  // namespace ai_limit
