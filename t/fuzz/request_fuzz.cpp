// Reads a request from arbitrary bytes in any encoding. The result is the same however the body is
// cut. The edit that asks for the usage makes a body that needs no edit and asks for the same
// otherwise. The edits that limit the output make a body that is limited.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "core/edits/output_limits.h"
#include "core/json/text_decoder.h"
#include "core/requests/request_info.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/** Takes pieces from the front of a text; each lies in memory of its own, so that a sanitizer sees
 * a step past it. */
class Pieces {
public:
    Pieces(std::string_view text, std::string_view cuts) : text_(text), cuts_(cuts) {}

    bool next(std::string_view* piece) {
        if (text_.empty()) {
            return false;
        }
        size_t length = text_.size();
        if (!cuts_.empty()) {
            length = std::min<size_t>(length, static_cast<unsigned char>(cuts_.front()) % 17);
            cuts_.remove_prefix(1);
        }
        memory_.reset(new char[length]);
        text_.copy(memory_.get(), length);
        text_.remove_prefix(length);
        *piece = {memory_.get(), length};
        return true;
    }

private:
    std::string_view text_;
    std::string_view cuts_;
    std::unique_ptr<char[]> memory_;
};

struct Decoded {
    std::string text;
    bool broken = false;
};

Decoded decode(std::string_view bytes, std::string_view cuts, size_t room_size) {
    const std::unique_ptr<char[]> room(new char[room_size]);
    TextDecoder decoder;
    Decoded decoded;
    Pieces pieces(bytes, cuts);
    for (std::string_view piece; pieces.next(&piece);) {
        while (!piece.empty()) {
            decoded.text += decoder.next(&piece, room.get(), room_size);
        }
    }
    decoded.text += decoder.finish(room.get(), room_size);
    decoded.broken = decoder.is_broken();
    return decoded;
}

/** All facts of a request, except whether it includes the usage. */
struct ChargeReply {
    std::string model;
    std::string tier;
    bool streams = false;
    bool unreadable = false;
    bool limits_output = false;
    Amount most_output = 0;
    Amount prompt = 0;
    bool edits = false;
    BodyEdit edit{};

    bool operator==(const ChargeReply& other) const {
        return model == other.model && tier == other.tier && streams == other.streams &&
               unreadable == other.unreadable && limits_output == other.limits_output &&
               most_output == other.most_output && prompt == other.prompt;
    }
};

ChargeReply read(std::string_view path, std::string_view body, std::string_view cuts) {
    RequestInfo info;
    info.read_path(path);
    Pieces pieces(body, cuts);
    for (std::string_view piece; pieces.next(&piece);) {
        info.feed(piece);
    }
    info.set_offset_in_body(0);
    info.finish(body.size());
    ChargeReply reported;
    reported.model = info.model();
    reported.tier = info.service_tier();
    reported.streams = info.streams();
    reported.unreadable = info.unreadable();
    reported.limits_output = info.most_output(&reported.most_output);
    reported.prompt = info.prompt_estimate();
    reported.edits = info.edit_to_include_usage(&reported.edit);
    require(reported.prompt <= kMaxAmount && reported.most_output <= kMaxAmount);
    require(!reported.unreadable || reported.prompt == body.size() / 4);
    return reported;
}

/** Adds members to the end of a body that is an object with some; empty if it is none. */
std::string with_members(std::string_view body, std::string_view members) {
    const size_t end = body.find_last_not_of(" \t\r\n");
    if (end == body.npos || body[end] != '}') {
        return {};
    }
    const size_t before = body.find_last_not_of(" \t\r\n", end - 1);
    const bool empty = before == body.npos || body[before] == '{';
    return empty ? std::string()
                 : std::string(body.substr(0, end)) + "," + std::string(members) + "}";
}

/** Null ends a limit of the same key, and no other. */
void check_null(std::string_view path, std::string_view body) {
    const std::string limited = with_members(body, R"("max_tokens":6)");
    const std::string ended = with_members(body, R"("max_tokens":6,"max_tokens":null)");
    const std::string again =
        with_members(body, R"("max_tokens":6,"max_tokens":null,"max_tokens":6)");
    const ChargeReply before = read(path, body, {});
    const ChargeReply after = read(path, limited, {});
    if (limited.empty() || before.unreadable || after.unreadable) {
        return;
    }
    const ChargeReply without = read(path, ended, {});
    require(!without.limits_output || (before.limits_output && after.limits_output &&
                                       without.most_output == after.most_output));
    require(read(path, again, {}) == after);
}

