#pragma once

// Finds the client's key in a request, in every place where clients of AI APIs put one.

#include <cstddef>
#include <string_view>

namespace ai_limit {

/**
 * Collects the keys of one request. Servers look at one of the places, and which one is not known
 * here: so a key counts only if no other place says another one. Otherwise a client could add a
 * made-up key to each request and have a fresh budget each time. The texts that it is given outlive
 * it.
 */
class ClientKey {
public:
    /** One key, as a header's value has it: white space around it is no part of it, and an empty
     * one is none. */
    void add(std::string_view key);

    /**
     * The value of an `Authorization` header: the token of `Bearer`, or the access key id of an AWS
     * signature (`AWS4-HMAC-SHA256 Credential=ID/…`). Other schemes have no key.
     */
    void add_authorization(std::string_view value);

    /** The value of a `Sec-WebSocket-Protocol` header, into which browsers put OpenAI's key
     * (`openai-insecure-api-key.KEY`). */
    void add_websocket_protocols(std::string_view value);

    /**
     * The query of the request's URL, as it was sent: `X-Amz-Credential=ID/…` of an AWS signature,
     * and where the path is one of Google's, `key=KEY`. `buffer` has room for as many bytes, for
     * what is percent-encoded, and outlives this.
     */
    void add_query(std::string_view query, bool google, char* buffer);

    /** Returns the key; empty if there is none or several differ. */
    std::string_view believed() const { return differ_ ? std::string_view() : key_; }

private:
    void add_aws_credential(std::string_view credential);

    std::string_view key_;
    bool differ_ = false;
};

}  // namespace ai_limit
