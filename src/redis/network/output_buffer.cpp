#include "redis/network/output_buffer.h"

#include <cstdlib>
#include <cstring>

namespace ai_limit {

OutputBuffer::~OutputBuffer() {
    std::free(bytes_);
}

bool OutputBuffer::add(std::string_view bytes) {
    if (begin_ == end_) {
        clear();
    }
    if (begin_ > end_ / 2) {
        std::memmove(bytes_, bytes_ + begin_, size());
        end_ = size();
        begin_ = 0;
    }
    if (bytes.size() > capacity_ - end_) {
        size_t capacity = ngx_max(2 * capacity_, end_ + bytes.size());
        void* more = std::realloc(bytes_, capacity);
        if (more == nullptr) {
            return false;
        }
        bytes_ = static_cast<char*>(more);
        capacity_ = capacity;
    }
    std::memcpy(bytes_ + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
    return true;
}

ngx_int_t OutputBuffer::send_to(RedisSocket* socket) {
    while (size() != 0) {
        ssize_t n = socket->send(view());
        if (n == NGX_ERROR || n == NGX_AGAIN) {
            return n;
        }
        begin_ += static_cast<size_t>(n);
    }
    return NGX_OK;
}

void OutputBuffer::send_some_to(RedisSocket* socket) {
    ssize_t n = socket->send(view());
    if (n > 0) {
        begin_ += static_cast<size_t>(n);
    }
}

}  // namespace ai_limit
