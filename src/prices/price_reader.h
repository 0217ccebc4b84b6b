#pragma once

// Takes the parts of a price file as a JSON parser finds them.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "prices/price_file.h"

namespace ai_limit {

/** One file. Each function returns false if the file is wrong, and the parser stops. */
class PriceReader {
public:
    PriceReader(PriceBook* book, uint32_t file) : book_(book), file_(file) {}

    bool begin_object();
    bool end_object();
    bool begin_array();
    bool end_array();
    bool key(std::string_view name);
    bool number(std::string_view text);
    /** A string, a boolean or null; `what` is for the error. */
    bool other(const char* what);
    /** The parser has found something that is no JSON, or a number that is larger than a double. */
    bool no_json(bool is_number);

    /** What is wrong, with the model and the price that it is in. */
    const std::string& error() const { return error_; }

    /** One line on the first model with a price that is probably wrong, and on how many more there
     * are; empty if there is none. */
    std::string doubt() const;

    /** True if the file is wrong since it is no JSON. */
    bool found_no_json() const { return no_json_; }

private:
    enum class Place : uint8_t {
        kStart,    // nothing has been read
        kFile,     // in the object of all models
        kModel,    // in a model
        kSearch,   // in the object of prices by size of search
        kUnknown,  // in something that is ignored
        kEnd       // behind the last brace
    };

    bool fail(std::string_view what);
    void note_doubt(std::string_view what);
    std::string what_is_read(bool is_price) const;
    bool begin_model();
    bool begin_search();
    bool refuse_value(const char* what);
    bool add_price(const PriceField& field, uint64_t value);
    bool end_search();
    bool end_model();
    bool is_price() const;
    bool has_only_queries() const;

    PriceBook* book_;
    uint32_t file_;
    Place place_ = Place::kStart;
    unsigned unknown_depth_ = 0;  // objects and arrays that are open in what is ignored
    Place unknown_in_ = Place::kStart;
    bool is_model_ = false;  // the key of the file is a model's name
    bool is_known_ = false;  // the key of the model, or of the object of searches
    PriceField field_{};     // which it is
    SearchSize size_{};
    uint32_t model_ = 0;
    uint64_t search_prices_[3] = {};
    unsigned search_sizes_ = 0;  // a bit for each that has been read
    std::string model_name_;
    std::string field_name_;
    std::string search_name_;  // of the field that has the object of searches
    std::string error_;
    bool no_json_ = false;
    std::string doubt_;           // on the first
    size_t doubtful_models_ = 0;  // with that one
    bool is_doubtful_ = false;    // the model is one of them
};

/** Reads the open file; false if the reader or the parser says that it is wrong. */
bool parse_price_file(std::FILE* file, PriceReader* reader);

}  // namespace ai_limit
