// A model of the cost of limit_req's way of deciding, to compare with.
//
// Written from a description of the data structure, not taken from nginx. It keeps what makes
// the cost of ngx_http_limit_req_module with one zone:
//
//   - everything is in one region of memory that forked processes share, keys in cells of a power
//     of two in size, as the slab allocator hands them out (128 bytes for a key of 40);
//   - a red-black tree ordered by the crc32 of the key, then by the key itself, which is stored in
//     and compared with the node; crc32 goes half a byte at a time over 16 entries;
//   - a queue in order of last use: each decision moves its node to the front;
//   - one lock for the whole region, a word that is taken by compare-and-swap, per decision;
//   - excess in thousandths of a request, drained by rate and elapsed time;
//   - a new key first drops up to two of the oldest that have drained, and, when memory is full,
//     the oldest whatever it holds.
//
// Not emulated: evaluating the key, the log, delays, the semaphore behind nginx's lock.

#pragma once

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

class LimitReqEngine {
public:
    static constexpr size_t kKeyBytes = 40;
    static constexpr int64_t kRate = 1'000'000'000;   // thousandths of a request per second
    static constexpr int64_t kBurst = 1'000'000'000;  // thousandths of a request

    // Room for `keys` keys of up to `key_bytes` bytes. Rate and burst are in thousandths, as the
    // directive's numbers are kept; by default nothing is ever refused.
    explicit LimitReqEngine(size_t keys, size_t key_bytes = kKeyBytes, int64_t rate = kRate,
                            int64_t burst = kBurst)
        : cell_bytes_(cell_for(key_bytes)),
          region_bytes_(kHeaderBytes + std::max<size_t>(keys, 1) * cell_bytes_) {
        void* memory =
            mmap(nullptr, region_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            perror("LimitReqEngine: mmap");
            abort();
        }
        region_ = new (memory) Region;
        region_->root = nil();
        region_->queue.next = region_->queue.previous = &region_->queue;
        region_->fresh = static_cast<char*>(memory) + kHeaderBytes;
        region_->end = static_cast<char*>(memory) + region_bytes_;
        region_->rate = rate;
        region_->burst = burst;
    }

    ~LimitReqEngine() { munmap(region_, region_bytes_); }

    LimitReqEngine(const LimitReqEngine&) = delete;
    LimitReqEngine& operator=(const LimitReqEngine&) = delete;

    // True if one request of `key` passes at `now_ms`; it is charged when it does. As limit_req
    // does with keys it cannot keep, a key longer than the cells passes unlimited.
    bool decide(std::string_view key, int64_t now_ms) {
        if (sizeof(Node) + key.size() > cell_bytes_) {
            return true;
        }
        const uint32_t hash = crc32(key);
        const LockGuard guard(region_->lock);

        if (Node* node = find(hash, key)) {
            move_to_front(*node);
            return charge(*node, now_ms);
        }
        expire(now_ms);
        insert(*new_node(hash, key, now_ms));
        return true;
    }

    size_t bytes_per_key() const { return cell_bytes_; }

    // For tests: true if order, colours and queue are right. Takes time in the number of keys.
    bool is_sound() const {
        size_t queued = 0;
        for (const Link* link = region_->queue.next; link != &region_->queue; link = link->next) {
            queued++;
        }
        size_t nodes = 0;
        return !region_->root->red && black_height(region_->root, &nodes) >= 0 && nodes == queued;
    }

private:
    struct Link {
        Link* next;
        Link* previous;
    };

    struct Node {
        uint64_t hash;
        Node* left;
        Node* right;
        Node* parent;
        uint8_t red;
        uint16_t key_bytes;
        Link link;
        int64_t last_ms;
        int64_t excess;  // thousandths of a request
        uint64_t count;  // requests between two zones' decisions; here for its size only

        char* key() { return reinterpret_cast<char*>(this + 1); }
        std::string_view key_view() const {
            return {reinterpret_cast<const char*>(this + 1), key_bytes};
        }
    };
    static_assert(sizeof(Node) == 80, "a 40-byte key must take a cell of 128, as in limit_req");

    struct Region {
        alignas(64) std::atomic<uint32_t> lock{0};
        alignas(64) Node* root = nullptr;
        Node nil = {};
        Link queue = {};
        Node* free = nullptr;  // linked by `left`
        char* fresh = nullptr;
        char* end = nullptr;
        int64_t rate = 0;
        int64_t burst = 0;
    };
    static constexpr size_t kHeaderBytes = 4096;
    static_assert(sizeof(Region) <= kHeaderBytes);

