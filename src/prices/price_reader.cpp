#include "prices/price_reader.h"

#include <algorithm>

#include "core/words/shown_key.h"

namespace ai_limit {

namespace {

constexpr size_t kMaxModels = 100'000;
constexpr unsigned kMaxDepth = 100;

/** No provider's tokens cost so much: 10,000 dollars for a million. */
constexpr uint64_t kDearestToken = kPriceOfADollar / 100;

constexpr std::string_view kExample = "{\"my-model\":{\"input_cost_per_token\":1.5e-6}}";

/** LiteLLM's map has these beside its models. */
constexpr std::string_view kNoModels[] = {"sample_spec", "fallback_generalizations"};

void append_escaped(std::string_view text, std::string* to) {
    char buffer[kMaxShownKey];
    TextWriter out(buffer, sizeof buffer);
    write_escaped(text, out);
    to->append(1, '"').append(out.view()).append(1, '"');
}

}  // namespace

std::string PriceReader::what_is_read(bool is_price) const {
    std::string text;
    if (is_model_) {
        text += "model ";
        append_escaped(model_name_, &text);
        text += ": ";
    }
    if (is_price) {
        append_escaped(field_name_, &text);
        text += ' ';
    }
    return text;
}

bool PriceReader::fail(std::string_view what) {
    error_ = what_is_read(is_price()).append(what);
    return false;
}

void PriceReader::note_doubt(std::string_view what) {
    if (is_doubtful_) {
        return;
    }
    is_doubtful_ = true;
    if (doubtful_models_++ == 0) {
        doubt_ = what_is_read(true).append(what);
    }
}

std::string PriceReader::doubt() const {
    if (doubtful_models_ < 2) {
        return doubt_;
    }
    const std::string more = std::to_string(doubtful_models_ - 1);
    return doubt_ + "; " + more + (more == "1" ? " more model has" : " more models have") +
           " a price to check";
}

bool PriceReader::no_json(bool is_number) {
    no_json_ = true;
    if (is_number) {
        return fail(is_price() ? "is too large: a price is at most 1000 USD for one unit"
                               : "a number is too large for JSON");
    }
    return fail(is_price() ? "is not followed by valid JSON" : "this is not valid JSON");
}

bool PriceReader::is_price() const {
    return is_known_ && (place_ == Place::kModel || place_ == Place::kSearch);
}

bool PriceReader::refuse_value(const char* what) {
    switch (place_) {
        case Place::kStart:
        case Place::kEnd:
            return fail(std::string("it is ") + what + ": write an object of models, such as " +
                        std::string(kExample));
        case Place::kFile:
            return fail(std::string("it is ") + what +
                        ": a model is an object of prices, such as "
                        "{\"input_cost_per_token\":1.5e-6}");
        case Place::kModel:
        case Place::kSearch:
            return fail(std::string("is ") + what +
                        ": write USD for one unit as a number, such as 1.5e-6");
        case Place::kUnknown:
            break;
    }
    return true;
}

bool PriceReader::begin_object() {
    switch (place_) {
        case Place::kStart:
            place_ = Place::kFile;
            return true;
        case Place::kFile:
            if (is_model_) {
                return begin_model();
            }
            break;
        case Place::kModel:
            if (is_known_ && field_.kind == PriceKind::kSearches && !field_.stands_in) {
                return begin_search();
            }
            if (is_known_) {
                return refuse_value("an object");
            }
            break;
        case Place::kSearch:
            if (is_known_) {
                return refuse_value("an object");
            }
            break;
        case Place::kUnknown:
            break;
        case Place::kEnd:
            return refuse_value("an object");
    }
    return begin_array();
}

bool PriceReader::begin_array() {
    if (place_ == Place::kUnknown) {
        return ++unknown_depth_ <= kMaxDepth ||
               fail("objects and arrays are nested too deeply: at most 100 levels are read");
    }
    const bool wanted = place_ == Place::kStart || place_ == Place::kEnd || is_known_ ||
                        (place_ == Place::kFile && is_model_);
    if (wanted) {
        return refuse_value("an array");
    }
    unknown_in_ = place_;
    unknown_depth_ = 1;
    place_ = Place::kUnknown;
    return true;
}

bool PriceReader::end_array() {
    if (--unknown_depth_ == 0) {
        place_ = unknown_in_;
    }
    return true;
}

bool PriceReader::end_object() {
    switch (place_) {
        case Place::kFile:
            place_ = Place::kEnd;
            return true;
        case Place::kModel:
            return end_model();
        case Place::kSearch:
            return end_search();
        case Place::kUnknown:
            return end_array();
        case Place::kStart:
        case Place::kEnd:
            break;
    }
    return true;
}

bool PriceReader::key(std::string_view name) {
    switch (place_) {
        case Place::kFile:
            is_model_ =
                std::find(std::begin(kNoModels), std::end(kNoModels), name) == std::end(kNoModels);
            model_name_ = name;
            break;
        case Place::kModel:
            field_name_ = name;
            is_known_ = read_price_field(name, &field_);
            if (!is_known_) {
                const std::string_view meant = meant_price_field(name);
                if (!meant.empty()) {
                    note_doubt(
                        std::string("is ignored: is it a mistake for ").append(meant).append("?"));
                }
            }
            break;
        case Place::kSearch:
            is_known_ = read_search_size(name, &size_);
            if (is_known_) {
                field_name_ = name;
            }
            break;
        case Place::kStart:
        case Place::kUnknown:
        case Place::kEnd:
            break;
    }
    return true;
}

bool PriceReader::begin_model() {
    if (model_name_.empty() || model_name_.size() > kMaxPricedName) {
        return fail("a model's name has 1 to 240 bytes");
    }
    model_ = book_->names_.find_or_add(model_name_, static_cast<uint32_t>(book_->models_.size()));
    if (model_ == book_->models_.size()) {
        if (model_ == kMaxModels) {
            return fail("there are more than 100000 models");
        }
        book_->models_.push_back({});
    } else if (book_->models_[model_].file == file_) {
        return fail("it is there twice: remove one of them");
    }
    book_->models_[model_] = {static_cast<uint32_t>(book_->prices_.size()), 0, file_};
    place_ = Place::kModel;
    is_known_ = false;
    is_doubtful_ = false;
    return true;
}

/** True if queries are all that a model has prices for: few answers report them, so most would be
 * free. */
bool PriceReader::has_only_queries() const {
    const PriceList prices = book_->prices_of(book_->models_[model_]);
    return std::all_of(prices.begin(), prices.end(), [](const Price& price) {
        return price.field.kind == PriceKind::kSearches && price.field.stands_in;
    });
}

bool PriceReader::end_model() {
    uint32_t thousands[kMaxPriceThresholds];
    is_known_ = false;
    if (has_only_queries()) {
        book_->prices_.resize(book_->models_[model_].first_price);
        book_->models_[model_].price_count = 0;
    }
    if (thresholds_of(book_->prices_of(book_->models_[model_]), thousands) > kMaxPriceThresholds) {
        return fail("it has prices for more than 8 sizes of prompts (_above_Nk_tokens)");
    }
    place_ = Place::kFile;
    is_model_ = false;
    return true;
}

bool PriceReader::begin_search() {
    place_ = Place::kSearch;
    is_known_ = false;
    search_sizes_ = 0;
    std::fill(search_prices_, std::end(search_prices_), 0);
    search_name_ = field_name_;
    return true;
}

bool PriceReader::end_search() {
    constexpr auto kMedium = static_cast<size_t>(SearchSize::kMedium);
    place_ = Place::kModel;
    is_known_ = true;
    field_name_ = search_name_;
    if (search_sizes_ == 0) {
        return true;
    }
    const uint64_t price = (search_sizes_ >> kMedium & 1U) != 0
                               ? search_prices_[kMedium]
                               : *std::max_element(search_prices_, std::end(search_prices_));
    return add_price(field_, price);
}

bool PriceReader::add_price(const PriceField& field, uint64_t value) {
    constexpr size_t kMostPrices = kPriceKinds * kPriceTiers * (kMaxPriceThresholds + 1);
    PriceBook::Model& model = book_->models_[model_];
    if (model.price_count == kMostPrices) {
        return fail("is one price too many: a model has at most 396");
    }
    for (const Price& price : book_->prices_of(model)) {
        if (price.field == field) {
            return fail("is a price that the model has twice: remove one of them");
        }
    }
    book_->prices_.push_back({value, field});
    ++model.price_count;
    return true;
}

bool PriceReader::number(std::string_view text) {
    if (!is_price()) {
        return other("a number");
    }
    uint64_t price = 0;
    switch (read_price(text, &price)) {
        case PriceError::kNone:
            break;
        case PriceError::kNegative:
            return fail("is negative: a price is 0 or more");
        case PriceError::kTooHigh:
            return fail(
                "is above 1000 USD for one unit: prices are for one token, not for a "
                "million");
    }
    if (place_ == Place::kModel) {
        if (is_for_tokens(field_) && price > kDearestToken) {
            note_doubt("is above 0.01 USD for one token: is it the price of a million tokens?");
        }
        return add_price(field_, price);
    }
    const auto size = static_cast<unsigned>(size_);
    if ((search_sizes_ >> size & 1U) != 0) {
        return fail("is there twice: remove one of them");
    }
    search_sizes_ |= 1U << size;
    search_prices_[size] = price;
    return true;
}

bool PriceReader::other(const char* what) {
    const bool ignored = (place_ == Place::kFile && !is_model_) ||
                         ((place_ == Place::kModel || place_ == Place::kSearch) && !is_known_);
    return ignored || refuse_value(what);
}

}  // namespace ai_limit
