#pragma once

#include "core/words/amount_text.h"

namespace ai_limit {

/** Writes JSON without white space: sets the commas, escapes the texts. The caller closes what it
 * opens. */
class JsonWriter {
public:
    explicit JsonWriter(TextWriter& out) : out_(out) {}

    void open(char bracket) {
        separate();
        out_.text({&bracket, 1});
        is_first_ = true;
    }
    void close(char bracket) {
        out_.text({&bracket, 1});
        is_first_ = false;
    }

    /** The name of what is written next. A literal: it is not escaped. */
    void name(std::string_view name) {
        separate();
        out_.text("\"");
        out_.text(name);
        out_.text("\":");
        is_first_ = true;
    }
    void open(std::string_view of, char bracket) {
        name(of);
        open(bracket);
    }

    void number(uint64_t value) {
        separate();
        out_.number(value);
    }
    void text(std::string_view value) {
        separate();
        out_.text("\"");
        out_.json(value);
        out_.text("\"");
    }
    void literal(std::string_view value) {
        separate();
        out_.text(value);
    }

    void number(std::string_view of, uint64_t value) {
        name(of);
        number(value);
    }
    /** Dollars if it is money, with at most six decimals. */
    void amount(Measure measure, uint64_t value) {
        separate();
        write_amount(measure, value, out_);
    }
    void amount(std::string_view of, Measure measure, uint64_t value) {
        name(of);
        amount(measure, value);
    }
    void thousandths(std::string_view of, uint64_t count) {
        name(of);
        separate();
        out_.thousandths(count);
    }
    void text(std::string_view of, std::string_view value) {
        name(of);
        text(value);
    }
    void truth(std::string_view of, bool value) {
        name(of);
        literal(value ? "true" : "false");
    }

private:
    void separate() {
        if (!is_first_) {
            out_.text(",");
        }
        is_first_ = false;
    }

    TextWriter& out_;
    bool is_first_ = true;
};

}  // namespace ai_limit
