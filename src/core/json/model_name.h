#pragma once

#include "core/json/bounded_text.h"

namespace ai_limit {

/** The name of a model, as a client gives it. */
using ModelName = BoundedText<255>;

}  // namespace ai_limit
