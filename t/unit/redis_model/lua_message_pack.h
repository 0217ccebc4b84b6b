#pragma once

// Redis's cmsgpack, as far as tests need it: packs arrays of integers and short texts, unpacks
// whatever comes.

struct lua_State;

namespace ai_limit {

/** Makes the global table `cmsgpack` with `pack` and `unpack`. */
void open_message_pack(lua_State* lua);

}  // namespace ai_limit
