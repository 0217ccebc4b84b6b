// Reads price files with nlohmann-json's parser, which keeps nothing but the token that it is at.

#include <nlohmann/json.hpp>
#include <string>

#include "prices/price_reader.h"

namespace ai_limit {

namespace {

/** The parser's calls, in its own form. */
class Events {
public:
    explicit Events(PriceReader* reader) : reader_(reader) {}

    bool null() { return reader_->other("null"); }
    bool boolean(bool) { return reader_->other("a boolean"); }
    bool string(std::string&) { return reader_->other("a string"); }
    template <class Bytes>
    bool binary(Bytes&) {
        return reader_->other("binary");  // JSON has none
    }
    bool number_integer(int64_t value) { return reader_->number(std::to_string(value)); }
    bool number_unsigned(uint64_t value) { return reader_->number(std::to_string(value)); }
    bool number_float(double, const std::string& text) { return reader_->number(text); }
    bool start_object(size_t) { return reader_->begin_object(); }
    bool end_object() { return reader_->end_object(); }
    bool start_array(size_t) { return reader_->begin_array(); }
    bool end_array() { return reader_->end_array(); }
    bool key(std::string& name) { return reader_->key(name); }

    bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
        constexpr int kOutOfRange = 406;
        return reader_->no_json(error.id == kOutOfRange);
    }

private:
    PriceReader* reader_;
};

}  // namespace

bool parse_price_file(std::FILE* file, PriceReader* reader) {
    Events events(reader);
    return nlohmann::json::sax_parse(file, &events);
}

}  // namespace ai_limit