    class LockGuard {
    public:
        explicit LockGuard(std::atomic<uint32_t>& lock) : lock_(lock) {
            for (unsigned spins = 1;; spins = spins < 2048 ? spins * 2 : 1) {
                uint32_t unlocked = 0;
                if (lock_.load(std::memory_order_relaxed) == 0 &&
                    lock_.compare_exchange_strong(unlocked, 1, std::memory_order_acquire)) {
                    return;
                }
                for (unsigned i = 0; i < spins; i++) {
                    pause();
                }
                if (spins == 2048) {
                    sched_yield();
                }
            }
        }
        // Compare-and-swap again: nginx's lock names its holder, and only that one frees it.
        ~LockGuard() {
            uint32_t locked = 1;
            lock_.compare_exchange_strong(locked, 0, std::memory_order_release);
        }
        LockGuard(const LockGuard&) = delete;
        LockGuard& operator=(const LockGuard&) = delete;

    private:
        static void pause() {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        }
        std::atomic<uint32_t>& lock_;
    };

    static size_t cell_for(size_t key_bytes) {
        size_t cell = 128;
        while (cell < sizeof(Node) + key_bytes) {
            cell *= 2;
        }
        return cell;
    }

    // CRC-32 (IEEE 802.3, reflected), low half of each byte first.
    static uint32_t crc32(std::string_view bytes) {
        static constexpr uint32_t kTable[16] = {
            0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
            0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
            0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
        };
        uint32_t crc = 0xffffffff;
        for (const char c : bytes) {
            const auto byte = static_cast<unsigned char>(c);
            crc = kTable[(crc ^ byte) & 0xf] ^ (crc >> 4);
            crc = kTable[(crc ^ (byte >> 4)) & 0xf] ^ (crc >> 4);
        }
        return crc ^ 0xffffffff;
    }

    // Keys byte by byte, then the shorter first.
    static int compare_keys(std::string_view a, std::string_view b) {
        const int order = memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
        return order != 0 ? order : (a.size() > b.size()) - (a.size() < b.size());
    }

    Node* nil() const {
        return &region_->nil;
    }

    // --- decisions

    Node* find(uint32_t hash, std::string_view key) const {
        for (Node* node = region_->root; node != nil();) {
            if (hash != node->hash) {
                node = hash < node->hash ? node->left : node->right;
                continue;
            }
            const int order = compare_keys(key, node->key_view());
            if (order == 0) {
                return node;
            }
            node = order < 0 ? node->left : node->right;
        }
        return nullptr;
    }

    int64_t excess_at(const Node& node, int64_t now_ms) const {
        const int64_t elapsed = std::max<int64_t>(now_ms - node.last_ms, 0);
        return node.excess - region_->rate * elapsed / 1000;
    }

    bool charge(Node& node, int64_t now_ms) {
        const int64_t excess = std::max<int64_t>(excess_at(node, now_ms) + 1000, 0);
        if (excess > region_->burst) {
            return false;
        }
        node.excess = excess;
        node.last_ms = std::max(node.last_ms, now_ms);
        return true;
    }

    // --- memory and queue

    Node* new_node(uint32_t hash, std::string_view key, int64_t now_ms) {
        if (region_->free == nullptr && region_->fresh == region_->end) {
            drop(oldest());
        }
        Node* node = region_->free;
        if (node != nullptr) {
            region_->free = node->left;
        } else {
            node = reinterpret_cast<Node*>(region_->fresh);
            region_->fresh += cell_bytes_;
        }
        *node = Node{};
        node->hash = hash;
        node->key_bytes = static_cast<uint16_t>(key.size());
        memcpy(node->key(), key.data(), key.size());
        node->last_ms = now_ms;
        link_front(*node);
        return node;
    }

    void expire(int64_t now_ms) {
        constexpr int64_t kIdleMs = 60000;
        for (int i = 0; i < 2 && region_->queue.previous != &region_->queue; i++) {
            Node& node = oldest();
            if (now_ms - node.last_ms < kIdleMs || excess_at(node, now_ms) > 0) {
                return;
            }
            drop(node);
        }
    }

    void drop(Node& node) {
        unlink(node);
        erase(&node);
        node.left = region_->free;
        region_->free = &node;
    }

    Node& oldest() const {
        char* link = reinterpret_cast<char*>(region_->queue.previous);
        return *reinterpret_cast<Node*>(link - offsetof(Node, link));
    }

    void link_front(Node& node) {
        Link& queue = region_->queue;
        node.link = {queue.next, &queue};
        queue.next->previous = &node.link;
        queue.next = &node.link;
    }

    static void unlink(Node& node) {
        node.link.previous->next = node.link.next;
        node.link.next->previous = node.link.previous;
    }

