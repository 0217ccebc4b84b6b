#pragma once

// Runs a piece of code one machine instruction at a time and looks at memory after each of them:
// this is the memory that a kill at that instant would leave behind. On x86-64 the process steps
// itself with the processor's trap flag. Elsewhere a child that shares its memory is stepped by
// ptrace.

#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace ai_limit {

class SingleStep {
public:
    using Work = std::function<void()>;

    /** Returns why this machine cannot run code in single steps, or nullptr if it can. */
    static const char* why_not() {
#if defined(__x86_64__)
        return nullptr;
#else
#if defined(__aarch64__)
        if ((getauxval(AT_HWCAP) & HWCAP_ATOMICS) == 0) {
            // A step between a load-exclusive and its store-exclusive makes the store fail each
            // time.
            return "needs a processor with atomic instructions (LSE, ARMv8.1)";
        }
#endif
        return can_trace() ? nullptr : "needs ptrace, which is refused here (qemu-user has none)";
#endif
    }

    /**
     * Returns the number of instructions. `see` must not do what `action` may be in the middle of,
     * such as asking for memory.
     */
    static uint64_t run(const Work& action, const Work& see) {
#if defined(__x86_64__)
        return trap(action, see);
#else
        return trace(action, see);
#endif
    }

#if defined(__x86_64__)
    static uint64_t trap(const Work& action, const Work& see) {
        see_ = &see;
        steps_ = 0;
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
        return steps_;
    }
#endif

    /** Returns 0 if such a child or ptrace is refused; `action` may have run or not. */
    static uint64_t trace(const Work& action, const Work& see) {
        constexpr size_t kStackSize = 1 << 20;
        void* stack = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        Child child = {&action, false, false};
        const pid_t pid =
            clone(run_child, static_cast<char*>(stack) + kStackSize, CLONE_VM | SIGCHLD, &child);
        uint64_t steps = 0;
        int status = 0;
        if (pid > 0) {
            waitpid(pid, &status, 0);
        }
        while (WIFSTOPPED(status)) {
            if (child.is_running && !child.has_ended) {
                ++steps;
                see();
            }
            ptrace(child.has_ended ? PTRACE_CONT : PTRACE_SINGLESTEP, pid, nullptr, nullptr);
            waitpid(pid, &status, 0);
        }
        munmap(stack, kStackSize);
        return steps;
    }

    /** True if this process may step a child of its own. */
    static bool can_trace() {
        return trace([] {}, [] {}) != 0;
    }

private:
    struct Child {
        const Work* action;
        volatile bool is_running;
        volatile bool has_ended;
    };

    /** Uses system calls alone where the C library would ask the parent's thread who it is. */
    static int run_child(void* data) {
        Child* child = static_cast<Child*>(data);
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) {
            syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
        }
        child->is_running = true;
        (*child->action)();
        child->has_ended = true;
        syscall(SYS_exit, 0);
        return 0;
    }

    static void on_trap(int, siginfo_t*, void*) {
        ++steps_;
        (*see_)();
    }

    static inline const Work* see_ = nullptr;
    static inline uint64_t steps_ = 0;
};

}  // namespace ai_limit
