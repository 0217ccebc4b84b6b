#pragma once

// Reads how a server of Redis names another one.

#include "ngx.h"

namespace ai_limit {

/** Splits "host:port"; the host of IPv6 has colons itself. */
bool split_address(std::string_view text, std::string_view* host, std::string_view* port);

bool read_port(std::string_view text, in_port_t* port);

/** An address without a port, in memory of the caller's; false for anything else. */
bool read_address(std::string_view text, ngx_sockaddr_t* socket, ngx_addr_t* address);

/** False for a text that is no name of a host: Redis says "?" if it does not know a name. */
bool is_host_name(std::string_view text);

}  // namespace ai_limit
