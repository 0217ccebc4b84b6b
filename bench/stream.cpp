// A model server on 127.0.0.1 and its clients, in one process: one thread, epoll.
//
// The clients ask a proxy for a streamed answer, the proxy asks this server, and all that comes is
// taken apart and counted. Since both ends are here, the server knows what its client has: one by
// one, a piece of the answer is written only when the piece before has arrived, so the proxy
// handles every piece alone, without anybody waiting for a clock. Else the answer is written as
// fast as the proxy takes it.
//
// The answer is a file of pieces, each behind a line with its size in decimal. One by one, every
// piece is a chunk of its own and the last one needs not arrive as it is; else chunks are large.
// With --without, the proxy leaves a text out of each piece. With --keys, one client sends the keys
// in turn, as if it were several.
//
// Prints one line: streams=N bytes=N seconds=S, the bytes being those of the bodies that the
// clients got. Exits with 1 when a connection fails or an answer is not a whole one with status
// 200.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kReadBytes = 256 * 1024;
constexpr size_t kLargeChunk = 16 * 1024;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

struct Options {
    uint16_t port = 0;    // of the proxy
    uint16_t listen = 0;  // where it finds the server
    const char* file = nullptr;
    const char* encoding = nullptr;
    const char* path = "/v1/chat/completions";
    std::string_view without;  // a text that does not arrive
    unsigned connections = 1;
    uint64_t streams = 0;
    uint64_t keys = 1;  // of each connection
    bool one_by_one = false;
};

