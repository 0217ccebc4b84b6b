#include "core/requests/client_key.h"

#include <gtest/gtest.h>

#include <string>

#include "core/words/optional_space.h"
#include "core/words/percent.h"

namespace ai_limit {
namespace {

std::string authorization(std::string_view value) {
    ClientKey key;
    key.add_authorization(value);
    return std::string(key.believed());
}

std::string protocols(std::string_view value) {
    ClientKey key;
    key.add_websocket_protocols(value);
    return std::string(key.believed());
}

std::string query(std::string_view text, bool google = true) {
    std::string buffer(text.size(), '\0');
    ClientKey key;
    key.add_query(text, google, buffer.data());
    return std::string(key.believed());
}

TEST(ClientKey, TrimsSpacesAndTabsAtBothEnds) {
    for (const std::string_view text : {"k", " k", "k ", "\tk", "k\t", " \t k \t "}) {
        ClientKey key;
        key.add(text);
        EXPECT_EQ(key.believed(), "k");
    }
    EXPECT_EQ(trim_optional_space(" a\tb "), "a\tb");
    EXPECT_EQ(trim_optional_space(" \t "), "");
}

TEST(ClientKey, ReadsBearerTokensWithAnySpacing) {
    for (const std::string_view value : {"Bearer k", "bearer k", "BEARER\tk", "Bearer \t k",
                                         " Bearer k", "\tBearer k\t", "Bearer k  "}) {
        EXPECT_EQ(authorization(value), "k") << value;
    }
    for (const std::string_view value : {"", " ", "Bearer", "Bearer ", "Bearer\t", "Bearerish k",
                                         "Basic YTpi", "k", "Bear er k"}) {
        EXPECT_EQ(authorization(value), "") << value;
    }
}

TEST(ClientKey, RejectsTwoTokensInOneHeader) {
    EXPECT_EQ(authorization("Bearer k made-up"), "");
    EXPECT_EQ(authorization("Bearer k, Bearer made-up"), "");
}

TEST(ClientKey, ReadsTheAccessKeyIdOfAwsSignatures) {
    const std::string rest = ", SignedHeaders=host;x-amz-date, Signature=0f";
    EXPECT_EQ(
        authorization("AWS4-HMAC-SHA256 Credential=AKID/20261130/us-east-1/bedrock/aws4_request" +
                      rest),
        "AKID");
    EXPECT_EQ(authorization("aws4-hmac-sha256 SignedHeaders=host,Credential=AKID/x,Signature=0f"),
              "AKID");
    EXPECT_EQ(authorization(
                  "AWS4-ECDSA-P256-SHA256\tCredential=AKID/20261130/bedrock/aws4_request" + rest),
              "AKID");
    EXPECT_EQ(authorization("AWS4-HMAC-SHA256 Credential=AKID"), "AKID");
    EXPECT_EQ(authorization("AWS4-HMAC-SHA256 SignedHeaders=host"), "");
    EXPECT_EQ(authorization("AWS4-HMAC-SHA256"), "");
    EXPECT_EQ(authorization("AWS4-HMAC-SHA256 Credential=AKID/x, Credential=MADE-UP/x"), "");
}

TEST(ClientKey, ReadsTheKeyThatBrowsersPutIntoWebSocketProtocols) {
    EXPECT_EQ(protocols("realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1"), "sk-1");
    EXPECT_EQ(protocols("openai-insecure-api-key.sk-1"), "sk-1");
    EXPECT_EQ(protocols("realtime,\topenai-insecure-api-key.sk-1\t"), "sk-1");
    EXPECT_EQ(protocols("realtime"), "");
    EXPECT_EQ(protocols("openai-insecure-api-key."), "");
    EXPECT_EQ(protocols(" , ,"), "");
    EXPECT_EQ(protocols("openai-insecure-api-key.a, openai-insecure-api-key.b"), "");
}

TEST(ClientKey, ReadsTheKeyOfGooglePaths) {
    EXPECT_EQ(query("key=AIza"), "AIza");
    EXPECT_EQ(query("alt=sse&key=AIza"), "AIza");
    EXPECT_EQ(query("key=AIza&alt=sse"), "AIza");
    EXPECT_EQ(query("%6bey=AI%7A%61"), "AIza");
    EXPECT_EQ(query("$key=AIza"), "AIza");
    EXPECT_EQ(query("key=+AIza%20%09"), "AIza");
    EXPECT_EQ(query("key=a=b"), "a=b");
    EXPECT_EQ(query("key=%zz%4"), "%zz%4");
    EXPECT_EQ(query("key=a&key=a"), "a");
    EXPECT_EQ(query("key=AIza", false), "");
    for (const std::string_view none : {"", "key", "key=", "&&", "=", "KEY=a", "monkey=a", "a&b"}) {
        EXPECT_EQ(query(none), "") << none;
    }
}

TEST(ClientKey, RejectsTwoKeysInOneQuery) {
    EXPECT_EQ(query("key=a&key=b"), "");
    EXPECT_EQ(query("key=%61&%6bey=%62"), "");
    EXPECT_EQ(query("key=a&X-Amz-Credential=b/x"), "");
}

TEST(ClientKey, ReadsTheAccessKeyIdOfSignedUrls) {
    EXPECT_EQ(query("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20261130%2Fus-east-1%"
                    "2Fbedrock",
                    false),
              "AKID");
    EXPECT_EQ(query("X-Amz%2DCredential=AKID/20261130", false), "AKID");
}

TEST(ClientKey, AcceptsTheSameKeyInSeveralPlaces) {
    ClientKey key;
    key.add("k");
    key.add_authorization("Bearer\tk ");
    key.add_websocket_protocols("openai-insecure-api-key.k");
    key.add("");
    EXPECT_EQ(key.believed(), "k");
    key.add("made-up");
    EXPECT_EQ(key.believed(), "");
    key.add("made-up");
    EXPECT_EQ(key.believed(), "") << "nor the one that comes last, or twice";
}

TEST(Percent, LeavesInvalidEscapesUnchanged) {
    char buffer[16];
    EXPECT_EQ(decode_percent("a%2Bb+c%", buffer), "a+b c%");
    EXPECT_EQ(decode_percent("%4g%%41", buffer), "%4g%A");
    EXPECT_EQ(decode_percent("", buffer), "");
}

}  // namespace
}  // namespace ai_limit
