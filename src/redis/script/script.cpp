#include "redis/script/script.h"

#include <openssl/evp.h>

namespace ai_limit {

namespace {

// The build joins the scripts' files (src/redis/script/join.sh).
constexpr std::string_view kLimitScript =
#include "script/script.lua.inc"
    ;
constexpr std::string_view kFairScript =
#include "script/fair.lua.inc"
    ;

constexpr char kHexDigits[] = "0123456789abcdef";

struct Sha1 {
    char digits[40];

    explicit Sha1(std::string_view script) noexcept {
        unsigned char digest[20] = {};
        EVP_Digest(script.data(), script.size(), digest, nullptr, EVP_sha1(), nullptr);
        for (int i = 0; i < 20; ++i) {
            digits[2 * i] = kHexDigits[digest[i] >> 4];
            digits[2 * i + 1] = kHexDigits[digest[i] & 15];
        }
    }
};

}  // namespace

std::string_view limit_script() {
    return kLimitScript;
}

std::string_view limit_script_sha1() {
    static const Sha1 sha1(kLimitScript);
    return {sha1.digits, sizeof(sha1.digits)};
}

std::string_view fair_script() {
    return kFairScript;
}

std::string_view fair_script_sha1() {
    static const Sha1 sha1(kFairScript);
    return {sha1.digits, sizeof(sha1.digits)};
}

std::string_view script_with_sha1(std::string_view sha1) {
    if (sha1 == limit_script_sha1()) {
        return limit_script();
    }
    return sha1 == fair_script_sha1() ? fair_script() : std::string_view();
}

}  // namespace ai_limit