[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...) {
    va_list args;
    va_start(args, format);
    fputs("stream: ", stderr);
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

bool would_block() {
    return errno == EAGAIN || errno == EINTR;
}

// An answer as the server sends it, head and chunks, and where it may pause.
class Answer {
public:
    explicit Answer(const Options& options) {
        wire_ =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
        if (options.encoding != nullptr) {
            wire_ += std::string("Content-Encoding: ") + options.encoding + "\r\n";
        }
        // Model servers that want their events to arrive one by one do the same.
        wire_ += options.one_by_one ? "X-Accel-Buffering: no\r\n\r\n" : "\r\n";
        const std::vector<std::string> pieces = read_pieces(options.file);
        if (options.one_by_one) {
            uint64_t left_out = 0;
            for (const std::string& piece : pieces) {
                add_chunk(piece);
                const bool is_shorter =
                    !options.without.empty() && piece.find(options.without) != piece.npos;
                left_out += is_shorter ? options.without.size() : 0;
                stops_.push_back({wire_.size(), body_ - left_out});
            }
        } else {
            add_large_chunks(pieces);
        }
        wire_ += "0\r\n\r\n";
        if (stops_.empty()) {
            stops_.push_back({});
        }
        // The last bytes are sent in one go, as if they were one piece.
        stops_.back() = {wire_.size(), UINT64_MAX};
    }

    struct Stop {
        size_t sent;    // bytes on the wire
        uint64_t body;  // bytes of the body that the client has to have before more is sent
    };

    std::string_view wire() const { return wire_; }
    const Stop& stop(size_t i) const { return stops_[i]; }
    size_t stops() const { return stops_.size(); }

private:
    static std::vector<std::string> read_pieces(const char* path) {
        FILE* file = fopen(path, "rb");
        if (file == nullptr) {
            fail("%s: %s", path, strerror(errno));
        }
        std::vector<std::string> pieces;
        unsigned long size = 0;
        while (fscanf(file, "%lu", &size) == 1 && fgetc(file) == '\n') {
            std::string piece(size, '\0');
            if (fread(piece.data(), 1, size, file) != size) {
                fail("%s is cut short", path);
            }
            pieces.push_back(std::move(piece));
        }
        fclose(file);
        return pieces;
    }

    void add_chunk(std::string_view piece) {
        char size[32];
        snprintf(size, sizeof size, "%zx\r\n", piece.size());
        wire_ += size;
        wire_ += piece;
        wire_ += "\r\n";
        body_ += piece.size();
    }

    void add_large_chunks(const std::vector<std::string>& pieces) {
        std::string all;
        for (const std::string& piece : pieces) {
            all += piece;
        }
        for (size_t at = 0; at < all.size(); at += kLargeChunk) {
            add_chunk(std::string_view(all).substr(at, kLargeChunk));
        }
    }

    std::string wire_;
    std::vector<Stop> stops_;
    uint64_t body_ = 0;
};

// Takes an answer apart as it comes: its head, then chunks.
class AnswerReader {
public:
    // Returns the bytes of the body in `text`; `ended` says that it was the last.
    uint64_t read(std::string_view text) {
        uint64_t body = 0;
        while (!text.empty()) {
            switch (at_) {
                case At::kHead:
                    read_head(&text);
                    break;
                case At::kSize:
                    read_size(&text);
                    break;
                case At::kBody: {
                    const size_t n = std::min(left_, text.size());
                    body += n;
                    skip(n, &text, At::kBehindBody, 2);
                    break;
                }
                case At::kBehindBody:
                    skip(std::min(left_, text.size()), &text, At::kSize, 0);
                    break;
                case At::kEnd:
                    skip(std::min(left_, text.size()), &text, At::kHead, 0);
                    if (left_ == 0 && !text.empty()) {
                        fail("more than an answer");
                    }
                    break;
            }
        }
        return body;
    }

    // Once for each answer.
    bool take_end() {
        const bool ended = ended_ && at_ == At::kHead;
        ended_ = ended_ && !ended;
        return ended;
    }

private:
    enum class At { kHead, kSize, kBody, kBehindBody, kEnd };

    void skip(size_t n, std::string_view* text, At next, size_t left) {
        text->remove_prefix(n);
        left_ -= n;
        if (left_ == 0) {
            at_ = next;
            left_ = left;
        }
    }

    void read_head(std::string_view* text) {
        const size_t before = line_.size();
        line_ += *text;
        const size_t end = line_.find(kHeadEnd);
        if (end == line_.npos) {
            *text = {};
            return;
        }
        if (line_.compare(0, 12, "HTTP/1.1 200") != 0) {
            fail("not an answer with status 200: %.*s",
                 static_cast<int>(std::min(end, size_t{200})), line_.c_str());
        }
        if (line_.find("\r\nTransfer-Encoding: chunked\r\n") == line_.npos) {
            fail("an answer that is not chunked");
        }
        text->remove_prefix(end + kHeadEnd.size() - before);
        line_.clear();
        at_ = At::kSize;
    }

    void read_size(std::string_view* text) {
        const size_t end = text->find('\n');
        line_ += text->substr(0, end);
        text->remove_prefix(end == text->npos ? text->size() : end + 1);
        if (end == text->npos) {
            return;
        }
        left_ = strtoul(line_.c_str(), nullptr, 16);
        at_ = At::kBody;
        line_.clear();
        if (left_ == 0) {
            at_ = At::kEnd;
            left_ = 2;
            ended_ = true;
        }
    }

    At at_ = At::kHead;
    size_t left_ = 0;
    bool ended_ = false;
    std::string line_;
};

// The object that an event of epoll belongs to.
struct Watched {
    enum Kind { kListener, kClient, kServer } kind;
    int fd;
    size_t index = 0;  // of the client
};

struct Client {
    Watched watched{Watched::kClient, -1};
    AnswerReader reader;
    uint64_t body = 0;  // bytes of its answer so far

    // the server's side
    Watched* server = nullptr;
    size_t sent = 0;
    size_t stop = 0;
};

class Streams {
public:
    explicit Streams(const Options& options)
        : options_(options), answer_(options), clients_(options.connections), in_(kReadBytes) {}

    void run() {
        epoll_ = epoll_create1(0);
        listener_.fd = listen_for_proxy();
        watch(&listener_, EPOLLIN);
        for (size_t i = 0; i < clients_.size(); i++) {
            clients_[i].watched.fd = connect_to_proxy();
            clients_[i].watched.index = i;
            watch(&clients_[i].watched, EPOLLIN);
        }
        const double start = monotonic_seconds();
        for (Client& client : clients_) {
            ask(client);
        }
        while (done_ < started_) {
            turn();
        }
        printf("streams=%llu bytes=%llu seconds=%.6f\n", static_cast<unsigned long long>(done_),
               static_cast<unsigned long long>(bytes_), monotonic_seconds() - start);
    }

private:
    static int make_socket() {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return fd;
    }

    static sockaddr_in local(uint16_t port) {
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
    }

    int listen_for_proxy() const {
        const int fd = make_socket();
        const sockaddr_in address = local(options_.listen);
        if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            listen(fd, 1024) != 0) {
            fail("port %u: %s", options_.listen, strerror(errno));
        }
        return fd;
    }

    int connect_to_proxy() const {
        const int fd = make_socket();
        const sockaddr_in address = local(options_.port);
        if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            fail("connect to port %u: %s", options_.port, strerror(errno));
        }
        return fd;
    }

    void watch(Watched* watched, uint32_t events) const {
        epoll_event event = {};
        event.events = events;
        event.data.ptr = watched;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, watched->fd, &event) != 0) {
            fail("epoll_ctl: %s", strerror(errno));
        }
    }

    void turn() {
        epoll_event events[256];
        const int n = epoll_wait(epoll_, events, 256, 10000);
        if (n == 0) {
            fail("nothing has come for ten seconds");
        }
        for (int i = 0; i < n; i++) {
            Watched* watched = static_cast<Watched*>(events[i].data.ptr);
            if (watched->kind == Watched::kListener) {
                accept_proxy();
            } else if (watched->kind == Watched::kClient) {
                receive(clients_[watched->index]);
            } else if (watched->fd >= 0) {
                serve(watched);
            }
        }
    }

    // A client's next request. The server finds the client again by its number.
    void ask(Client& client) {
        constexpr std::string_view kBody =
            R"({"model":"gpt-4o-mini","stream":true,"max_completion_tokens":4000,"messages":[)"
            R"({"role":"system","content":"You are a helpful assistant."},)"
            R"({"role":"user","content":"Tell me of the history of lighthouses, and at length."}]})";
        if (started_ == options_.streams) {
            return;
        }
        const uint64_t key = started_ % options_.keys * clients_.size() + client.watched.index;
        char head[256];
        const int n = snprintf(head, sizeof head,
                               "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               "X-Api-Key: %040llu\r\n"
                               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                               options_.path, static_cast<unsigned long long>(key), kBody.size());
        const std::string request = std::string(head, static_cast<size_t>(n)) + std::string(kBody);
        if (send(client.watched.fd, request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size())) {
            fail("send: %s", strerror(errno));
        }
        started_++;
        client.body = 0;
    }

    void accept_proxy() {
        const int fd = accept4(listener_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            fail("accept: %s", strerror(errno));
        }
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        servers_.push_back(Watched{Watched::kServer, fd, SIZE_MAX});
        watch(&servers_.back(), EPOLLIN | EPOLLOUT | EPOLLET);
    }

    // The request has come, or there is room for more of the answer.
    void serve(Watched* server) {
        if (server->index == SIZE_MAX && !read_request(server)) {
            return;
        }
        send_more(clients_[server->index]);
    }

    // The request is small: if not all of it has come, it is looked at again later.
    bool read_request(Watched* server) {
        constexpr std::string_view kKey = "\r\nX-Api-Key: ";
        char text[4096];
        const ssize_t n = recv(server->fd, text, sizeof text, MSG_PEEK);
        if (n < 0 && would_block()) {
            return false;
        }
        if (n <= 0) {
            fail("the proxy closed a connection without a request");
        }
        const std::string_view request(text, static_cast<size_t>(n));
        const size_t key = request.find(kKey);
        const size_t head = request.find(kHeadEnd);
        if (head == request.npos || request.back() != '}') {
            return false;
        }
        if (key == request.npos) {
            fail("a request without a key");
        }
        const size_t index = strtoul(text + key + kKey.size(), nullptr, 10) % clients_.size();
        if (clients_[index].server != nullptr) {
            fail("a request that no client of ours has made");
        }
        (void)!recv(server->fd, text, static_cast<size_t>(n), 0);
        server->index = index;
        clients_[index].server = server;
        clients_[index].sent = 0;
        clients_[index].stop = 0;
        return true;
    }

    // Sends up to the next stop, as far as the proxy takes it.
    void send_more(Client& client) {
        const size_t end = answer_.stop(client.stop).sent;
        while (client.sent < end) {
            const ssize_t n = send(client.server->fd, answer_.wire().data() + client.sent,
                                   end - client.sent, MSG_NOSIGNAL);
            if (n < 0 && would_block()) {
                return;
            }
            if (n < 0) {
                fail("send: %s", strerror(errno));
            }
            client.sent += static_cast<size_t>(n);
        }
    }

    void receive(Client& client) {
        const ssize_t n = recv(client.watched.fd, in_.data(), in_.size(), MSG_DONTWAIT);
        if (n < 0 && would_block()) {
            return;
        }
        if (n <= 0) {
            fail("%s", n == 0 ? "the proxy closed a connection" : strerror(errno));
        }
        client.body += client.reader.read({in_.data(), static_cast<size_t>(n)});
        if (client.reader.take_end()) {
            end(client);
        } else if (client.body >= answer_.stop(client.stop).body) {
            client.stop++;
            send_more(client);
        }
    }

    void end(Client& client) {
        if (client.server == nullptr || client.sent != answer_.wire().size()) {
            fail("an answer ended before it was sent");
        }
        // At once, so that no port is left to wait for its peer.
        const linger none = {1, 0};
        setsockopt(client.server->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        close(client.server->fd);
        client.server->fd = -1;
        client.server = nullptr;
        done_++;
        bytes_ += client.body;
        ask(client);
    }

    const Options& options_;
    const Answer answer_;
    std::vector<Client> clients_;
    std::deque<Watched> servers_;  // of all connections so far; their places stay
    std::vector<char> in_;
    Watched listener_{Watched::kListener, -1};
    int epoll_ = -1;
    uint64_t started_ = 0;
    uint64_t done_ = 0;
    uint64_t bytes_ = 0;
};

