#include "redis/script/key_names.h"

#include <openssl/evp.h>

#include <cstring>

namespace ai_limit {

namespace {

// Kept: looking the algorithm up costs more than a key's digest.
EVP_MD_CTX* sha256_context;

/** The digest of a key, found again by its hash in the zone, which identifies the key there as
 * well. */
struct KnownHash {
    uint64_t hash_in_zone;  // 0 where there is none
    KeyHash hash;
};

// 512 KB, of which only what is used is there. A digest takes a tenth of the time that a worker
// spends on a decision.
constexpr size_t kKnownHashes = 16'384;
KnownHash known_hashes[kKnownHashes];

bool sha256(std::string_view text, unsigned char* digest) {
    const EVP_MD* known = nullptr;
    if (sha256_context == nullptr) {
        sha256_context = EVP_MD_CTX_new();
        known = EVP_sha256();
    }
    return sha256_context != nullptr && EVP_DigestInit_ex(sha256_context, known, nullptr) == 1 &&
           EVP_DigestUpdate(sha256_context, text.data(), text.size()) == 1 &&
           EVP_DigestFinal_ex(sha256_context, digest, nullptr) == 1;
}

}  // namespace

bool hash_key_for_redis(std::string_view key, uint64_t hash_in_zone, KeyHash* hash) {
    KnownHash* known = &known_hashes[hash_in_zone % kKnownHashes];
    if (known->hash_in_zone == hash_in_zone) {
        *hash = known->hash;
        return true;
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!sha256(key, digest)) {
        forget_key_hashing();
        return false;
    }
    unsigned char text[sizeof(hash->text) + 1];
    EVP_EncodeBlock(text, digest, 16);
    std::memcpy(hash->text, text, sizeof(hash->text));
    *known = {hash_in_zone, *hash};
    return true;
}

void forget_key_hashing() {
    EVP_MD_CTX_free(sha256_context);
    sha256_context = nullptr;
}

size_t write_redis_key(std::string_view prefix, const KeyHash& hash, std::string_view policy,
                       Measure measure, char* out) {
    char* at = out;
    const auto add = [&](std::string_view part) {
        std::memcpy(at, part.data(), part.size());
        at += part.size();
    };
    add(prefix);
    add(":{");
    add({hash.text, kKeyHashLength});
    add("}:");
    add(policy);
    add(facts_of(measure).redis_key);
    return static_cast<size_t>(at - out);
}

size_t write_sharer_key(std::string_view key, const KeyHash& sharer, char* out) {
    constexpr std::string_view kMark = ":s:";
    std::memcpy(out, key.data(), key.size());
    std::memcpy(out + key.size(), kMark.data(), kMark.size());
    std::memcpy(out + key.size() + kMark.size(), sharer.text, kKeyHashLength);
    return key.size() + kMark.size() + kKeyHashLength;
}

}  // namespace ai_limit
