#include "lua_message_pack.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <lua5.1/lua.hpp>
#include <string>
#include <vector>

#include "redis_model.h"

namespace ai_limit {

namespace {

void append_number(std::string* out, uint64_t number) {
    const int bytes = number < 0x80           ? 0
                      : number <= 0xff        ? 1
                      : number <= 0xffff      ? 2
                      : number <= 0xffff'ffff ? 4
                                              : 8;
    if (bytes == 0) {
        *out += static_cast<char>(number);
        return;
    }
    *out += static_cast<char>(bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf);
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
        *out += static_cast<char>(number >> shift);
    }
}

/** Pushes what the bytes say, piece by piece; false where they end too soon or make no sense. */
class Unpacker {
public:
    Unpacker(lua_State* lua, const char* text, size_t length)
        : lua_(lua), text_(text), left_(length) {}

    bool unpack(int depth = 0) {
        uint64_t first = 0;
        if (depth > 50 || lua_checkstack(lua_, 4) == 0 || !number(1, &first)) {
            return false;
        }
        if (first < 0x80 || first >= 0xe0) {
            lua_pushnumber(lua_, static_cast<int8_t>(first));
            return true;
        }
        if (first < 0x90) {
            return table(first & 15, true, depth);
        }
        if (first < 0xa0) {
            return table(first & 15, false, depth);
        }
        return first < 0xc0 ? bytes(first & 31) : unpack_long(first, depth);
    }

    size_t left() const { return left_; }

private:
    bool unpack_long(uint64_t first, int depth) {
        uint64_t value = 0;
        switch (first) {
            case 0xc0:
                lua_pushnil(lua_);
                return true;
            case 0xc2:
            case 0xc3:
                lua_pushboolean(lua_, first == 0xc3 ? 1 : 0);
                return true;
            case 0xca:
            case 0xcb:
                return floating(first == 0xcb ? 8 : 4);
            case 0xcc:
            case 0xcd:
            case 0xce:
            case 0xcf:
                return number(size_t{1} << (first - 0xcc), &value) && push(value);
            case 0xd0:
            case 0xd1:
            case 0xd2:
            case 0xd3: {
                const size_t size = size_t{1} << (first - 0xd0);
                return number(size, &value) && push_signed(value, size);
            }
            case 0xd9:
                return number(1, &value) && bytes(value);
            case 0xdc:
                return number(2, &value) && table(value, false, depth);
            case 0xde:
                return number(2, &value) && table(value, true, depth);
            default:
                return false;
        }
    }

    bool number(size_t size, uint64_t* value) {
        if (left_ < size) {
            return false;
        }
        *value = 0;
        for (size_t i = 0; i < size; ++i) {
            *value = *value << 8 | static_cast<unsigned char>(text_[i]);
        }
        text_ += size;
        left_ -= size;
        return true;
    }

    bool push(uint64_t value) {
        lua_pushnumber(lua_, static_cast<double>(value));
        return true;
    }

    bool push_signed(uint64_t value, size_t size) {
        const unsigned spare = static_cast<unsigned>(64 - 8 * size);
        lua_pushnumber(lua_, static_cast<double>(static_cast<int64_t>(value << spare) >> spare));
        return true;
    }

    bool floating(size_t size) {
        uint64_t bits = 0;
        if (!number(size, &bits)) {
            return false;
        }
        double value = 0;
        if (size == 8) {
            std::memcpy(&value, &bits, sizeof(value));
        } else {
            const uint32_t short_bits = static_cast<uint32_t>(bits);
            float short_value = 0;
            std::memcpy(&short_value, &short_bits, sizeof(short_value));
            value = static_cast<double>(short_value);
        }
        lua_pushnumber(lua_, value);
        return true;
    }

    bool bytes(uint64_t size) {
        if (left_ < size) {
            return false;
        }
        lua_pushlstring(lua_, text_, size);
        text_ += size;
        left_ -= size;
        return true;
    }

    bool table(uint64_t size, bool is_map, int depth) {
        lua_newtable(lua_);
        for (uint64_t i = 1; i <= size; ++i) {
            if (is_map) {
                if (!unpack(depth + 1)) {
                    return false;
                }
                const bool is_nan =
                    lua_type(lua_, -1) == LUA_TNUMBER && std::isnan(lua_tonumber(lua_, -1));
                if (lua_isnil(lua_, -1) || is_nan) {
                    return false;
                }
            } else {
                lua_pushnumber(lua_, static_cast<double>(i));
            }
            if (!unpack(depth + 1)) {
                return false;
            }
            lua_rawset(lua_, -3);
        }
        return true;
    }

