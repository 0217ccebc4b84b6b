#pragma once

namespace ai_limit {

/**
 * The version of the module, by Semantic Versioning. A release's tag is this with a "v" before it.
 */
inline constexpr char kVersion[] = "0.1.0";

}  // namespace ai_limit
