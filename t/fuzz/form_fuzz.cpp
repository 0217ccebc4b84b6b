// Forms as JSON: the same however they are cut, never more than each byte can become, and only ever
// one document.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "core/json/json_scan.h"
#include "core/requests/form_text.h"

namespace {

using namespace ai_limit;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

struct Read {
    std::string text;
    bool is_form;
    bool is_complete;
};

Read read(std::string_view type, std::string_view body, size_t most) {
    FormText form(type);
    Read result;
    while (!body.empty()) {
        const size_t size = body.size() < most ? body.size() : most;
        // A sanitizer sees a step past its end.
        const std::unique_ptr<char[]> piece(new char[size]);
        body.copy(piece.get(), size);
        body.remove_prefix(size);
        std::string_view rest(piece.get(), size);
        while (!rest.empty()) {
            result.text += form.next(&rest);
        }
    }
    result.is_form = form.is_form();
    const std::string_view end = form.end();
    result.is_complete = !end.empty();
    result.text += end;
    return result;
}

bool is_json(std::string_view text) {
    static constexpr JsonPaths<1> kNothing;
    JsonScanner scanner(kNothing.root());
    while (!text.empty()) {
        scanner.next(&text);
    }
    return scanner.is_complete();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static constexpr std::string_view kTypes[] = {"application/x-www-form-urlencoded",
                                                  "multipart/form-data; boundary=b",
                                                  "multipart/form-data; boundary=\"--b\""};
    if (size < 2) {
        return 0;
    }
    const std::string_view type = kTypes[data[0] % std::size(kTypes)];
    const size_t most = 1 + data[1] % 16;
    const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
    const Read whole = read(type, body, body.size() + 1);
    const Read cut = read(type, body, most);
    require(whole.text == cut.text && whole.is_form == cut.is_form);
    require(whole.text.size() <= 6 * body.size() + 16);
    if (!whole.is_form) {
        require(whole.text == body);
    } else {
        require(is_json(whole.text) == whole.is_complete);
    }
    return 0;
}
