#pragma once

// Reads forms: multipart/form-data (RFC 7578, in the syntax of RFC 2046, 5.1) and
// application/x-www-form-urlencoded.
//
// A form is turned into the JSON text with the same meaning, {"model":"whisper-1","prompt":"…"}, so
// that readers of JSON requests read forms as well. Files (parts with a file name) are left out.
// Syntax that servers parse in different ways is no form here: lines that end without CR LF, folded
// headers, encoded parts. A client could otherwise show one model to nginx and another one to the
// server.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace ai_limit {

/** One body, in pieces cut anywhere, in constant memory. Trivially copyable. */
class FormText {
public:
    /** True if a Content-Type names one of the types of forms. */
    static bool is_form_type(std::string_view content_type);

    /** Takes the value of the request's Content-Type; empty without one. */
    explicit FormText(std::string_view content_type);

    /**
     * Takes what it can from the front of `rest`, and returns the next piece of text, within `rest`
     * or within this object, until the next call. Empty if `rest` is used up. The text is JSON
     * where the body is a form, and the body as it stands where its type or its first byte say that
     * it is none: many clients send JSON without naming its type. A form with a mistake is no JSON.
     */
    std::string_view next(std::string_view* rest);

    /** The body has ended: the last piece of text, which is empty if the form is not complete.
     */
    std::string_view end();

    /** The body is a form, as far as it has come. */
    bool is_form() const { return state_ > State::kUndecided; }

private:
    static constexpr size_t kMostBoundary = 128;  // RFC 2046 has 70 at most
    static constexpr size_t kMostHeader = 1024;
    static constexpr size_t kMostName = 64;
    static constexpr size_t kMostOutput = 6 * kMostName + 16;

    enum class State : uint8_t {
        kOther,      // the body is no form
        kUndecided,  // only white space has come
        kName,       // of a pair
        kValue,
        kSkipped,    // what stands before the first part, or in a file
        kField,      // the text of a part
        kDelimiter,  // behind a boundary
        kLineFeed,   // behind a boundary and CR
        kHeaders,
        kComplete,
        kFailed
    };
    /**
     * The context before the current byte: text, the headers of the part, CR, LF alone or CR LF. A
     * delimiter must follow CR LF.
     */
    enum class Line : uint8_t { kInside, kStart, kReturn, kBare, kWhole };

    void read_boundary(std::string_view parameters);
    void decide(char c);
    std::string_view take_pair(std::string_view* rest);
    bool take_percent(char c);
    std::string_view take_content(std::string_view* rest);
    bool take_line(char c);
    void take_delimiter(char c);
    void take_header(char c);
    void end_header(std::string_view line);
    void begin_part();
    void read_disposition(std::string_view value);
    void set_name(std::string_view name);
    void end_line();
    void put(std::string_view text);
    void put_character(char c);
    void fail();

    State state_ = State::kOther;
    bool multipart_ = false;
    bool has_disposition_ = false;
    bool has_name_ = false;
    bool has_file_name_ = false;
    bool begun_ = false;  // some field has been written

    Line line_ = Line::kWhole;
    uint8_t matched_ = 0;        // bytes of the boundary, with the two dashes before it
    uint8_t boundary_size_ = 0;  // with them
    uint8_t dashes_ = 0;         // behind a boundary
    uint8_t percent_ = 0;        // bytes of an escape in a pair
    char first_digit_ = 0;
    uint16_t header_size_ = 0;
    uint16_t output_size_ = 0;
    uint8_t name_size_ = 0;
    char boundary_[kMostBoundary + 2];
    char name_[kMostName];
    char header_[kMostHeader];
    char output_[kMostOutput];
};

static_assert(std::is_trivially_copyable_v<FormText>);

}  // namespace ai_limit