constexpr const char* kUsage =
    "usage: stream --port P --listen P --answer FILE --streams N [--connections C]\n"
    "              [--path PATH] [--keys N] [--encoding NAME] [--without TEXT]\n"
    "              [--one-by-one]";

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
        if (name == "--one-by-one") {
            options.one_by_one = true;
            continue;
        }
        if (++i == argc) {
            fail("%s", kUsage);
        }
        const auto number = [&](uint64_t max) { return whole_number(name.c_str(), argv[i], max); };
        if (name == "--port") {
            options.port = static_cast<uint16_t>(number(65535));
        } else if (name == "--listen") {
            options.listen = static_cast<uint16_t>(number(65535));
        } else if (name == "--answer") {
            options.file = argv[i];
        } else if (name == "--path") {
            options.path = argv[i];
        } else if (name == "--encoding") {
            options.encoding = argv[i];
        } else if (name == "--without") {
            options.without = argv[i];
        } else if (name == "--connections") {
            options.connections = static_cast<unsigned>(number(500));
        } else if (name == "--keys") {
            options.keys = number(1'000'000);
        } else if (name == "--streams") {
            options.streams = number(UINT64_MAX);
        } else {
            fail("%s", kUsage);
        }
    }
    if (options.port == 0 || options.listen == 0 || options.file == nullptr ||
        options.streams == 0) {
        fail("%s", kUsage);
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = read_options(argc, argv);
    Streams(options).run();
}