constexpr Amount kLimit = 500;

/** The limits of output in a body, and the body once it is limited. */
struct Limited {
    bool edits = false;
    bool edited = false;
    bool knows_most = false;
    Amount most = 0;
    Amount prompts = 0;
    std::string body;

    bool operator==(const Limited& other) const {
        return edits == other.edits && edited == other.edited && knows_most == other.knows_most &&
               most == other.most && prompts == other.prompts && body == other.body;
    }
};

Limited limit_output(std::string_view path, std::string_view body, std::string_view cuts) {
    OutputLimits limits(path, nullptr);
    Pieces pieces(body, cuts);
    for (std::string_view piece; pieces.next(&piece);) {
        limits.feed(piece);
    }
    limits.set_offset_in_body(0);
    limits.finish();
    Limited limited;
    limited.edits = limits.must_edit(kLimit);
    limited.knows_most = limits.most_output(kLimit, &limited.most);
    limited.prompts = limits.prompts();
    OutputEdits edits;
    limited.edited = limits.edit(kLimit, &edits);
    require(limited.edited || !limits.why_fixed().empty());
    uint64_t at = 0;
    for (const BodyEdit& edit : edits.edits) {
        require(at <= edit.offset && edit.offset + edit.remove <= body.size());
        limited.body += body.substr(at, edit.offset - at);
        limited.body += edit.insert;
        at = edit.offset + edit.remove;
    }
    limited.body += body.substr(at);
    return limited;
}

/** The edits leave a body of JSON one of JSON, and do all that there is to do. */
void check_output(std::string_view path, std::string_view body, std::string_view cuts,
                  bool unreadable) {
    const Limited whole = limit_output(path, body, {});
    const std::string every_byte(body.size(), '\1');
    for (const std::string_view some : {cuts, std::string_view(every_byte)}) {
        require(limit_output(path, body, some) == whole || unreadable);
    }
    if (unreadable || !whole.edited) {
        return;
    }
    const Limited again = limit_output(path, whole.body, {});
    require(!again.edits && again.body == whole.body && again.knows_most == whole.knows_most &&
            again.most == whole.most && (!again.knows_most || again.most <= kLimit));
    JsonScanner scanner(output_paths(), {true, true, kNoJsonPath});
    for (std::string_view rest = whole.body; !rest.empty();) {
        scanner.next(&rest);
    }
    require(scanner.is_complete() || scanner.is_blank());
}

constexpr std::string_view kEdited = "/v1/chat/completions";
constexpr std::string_view kPaths[] = {kEdited, "/v1/messages", "/api/chat",
                                       "/v1/models/m:generateContent"};

}  // namespace

/** The first byte chooses the path and tells how many of those behind it say where to cut. */
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    std::string_view cuts;
    std::string_view path = kEdited;
    if (size > 0) {
        const size_t n = std::min<size_t>(data[0] % 32, size - 1);
        path = kPaths[data[0] / 64];
        cuts = bytes.substr(1, n);
        bytes.remove_prefix(n + 1);
    }
    const std::string every_byte(bytes.size(), '\1');
    const Decoded decoded = decode(bytes, {}, 2 * size + TextDecoder::kMinRoom);
    for (const std::string_view some : {cuts, std::string_view(every_byte)}) {
        const Decoded again = decode(bytes, some, TextDecoder::kMinRoom);
        require(again.text == decoded.text && again.broken == decoded.broken);
    }

    const std::string_view body = decoded.text;
    const ChargeReply whole = read(path, body, {});
    for (const std::string_view some : {cuts, std::string_view(every_byte)}) {
        const ChargeReply cut = read(path, body, some);
        require(cut == whole && cut.edits == whole.edits);
        require(!cut.edits ||
                (cut.edit.offset == whole.edit.offset && cut.edit.remove == whole.edit.remove &&
                 cut.edit.insert == whole.edit.insert));
    }
    check_output(path, body, cuts, whole.unreadable);
    check_null(path, body);
    if (whole.edits) {
        std::string edited(body);
        require(whole.edit.offset + whole.edit.remove <= edited.size());
        edited.replace(whole.edit.offset, whole.edit.remove, whole.edit.insert);
        const ChargeReply after = read(path, edited, {});
        require(after == whole && !after.edits);
    }
    return 0;
}
