#pragma once

namespace ai_limit {

/** Of the module, by Semantic Versioning; a release's tag is this with a "v" before it. */
inline constexpr char kVersion[] = "0.1.0";

}  // namespace ai_limit
