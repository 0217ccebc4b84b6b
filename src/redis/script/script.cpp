#include "redis/script/script.h"

#include <openssl/evp.h>

namespace ai_limit {

namespace {

// The build joins the script's files (src/redis/script/join.sh).
constexpr std::string_view kScript =
#include "script/script.lua.inc"
    ;

constexpr char kHexDigits[] = "0123456789abcdef";

struct Sha1 {
    char digits[40];

    Sha1() noexcept {
        unsigned char digest[20] = {};
        EVP_Digest(kScript.data(), kScript.size(), digest, nullptr, EVP_sha1(), nullptr);
        for (int i = 0; i < 20; ++i) {
            digits[2 * i] = kHexDigits[digest[i] >> 4];
            digits[2 * i + 1] = kHexDigits[digest[i] & 15];
        }
    }
};

}  // namespace

std::string_view limit_script() {
    return kScript;
}

std::string_view limit_script_sha1() {
    static const Sha1 sha1;
    return {sha1.digits, sizeof(sha1.digits)};
}

}  // namespace ai_limit
