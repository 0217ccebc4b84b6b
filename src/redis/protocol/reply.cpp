#include "redis/protocol/reply.h"

#include <hiredis/hiredis.h>
#include <hiredis/read.h>

#include <cstring>

namespace ai_limit {

#if HIREDIS_MAJOR >= 1
using ElementCount = size_t;
#else
using ElementCount = int;
#endif

/**
 * The functions that hiredis's reader calls for each part of a reply; a nullptr makes it give up.
 */
struct ReplyBuilder {
    static void* string(const redisReadTask* task, char* text, size_t size) {
        Reply* reply = begin(task);
        if (task->parent == nullptr) {
            reply->kind_ = task->type == REDIS_REPLY_ERROR    ? ReplyKind::kError
                           : task->type == REDIS_REPLY_STATUS ? ReplyKind::kStatus
                                                              : ReplyKind::kText;
        }
        bool line = task->parent != nullptr;
        if (size + line > Reply::kMaxText - reply->text_size_) {
            return nullptr;
        }
        std::memcpy(reply->text_ + reply->text_size_, text, size);
        reply->text_size_ += size;
        if (line) {
            reply->text_[reply->text_size_++] = '\n';
        }
        return reply;
    }

    static void* number(const redisReadTask* task, long long value) {
        Reply* reply = begin(task);
        if (task->parent == nullptr) {
            reply->kind_ = ReplyKind::kNumber;
        }
        if (reply->number_count_ == Reply::kMaxNumbers) {
            return nullptr;
        }
        reply->numbers_[reply->number_count_++] = value;
        return reply;
    }

    static void* array(const redisReadTask* task, ElementCount elements) {
        Reply* reply = begin(task);
        if (task->parent == nullptr) {
            reply->kind_ = ReplyKind::kArray;
        }
        bool fits = static_cast<size_t>(elements) <= Reply::kMaxNumbers;
        return fits && reply->parts_ <= Reply::kMaxParts ? reply : nullptr;
    }

    static void* null(const redisReadTask* task) {
        Reply* reply = begin(task);
        if (task->parent == nullptr) {
            reply->kind_ = ReplyKind::kNull;
        }
        return reply->parts_ <= Reply::kMaxParts ? reply : nullptr;
    }

    static void free(void*) {}

    /** Nothing is known of a type that none of these is called for. */
    static void clear(Reply* reply) {
        reply->kind_ = ReplyKind::kNone;
        reply->number_count_ = 0;
        reply->text_size_ = 0;
        reply->parts_ = 0;
    }

private:
    static Reply* begin(const redisReadTask* task) {
        Reply* reply = static_cast<Reply*>(task->privdata);
        ++reply->parts_;
        return reply;
    }
};

namespace {

redisReplyObjectFunctions make_functions() {
    redisReplyObjectFunctions functions{};
    functions.createString = ReplyBuilder::string;
    functions.createArray = ReplyBuilder::array;
    functions.createInteger = ReplyBuilder::number;
    functions.createNil = ReplyBuilder::null;
    functions.freeObject = ReplyBuilder::free;
    return functions;
}

// More than the largest text, with what an array adds to its elements.
constexpr size_t kMaxPending = Reply::kMaxText + 16 * 1024;

}  // namespace

bool Reply::is_error(std::string_view kind) const {
    return kind_ == ReplyKind::kError && text().substr(0, kind.size()) == kind &&
           (text_size_ == kind.size() || text_[kind.size()] == ' ');
}

ReplyReader::~ReplyReader() {
    if (reader_ != nullptr) {
        redisReaderFree(reader_);
    }
}

bool ReplyReader::restart() {
    static redisReplyObjectFunctions functions = make_functions();
    if (reader_ != nullptr) {
        redisReaderFree(reader_);
    }
    reader_ = redisReaderCreateWithFunctions(&functions);
    failed_ = reader_ == nullptr;
    if (reader_ != nullptr) {
        reader_->privdata = &reply_;
        ReplyBuilder::clear(&reply_);
    }
    return !failed_;
}

bool ReplyReader::feed(std::string_view bytes) {
    failed_ |= redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK;
    return !failed_;
}

const Reply* ReplyReader::next() {
    // The reply of the last call has been used. An incomplete one keeps its parts.
    if (reader_->ridx == -1) {
        ReplyBuilder::clear(&reply_);
    }
    void* root = nullptr;
    if (failed_ || redisReaderGetReply(reader_, &root) != REDIS_OK) {
        failed_ = true;
        return nullptr;
    }
    if (root == nullptr) {
        failed_ = reader_->len - reader_->pos > kMaxPending;
        return nullptr;
    }
    return &reply_;
}

}  // namespace ai_limit
