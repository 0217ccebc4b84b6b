#include "core/requests/client_key.h"

#include "core/words/ascii_case.h"
#include "core/words/optional_space.h"
#include "core/words/percent.h"

namespace ai_limit {

namespace {

constexpr std::string_view kWebSocketPrefix = "openai-insecure-api-key.";
constexpr std::string_view kAwsScheme = "aws4-";
constexpr std::string_view kAwsCredential = "Credential=";
constexpr std::string_view kAwsArgument = "X-Amz-Credential";

bool begins_with(std::string_view text, std::string_view begin) {
    return text.substr(0, begin.size()) == begin;
}

/** Takes what stands before the first `separator` from the front of `rest`. */
std::string_view take_part(std::string_view* rest, char separator) {
    const std::string_view part = rest->substr(0, rest->find(separator));
    rest->remove_prefix(part.size() < rest->size() ? part.size() + 1 : part.size());
    return part;
}

size_t find_optional_space(std::string_view text) {
    size_t at = 0;
    while (at < text.size() && !is_optional_space(text[at])) {
        ++at;
    }
    return at;
}

bool is_google_key(std::string_view name) {
    return name == "key" || name == "$key";
}

}  // namespace

void ClientKey::add(std::string_view key) {
    key = trim_optional_space(key);
    if (key.empty()) {
        return;
    }
    differ_ = differ_ || (!key_.empty() && key != key_);
    key_ = key;
}

void ClientKey::add_authorization(std::string_view value) {
    value = trim_optional_space(value);
    const size_t space = find_optional_space(value);
    const std::string_view scheme = value.substr(0, space);
    std::string_view rest = trim_optional_space(value.substr(space));
    if (is_same(scheme, "bearer")) {
        // A token has no white space. If there are two, some servers take the one and some the
        // other.
        while (!rest.empty()) {
            const std::string_view token = rest.substr(0, find_optional_space(rest));
            add(token);
            rest.remove_prefix(token.size());
            rest = trim_optional_space(rest);
        }
    } else if (is_same(scheme.substr(0, kAwsScheme.size()), kAwsScheme)) {
        while (!rest.empty()) {
            const std::string_view part = trim_optional_space(take_part(&rest, ','));
            if (begins_with(part, kAwsCredential)) {
                add_aws_credential(part.substr(kAwsCredential.size()));
            }
        }
    }
}

/** The id stands before the scope: `ID/DATE/REGION/SERVICE/aws4_request`. */
void ClientKey::add_aws_credential(std::string_view credential) {
    add(credential.substr(0, credential.find('/')));
}

void ClientKey::add_websocket_protocols(std::string_view value) {
    while (!value.empty()) {
        const std::string_view protocol = trim_optional_space(take_part(&value, ','));
        if (begins_with(protocol, kWebSocketPrefix)) {
            add(protocol.substr(kWebSocketPrefix.size()));
        }
    }
}

void ClientKey::add_query(std::string_view query, bool google, char* buffer) {
    while (!query.empty()) {
        std::string_view value = take_part(&query, '&');
        const std::string_view name = decode_percent(take_part(&value, '='), buffer);
        // A decoded name is compared before its value is decoded into the same place.
        if (google && is_google_key(name)) {
            const std::string_view key = decode_percent(value, buffer);
            add(key);
            buffer += key.size();
        } else if (name == kAwsArgument) {
            const std::string_view credential = decode_percent(value, buffer);
            add_aws_credential(credential);
            buffer += credential.size();
        }
    }
}

}  // namespace ai_limit
