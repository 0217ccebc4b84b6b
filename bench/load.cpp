// A small HTTP/1.1 load generator for a server on 127.0.0.1: one thread, epoll, keep-alive.
//
// It sends GET / with a 40-byte key in X-Api-Key, drawn from a fixed set by a seeded generator,
// so two runs with the same arguments send the same keys in the same order. A load generator that
// is as busy as the server hides what it should show: keys are computed instead of stored (no
// cache misses for a million of them), and of an answer only status, head and length are read.
//
// Prints one line: requests=N seconds=S status_200=N [status_429=N ...]; with --latency also
// p50=US p90=US, the microseconds from a request, or those sent together, to its answer.
// Exits with 1 when a connection fails or an answer cannot be understood.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kKeyBytes = 40;
constexpr size_t kReadBytes = 64 * 1024;
constexpr unsigned kMaxDepth = 256;

struct Options {
    uint16_t port = 0;
    unsigned connections = 1;
    uint64_t requests = 0;  // 0: until `seconds` are over
    double seconds = 0;
    uint64_t keys = 1;
    unsigned depth = 1;  // requests sent together on one connection
    uint64_t seed = 1;
    bool in_order = false;  // every key in turn instead of a random one
    bool latency = false;
};

[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

double monotonic_seconds() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) * 1e-9;
}

// The finalizer of splitmix64: a bijection, so different numbers give different keys.
uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

class KeySource {
public:
    explicit KeySource(const Options& options)
        : keys_(options.keys), state_(mix(options.seed)), in_order_(options.in_order) {
        for (unsigned i = 0; i < 256; i++) {
            hex_[i] = {"0123456789abcdef"[i >> 4], "0123456789abcdef"[i & 15]};
        }
    }

    // Writes the kKeyBytes of the next key.
    void write_next(char* out) {
        uint64_t word = mix(next_number());
        write_hex(out, word, 8);
        word = mix(word);
        write_hex(out + 16, word, 8);
        word = mix(word);
        write_hex(out + 32, word, 4);
    }

private:
    uint64_t next_number() {
        if (in_order_) {
            return next_++ % keys_;
        }
        state_ += 0x9e3779b97f4a7c15u;
        return static_cast<uint64_t>((static_cast<unsigned __int128>(mix(state_)) * keys_) >> 64);
    }

    void write_hex(char* out, uint64_t word, unsigned bytes) {
        for (unsigned i = 0; i < bytes; i++, word >>= 8) {
            memcpy(out + 2 * i, hex_[word & 0xff].data(), 2);
        }
    }

    uint64_t keys_;
    uint64_t state_;
    uint64_t next_ = 0;
    bool in_order_;
    std::array<std::array<char, 2>, 256> hex_;
};

// The end of the first complete answer in `data`, and its status.
struct Answer {
    size_t bytes = 0;  // 0: not complete yet
    unsigned status = 0;
};

Answer read_answer(std::string_view data) {
    constexpr std::string_view kHeadEnd = "\r\n\r\n";
    constexpr std::string_view kLength = "\r\nContent-Length: ";

    const void* end = memmem(data.data(), data.size(), kHeadEnd.data(), kHeadEnd.size());
    if (end == nullptr) {
        return {};
    }
    const size_t head = static_cast<size_t>(static_cast<const char*>(end) - data.data()) + 4;
    if (data.compare(0, 9, "HTTP/1.1 ") != 0) {
        fail("not an HTTP/1.1 answer: %.*s", 40, data.data());
    }
    const unsigned status = static_cast<unsigned>(atoi(data.data() + 9));
    const void* length = memmem(data.data(), head, kLength.data(), kLength.size());
    if (length == nullptr || status < 100 || status > 999) {
        fail("an answer without Content-Length: %.*s", static_cast<int>(head), data.data());
    }
    const size_t body = strtoul(static_cast<const char*>(length) + kLength.size(), nullptr, 10);
    if (data.size() < head + body) {
        return {};
    }
    return {head + body, status};
}

struct Connection {
    int fd = -1;
    unsigned outstanding = 0;
    size_t received = 0;  // bytes of incomplete answers in `in`
    std::string out;      // what is to be sent, from `sent` on
    size_t sent = 0;
    double sent_at = 0;  // where latency is measured
    std::vector<char> in = std::vector<char>(kReadBytes);
};

class Load {
public:
    explicit Load(const Options& options)
        : options_(options), keys_(options), connections_(options.connections) {
        request_ = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: ";
        key_at_ = request_.size();
        request_ += std::string(kKeyBytes, '-') + "\r\n\r\n";
    }

    void run() {
        epoll_ = epoll_create1(0);
        for (Connection& connection : connections_) {
            open(connection);
        }
        start_ = monotonic_seconds();
        for (Connection& connection : connections_) {
            send_batch(connection);
        }
        while (outstanding_ > 0) {
            turn();
        }
        report(monotonic_seconds() - start_);
    }

private:
    void open(Connection& connection) {
        connection.fd = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_port = htons(options_.port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const auto* name = reinterpret_cast<const sockaddr*>(&address);
        if (connect(connection.fd, name, sizeof(address)) != 0) {
            fail("connect to port %u: %s", unsigned{options_.port}, strerror(errno));
        }
        const int on = 1;
        setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        fcntl(connection.fd, F_SETFL, fcntl(connection.fd, F_GETFL) | O_NONBLOCK);

        epoll_event event = {};
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
        event.data.ptr = &connection;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) {
            fail("epoll_ctl: %s", strerror(errno));
        }
    }

