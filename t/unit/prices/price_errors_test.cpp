// Wrong price files: each gives one line that names the file, the line, the model and what to do.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "prices/price_tables.h"

namespace ai_limit {
namespace {

std::string error_of(const std::string& text) {
    PriceBook book;
    return read_prices(text, &book);
}

/** The error of a value in place of a price, without what stands before it in each. */
std::string value_error(const std::string& value) {
    const std::string begin = "price file \"prices.json\", line 1: model \"m\": ";
    std::string error = error_of("{\"m\":{\"input_cost_per_token\":" + value + "}}");
    EXPECT_EQ(error.substr(0, begin.size()), begin);
    return error.substr(std::min(begin.size(), error.size()));
}

/** A folder for one test's files, removed with the one file that it has. */
class PriceErrors : public testing::Test {
protected:
    void SetUp() override { ASSERT_NE(mkdtemp(folder_), nullptr); }
    void TearDown() override {
        unlink(path().c_str());
        rmdir(folder_);
    }

    std::string path() const { return std::string(folder_) + "/p.json"; }

    void write(std::string_view text) const {
        std::FILE* file = std::fopen(path().c_str(), "w");
        ASSERT_NE(file, nullptr);
        std::fwrite(text.data(), 1, text.size(), file);
        std::fclose(file);
    }