    lua_State* lua_;
    const char* text_;
    size_t left_;
};

/** Appends the value on top of the stack, and pops it. False if the script must not store it. */
bool append_value(lua_State* lua, std::string* packed) {
    if (lua_type(lua, -1) == LUA_TSTRING) {
        pack_text(lua_tostring(lua, -1), packed);
        lua_pop(lua, 1);
        return true;
    }
    const double value = lua_tonumber(lua, -1);
    const bool is_whole = lua_type(lua, -1) == LUA_TNUMBER && value >= 0 && value < 0x1p63 &&
                          value == std::floor(value);
    lua_pop(lua, 1);
    if (is_whole) {
        append_number(packed, static_cast<uint64_t>(value));
    }
    return is_whole;
}

/** Packs an array, or values one behind the other. */
bool push_packed(lua_State* lua) {
    const bool is_array = lua_gettop(lua) == 1 && lua_istable(lua, 1);
    const auto count = is_array ? lua_objlen(lua, 1) : static_cast<size_t>(lua_gettop(lua));
    std::string packed;
    if (is_array) {
        packed = message_pack(std::vector<uint64_t>(count));  // of zeros
        packed.resize(packed.size() - count);
    }
    for (int i = 1; i <= static_cast<int>(count); ++i) {
        is_array ? lua_rawgeti(lua, 1, i) : lua_pushvalue(lua, i);
        if (!append_value(lua, &packed)) {
            return false;
        }
    }
    lua_pushlstring(lua, packed.data(), packed.size());
    return true;
}

int pack(lua_State* lua) {
    return push_packed(lua) ? 1 : luaL_error(lua, "packs what is no whole number and no text");
}

int unpack(lua_State* lua) {
    size_t length = 0;
    const char* text = luaL_checklstring(lua, 1, &length);
    Unpacker unpacker(lua, text, length);
    int count = 0;
    while (unpacker.left() != 0) {
        if (!unpacker.unpack()) {
            return luaL_error(lua, "bad data format in input");
        }
        ++count;
    }
    return count;
}

}  // namespace

void pack_number(int64_t number, std::string* out) {
    if (number >= 0) {
        append_number(out, static_cast<uint64_t>(number));
        return;
    }
    *out += '\xd3';
    for (int shift = 56; shift >= 0; shift -= 8) {
        *out += static_cast<char>(number >> shift);
    }
}

void pack_text(const std::string& text, std::string* out) {
    if (text.size() < 32) {
        *out += static_cast<char>(0xa0 | text.size());
    } else {
        *out += '\xd9';
        *out += static_cast<char>(text.size());
    }
    *out += text;
}

std::vector<int64_t> unpack_numbers(const std::string& packed) {
    lua_State* lua = luaL_newstate();
    Unpacker unpacker(lua, packed.data(), packed.size());
    if (!unpacker.unpack() || unpacker.left() != 0 || !lua_istable(lua, 1)) {
        std::abort();
    }
    std::vector<int64_t> numbers(lua_objlen(lua, 1));
    for (size_t i = 0; i < numbers.size(); ++i) {
        lua_rawgeti(lua, 1, static_cast<int>(i + 1));
        if (lua_type(lua, -1) != LUA_TNUMBER) {
            std::abort();
        }
        numbers[i] = static_cast<int64_t>(lua_tonumber(lua, -1));
        lua_pop(lua, 1);
    }
    lua_close(lua);
    return numbers;
}

std::string message_pack(const std::vector<uint64_t>& numbers) {
    std::string packed;
    if (numbers.size() < 16) {
        packed += static_cast<char>(0x90 | numbers.size());
    } else {
        packed += static_cast<char>(0xdc);
        packed += static_cast<char>(numbers.size() >> 8);
        packed += static_cast<char>(numbers.size());
    }
    for (const uint64_t number : numbers) {
        append_number(&packed, number);
    }
    return packed;
}

void open_message_pack(lua_State* lua) {
    lua_newtable(lua);
    lua_pushcfunction(lua, pack);
    lua_setfield(lua, -2, "pack");
    lua_pushcfunction(lua, unpack);
    lua_setfield(lua, -2, "unpack");
    lua_setglobal(lua, "cmsgpack");
}

}  // namespace ai_limit