    void turn() {
        std::array<epoll_event, 256> events;
        const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10000);
        if (n == 0) {
            fail("no answer for 10 seconds");
        }
        if (options_.requests == 0 && monotonic_seconds() - start_ >= options_.seconds) {
            time_is_over_ = true;
        }
        for (int i = 0; i < n; i++) {
            auto& connection = *static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
            flush(connection);
            if (events[static_cast<size_t>(i)].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                receive(connection);
            }
        }
    }

    // Sends the next `depth` requests in one piece; what was sent is always waited for, so that
    // the server has served exactly what is reported.
    void send_batch(Connection& connection) {
        connection.out.clear();
        connection.sent = 0;
        while (connection.outstanding < options_.depth && !time_is_over_ &&
               (options_.requests == 0 || started_ < options_.requests)) {
            keys_.write_next(&request_[key_at_]);
            connection.out += request_;
            connection.outstanding++;
            outstanding_++;
            started_++;
        }
        if (options_.latency) {
            connection.sent_at = monotonic_seconds();
        }
        flush(connection);
    }

    void flush(Connection& connection) {
        while (connection.sent < connection.out.size()) {
            const ssize_t n = send(connection.fd, connection.out.data() + connection.sent,
                                   connection.out.size() - connection.sent, MSG_NOSIGNAL);
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                return;
            }
            if (n < 0) {
                fail("send: %s", strerror(errno));
            }
            connection.sent += static_cast<size_t>(n);
        }
    }

    void receive(Connection& connection) {
        for (;;) {
            const size_t space = connection.in.size() - connection.received;
            const ssize_t n =
                recv(connection.fd, connection.in.data() + connection.received, space, 0);
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                return;
            }
            if (n <= 0) {
                fail("%s", n == 0 ? "the server closed a connection" : strerror(errno));
            }
            connection.received += static_cast<size_t>(n);
            read_answers(connection);
            // A short read emptied the socket: the edge will come again, no need to ask.
            if (static_cast<size_t>(n) < space) {
                return;
            }
        }
    }

    void read_answers(Connection& connection) {
        std::string_view rest(connection.in.data(), connection.received);
        while (!rest.empty()) {
            const Answer answer = read_answer(rest);
            if (answer.bytes == 0) {
                break;
            }
            if (connection.outstanding == 0) {
                fail("an answer too many");
            }
            rest.remove_prefix(answer.bytes);
            by_status_[answer.status]++;
            done_++;
            connection.outstanding--;
            outstanding_--;
            if (options_.latency) {
                latencies_.push_back((monotonic_seconds() - connection.sent_at) * 1e6);
            }
        }
        if (rest.size() == connection.in.size()) {
            fail("an answer longer than %zu bytes", connection.in.size());
        }
        memmove(connection.in.data(), rest.data(), rest.size());
        connection.received = rest.size();
        if (connection.outstanding == 0) {
            send_batch(connection);
        }
    }

    double percentile(size_t percent) {
        const auto at =
            latencies_.begin() + static_cast<ptrdiff_t>((latencies_.size() - 1) * percent / 100);
        std::nth_element(latencies_.begin(), at, latencies_.end());
        return *at;
    }

    void report(double seconds) {
        printf("requests=%llu seconds=%.6f", static_cast<unsigned long long>(done_), seconds);
        for (size_t status = 0; status < by_status_.size(); status++) {
            if (by_status_[status] != 0) {
                printf(" status_%zu=%llu", status,
                       static_cast<unsigned long long>(by_status_[status]));
            }
        }
        if (!latencies_.empty()) {
            printf(" p50=%.3f p90=%.3f p99=%.3f", percentile(50), percentile(90), percentile(99));
        }
        printf("\n");
    }

    const Options& options_;
    KeySource keys_;
    std::vector<Connection> connections_;
    std::string request_;
    size_t key_at_ = 0;
    int epoll_ = -1;
    double start_ = 0;
    bool time_is_over_ = false;
    uint64_t started_ = 0;
    uint64_t outstanding_ = 0;
    uint64_t done_ = 0;
    std::array<uint64_t, 1000> by_status_ = {};
    std::vector<double> latencies_;
};

constexpr const char* kUsage =
    "usage: load --port P (--requests N | --seconds S) [--connections C] [--keys K]\n"
    "            [--pipeline D] [--seed X] [--in-order] [--latency]";

uint64_t whole_number(const char* name, const char* text, uint64_t max) {
    char* end = nullptr;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value == 0 || value > max) {
        fail("bad value for %s: %s", name, text);
    }
    return value;
}

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--in-order" || name == "--latency") {
            (name == "--latency" ? options.latency : options.in_order) = true;
            continue;
        }
        if (++i == argc) {
            fail("%s", kUsage);
        }
        const auto number = [&](uint64_t max) { return whole_number(name.c_str(), argv[i], max); };
        if (name == "--port") {
            options.port = static_cast<uint16_t>(number(65535));
        } else if (name == "--connections") {
            options.connections = static_cast<unsigned>(number(10000));
        } else if (name == "--requests") {
            options.requests = number(UINT64_MAX);
        } else if (name == "--seconds") {
            options.seconds = atof(argv[i]);
        } else if (name == "--keys") {
            options.keys = number(UINT64_MAX);
        } else if (name == "--pipeline") {
            options.depth = static_cast<unsigned>(number(kMaxDepth));
        } else if (name == "--seed") {
            options.seed = number(UINT64_MAX);
        } else {
            fail("%s", kUsage);
        }
    }
    if (options.port == 0 || (options.requests == 0) == !(options.seconds > 0)) {
        fail("%s", kUsage);
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = read_options(argc, argv);
    Load(options).run();
}
