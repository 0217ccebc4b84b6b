#pragma once

// Reads files of prices, such as LiteLLM's public map of models, and makes a PriceTable of them.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "core/prices/price_table.h"
#include "prices/model_weights.h"
#include "prices/name_index.h"

namespace ai_limit {

/** A larger file is no price file: LiteLLM's map has 1.6 MB. */
constexpr size_t kMaxPriceFile = 16 * 1024 * 1024;

/**
 * Prices of models while files are read. It has memory of its own; it is of no more use when
 * build() has made the table. If the process has no memory left, it ends.
 */
class PriceBook {
public:
    /**
     * Reads a file: one JSON object, in it an object for each model, in that a number for each
     * price, in dollars for one unit. Unknown fields are ignored. A model of a file that was read
     * before is replaced whole. False if something is wrong; `error` is then one line for the log,
     * and the book must not be used any more.
     */
    bool read(const char* path, std::string* error);

    /** One line for the log about prices of the last file that are probably wrong; empty if all
     * look right. */
    const std::string& doubt() const { return doubt_; }

    /** Does the same as read() with an open file of at most kMaxPriceFile bytes; `path` is for the
     * error. */
    bool read_open(std::FILE* file, const char* path, std::string* error);

    /**
     * Lets a model `PROVIDER/NAME` also be found as NAME, unless a model of that name has prices.
     * If several models would get a name, the first provider's gets it.
     */
    void add_provider(std::string_view provider) { providers_.emplace_back(provider); }

    /** Returns the number of models with prices. One without any is not known. */
    size_t models() const;

    /** Returns the bytes that build() needs. */
    size_t bytes() const;

    /** Writes the table into bytes() bytes, aligned for a uint64_t, which must outlive it. */
    PriceTable build(void* memory) const;

private:
    friend class PriceReader;
    struct Plan;

    struct Model {
        uint32_t first_price;
        uint32_t price_count;
        uint32_t file;  // the number of the last one that has it
    };

    PriceList prices_of(const Model& model) const {
        return {prices_.data() + model.first_price, model.price_count};
    }
    Plan plan() const;

    NameIndex names_;  // of all models
    std::vector<Model> models_;
    std::vector<Price> prices_;
    std::vector<std::string> providers_;
    uint32_t files_ = 0;
    std::string doubt_;
};

}  // namespace ai_limit