    void move_to_front(Node& node) {
        unlink(node);
        link_front(node);
    }

    // --- the red-black tree (Cormen et al., Introduction to Algorithms, chapter 13)

    using Side = Node* Node::*;

    // Puts `by` where `node` hangs.
    void replace(Node* node, Node* by) {
        if (node->parent == nil()) {
            region_->root = by;
        } else if (node == node->parent->left) {
            node->parent->left = by;
        } else {
            node->parent->right = by;
        }
        by->parent = node->parent;
    }

    // Moves `node` down to its `side`; its child on the other side comes up.
    void rotate(Node* node, Side side) {
        const Side other = side == &Node::left ? &Node::right : &Node::left;
        Node* child = node->*other;
        node->*other = child->*side;
        if (child->*side != nil()) {
            (child->*side)->parent = node;
        }
        replace(node, child);
        child->*side = node;
        node->parent = child;
    }

    void insert(Node& added) {
        Node* parent = nil();
        Node** place = &region_->root;
        while (*place != nil()) {
            parent = *place;
            const bool before = added.hash != parent->hash
                                    ? added.hash < parent->hash
                                    : compare_keys(added.key_view(), parent->key_view()) < 0;
            place = before ? &parent->left : &parent->right;
        }
        *place = &added;
        added.parent = parent;
        added.left = added.right = nil();
        added.red = 1;
        balance_inserted(&added);
    }

    void balance_inserted(Node* node) {
        while (node->parent->red) {
            Node* grandparent = node->parent->parent;
            const bool on_left = node->parent == grandparent->left;
            const Side near = on_left ? &Node::left : &Node::right;
            const Side far = on_left ? &Node::right : &Node::left;
            Node* uncle = grandparent->*far;
            if (uncle->red) {
                node->parent->red = uncle->red = 0;
                grandparent->red = 1;
                node = grandparent;
                continue;
            }
            if (node == node->parent->*far) {
                node = node->parent;
                rotate(node, near);
            }
            node->parent->red = 0;
            grandparent->red = 1;
            rotate(grandparent, far);
        }
        region_->root->red = 0;
    }

    void erase(Node* node) {
        uint8_t removed_red = node->red;
        Node* moved = nullptr;
        if (node->left == nil() || node->right == nil()) {
            moved = node->left == nil() ? node->right : node->left;
            replace(node, moved);
        } else {
            Node* next = node->right;
            while (next->left != nil()) {
                next = next->left;
            }
            removed_red = next->red;
            moved = next->right;
            moved->parent = next;
            if (next != node->right) {
                replace(next, moved);
                next->right = node->right;
                next->right->parent = next;
            }
            replace(node, next);
            next->left = node->left;
            next->left->parent = next;
            next->red = node->red;
        }
        if (!removed_red) {
            balance_erased(moved);
        }
    }

    void balance_erased(Node* node) {
        while (node != region_->root && !node->red) {
            const bool on_left = node == node->parent->left;
            const Side near = on_left ? &Node::left : &Node::right;
            const Side far = on_left ? &Node::right : &Node::left;
            Node* sibling = node->parent->*far;
            if (sibling->red) {
                sibling->red = 0;
                node->parent->red = 1;
                rotate(node->parent, near);
                sibling = node->parent->*far;
            }
            if (!(sibling->*near)->red && !(sibling->*far)->red) {
                sibling->red = 1;
                node = node->parent;
                continue;
            }
            if (!(sibling->*far)->red) {
                (sibling->*near)->red = 0;
                sibling->red = 1;
                rotate(sibling, far);
                sibling = node->parent->*far;
            }
            sibling->red = node->parent->red;
            node->parent->red = 0;
            (sibling->*far)->red = 0;
            rotate(node->parent, near);
            node = region_->root;
        }
        node->red = 0;
    }

    // Black nodes on every path below and including `node`, or -1 where a rule is broken.
    int black_height(const Node* node, size_t* nodes) const {
        if (node == nil()) {
            return 0;
        }
        ++*nodes;
        const Node* children[] = {node->left, node->right};
        for (const Node* child : children) {
            if (child == nil()) {
                continue;
            }
            const bool before = child->hash != node->hash
                                    ? child->hash < node->hash
                                    : compare_keys(child->key_view(), node->key_view()) < 0;
            if (child->parent != node || before != (child == node->left) ||
                (node->red && child->red)) {
                return -1;
            }
        }
        const int left = black_height(node->left, nodes);
        const int right = black_height(node->right, nodes);
        return left < 0 || left != right ? -1 : left + !node->red;
    }

    size_t cell_bytes_;
    size_t region_bytes_;
    Region* region_;
};
