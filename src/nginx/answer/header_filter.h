#pragma once

namespace ai_limit {

/** Puts the filter that writes the rate-limit headers into nginx's chain. */
void add_header_filter();

/** Puts the filter that does so for the pages of error_page there. */
void add_page_header_filter();

}  // namespace ai_limit