    std::string read_error(const std::string& path) const {
        PriceBook book;
        std::string error;
        EXPECT_FALSE(book.read(path.c_str(), &error));
        return error;
    }

private:
    char folder_[32] = "/tmp/ai_limit_prices.XXXXXX";
};

TEST_F(PriceErrors, ReadsAFileByItsPath) {
    write(R"({"m":{"input_cost_per_token":1e-12}})");
    PriceBook book;
    std::string error;
    EXPECT_TRUE(book.read(path().c_str(), &error)) << error;
    EXPECT_EQ(TestPrices(book).input("m"), 1U);
}

TEST_F(PriceErrors, RefusesAFileThatCannotBeRead) {
    EXPECT_EQ(read_error(path()),
              "price file \"" + path() + "\" cannot be read: No such file or directory");
    EXPECT_EQ(read_error("/tmp"), "price file \"/tmp\" is no regular file");
    write("");
    EXPECT_EQ(read_error(path()), "price file \"" + path() +
                                      "\" is empty: write an object of models, such as "
                                      "{\"my-model\":{\"input_cost_per_token\":1.5e-6}}");
}

TEST_F(PriceErrors, RefusesAPipeWithoutWaiting) {
    ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
    EXPECT_EQ(read_error(path()), "price file \"" + path() + "\" is no regular file");
}

TEST_F(PriceErrors, RefusesAHundredMegabytesWithoutReadingThem) {
    write("{");
    ASSERT_EQ(truncate(path().c_str(), 100'000'000), 0);
    EXPECT_EQ(read_error(path()), "price file \"" + path() +
                                      "\" has more than 16 MB: this is no list of models and "
                                      "their prices");
}

TEST_F(PriceErrors, NamesTheLineAndTheModelOfWhatIsCut) {
    write("{\n\"m\":{\n\"input_cost_per_token\":1e-6,\n\"output");
    EXPECT_EQ(read_error(path()), "price file \"" + path() +
                                      "\", line 4: model \"m\": \"input_cost_per_token\" is not "
                                      "followed by valid JSON: the file ends too early");
}

TEST(PriceValues, RefusesWhatIsNoPrice) {
    const std::string write = ": write USD for one unit as a number, such as 1.5e-6";
    EXPECT_EQ(value_error("\"0.1\""), "\"input_cost_per_token\" is a string" + write);
    EXPECT_EQ(value_error("null"), "\"input_cost_per_token\" is null" + write);
    EXPECT_EQ(value_error("true"), "\"input_cost_per_token\" is a boolean" + write);
    EXPECT_EQ(value_error("[]"), "\"input_cost_per_token\" is an array" + write);
    EXPECT_EQ(value_error("{}"), "\"input_cost_per_token\" is an object" + write);
    EXPECT_EQ(value_error("-1e-6"), "\"input_cost_per_token\" is negative: a price is 0 or more");
    EXPECT_EQ(value_error("-5"), "\"input_cost_per_token\" is negative: a price is 0 or more");
    const std::string high =
        "\"input_cost_per_token\" is above 1000 USD for one unit: prices are for one token, not "
        "for a million";
    for (const char* number : {"1000.0000000000001", "1001", "1e4", "18446744073709551616", "1e300",
                               "10000000000000000000000000000000000000000000000000000000"}) {
        EXPECT_EQ(value_error(number), high) << number;
    }
    EXPECT_EQ(value_error("1e400"),
              "\"input_cost_per_token\" is too large: a price is at most 1000 USD for one unit");
    for (const char* word :
         {"NaN", "Infinity", "-Infinity", "nan", "1.", ".5", "+1", "01", "0x1", "1e", "1,000"}) {
        EXPECT_NE(value_error(word).find("valid JSON"), std::string::npos) << word;
    }
}

TEST(PriceValues, RefusesWhatIsNoPriceOfASearch) {
    const auto error = [](const std::string& value) {
        return error_of("{\"m\":{\"search_context_cost_per_query\":" + value + "}}");
    };
    const std::string begin = "price file \"prices.json\", line 1: model \"m\": ";
    EXPECT_EQ(error(R"({"search_context_size_low":null})"),
              begin +
                  "\"search_context_size_low\" is null: write USD for one unit as a number, "
                  "such as 1.5e-6");
    EXPECT_EQ(error(R"({"search_context_size_low":-1})"),
              begin + "\"search_context_size_low\" is negative: a price is 0 or more");
    EXPECT_EQ(error(R"({"search_context_size_low":1,"search_context_size_low":1})"),
              begin + "\"search_context_size_low\" is there twice: remove one of them");
    EXPECT_EQ(error("1,\"search_context_cost_per_query\":{\"search_context_size_low\":1}"),
              begin +
                  "\"search_context_cost_per_query\" is a price that the model has twice: "
                  "remove one of them");
    EXPECT_NE(error(R"({"search_context_size_low":{}})"), "");
    EXPECT_NE(error("[0.1]"), "");
}

TEST(PriceValues, RefusesAPriceThatAModelHasTwice) {
    const std::string twice = "\" is a price that the model has twice: remove one of them";
    EXPECT_EQ(value_error("1,\"input_cost_per_token\":1"), "\"input_cost_per_token" + twice);
    EXPECT_EQ(value_error("1,\"input_cost_per_token_flex_above_1k_tokens\":1,"
                          "\"input_cost_per_token_above_1k_tokens_flex\":1"),
              "\"input_cost_per_token_above_1k_tokens_flex" + twice);
}

TEST(PriceModels, RefusesAModelThatAFileHasTwice) {
    EXPECT_EQ(error_of("{\"a\":{},\n\"b\":{},\n\"a\":{}}"),
              "price file \"prices.json\", line 3: model \"a\": it is there twice: remove one of "
              "them");
}

TEST(PriceModels, RefusesAModelThatIsNoObject) {
    for (const char* value : {"null", "1e-6", "\"free\"", "true", "[]"}) {
        const std::string error = error_of("{\"m\":" + std::string(value) + "}");
        EXPECT_NE(error.find("model \"m\": it is "), std::string::npos) << error;
        EXPECT_NE(error.find("a model is an object of prices"), std::string::npos) << error;
    }
    for (const char* value : {"null", "1e-6", "\"free\"", "true", "[]"}) {
        EXPECT_NE(error_of(value).find("write an object of models"), std::string::npos) << value;
    }
}

TEST(PriceModels, RefusesANameThatNoRequestCanHave) {
    EXPECT_NE(error_of("{\"\":{}}").find("1 to 240 bytes"), std::string::npos);
    const std::string long_name(kMaxPricedName + 1, 'x');
    EXPECT_NE(error_of("{\"" + long_name + "\":{}}").find("1 to 240 bytes"), std::string::npos);
}

TEST(PriceModels, RefusesMoreSizesOfPromptsThanThereIsRoomFor) {
    std::string text = "{\"m\":{\"x\":1";
    for (int i = 1; i <= 9; ++i) {
        text += ",\"input_cost_per_token_above_" + std::to_string(i) + "k_tokens\":1";
    }
    EXPECT_NE(error_of(text + "}}").find("more than 8 sizes of prompts"), std::string::npos);
}

TEST(PriceModels, RefusesMoreModelsThanAnyMapHas) {
    std::string text = "{";
    for (int i = 0; i <= 100'000; ++i) {
        text += "\"" + std::to_string(i) + "\":{},";
    }
    EXPECT_NE(error_of(text).find("more than 100000 models"), std::string::npos);
}

TEST(PriceSyntax, RefusesDeepNesting) {
    const std::string deep(1'000'000, '[');
    EXPECT_NE(error_of(deep), "");
    EXPECT_NE(error_of("{\"m\":{\"x\":" + deep).find("at most 100 levels"), std::string::npos);
    std::string objects;
    for (int i = 0; i < 100'000; ++i) {
        objects += "{\"a\":";
    }
    EXPECT_NE(error_of(objects), "");
    EXPECT_NE(error_of("{\"m\":{\"x\":" + objects).find("at most 100 levels"), std::string::npos);
    EXPECT_EQ(error_of("{\"m\":{\"x\":" + std::string(100, '[') + std::string(100, ']') + "}}"),
              "");
}

TEST(PriceSyntax, RefusesWhatIsNoJson) {
    for (const char* text :
         {" ", "{", "{\"m\"", "{\"m\":", "{\"m\":{", "{\"m\":{}", "{\"m\":{}}}", "{\"m\":{}} x",
          "{\"m\":{},}", "{m:{}}", "{'m':{}}", "// prices\n{}", "<html>", "\xFF", "{\"\xFF\":{}}",
          "{\"\\ud800\":{}}", "input:1,output:4"}) {
        EXPECT_NE(error_of(text), "") << text;
    }
    EXPECT_EQ(error_of("{\"m\":{}\n\n,}"),
              "price file \"prices.json\", line 3: this is not valid JSON");
    EXPECT_EQ(
        error_of("{\"m\":{\"x\":1}"),
        "price file \"prices.json\", line 1: this is not valid JSON: the file ends too early");
}

TEST(PriceSyntax, ShowsNoRawBytesOfAModelsName) {
    const std::string error = error_of("{\"\\u001b[31m\\n\\\"" + std::string(200, 'x') +
                                       "\":{\"input_cost_per_token\":null}}");
    EXPECT_EQ(error.find('\x1b'), std::string::npos);
    EXPECT_EQ(error.find('\n'), std::string::npos);
    EXPECT_NE(error.find("model \"\\x1B[31m\\x0A\\x22xxxx"), std::string::npos) << error;
    EXPECT_LT(error.size(), 400U);
}

/** Each file that is cut anywhere is refused, whatever it is cut in. */
TEST(PriceSyntax, RefusesAFileCutAtAnyByte) {
    const std::string whole = R"({"sample_spec":{"x":[1,"y"]},"m":{"input_cost_per_token":1e-6,
        "search_context_cost_per_query":{"search_context_size_medium":0.1},"x":{"y":[true]}}})";
    EXPECT_EQ(error_of(whole), "");
    for (size_t size = 1; size < whole.size(); ++size) {
        EXPECT_NE(error_of(whole.substr(0, size)), "") << size;
    }
}

}  // namespace
}  // namespace ai_limit
