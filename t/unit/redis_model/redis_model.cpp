#include "redis_model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <lua5.1/lua.hpp>
#include <utility>

#include "lua_message_pack.h"

namespace ai_limit {

namespace {

// Lua's errors jump over C++'s destructors, so what calls lua_error() owns nothing.

const char kWrongType[] = "WRONGTYPE Operation against a key holding the wrong kind of value";

/** Guards globals as Redis does for its scripts. */
const char kGuard[] =
    "setmetatable(_G, {"
    "  __newindex = function(_, name) error('writes the global ' .. tostring(name), 2) end,"
    "  __index = function(_, name) error('reads the global ' .. tostring(name), 2) end})";

void set_global_array(lua_State* lua, const char* name, const std::vector<std::string>& texts) {
    lua_pushstring(lua, name);
    lua_createtable(lua, static_cast<int>(texts.size()), 0);
    for (size_t i = 0; i < texts.size(); ++i) {
        lua_pushlstring(lua, texts[i].data(), texts[i].size());
        lua_rawseti(lua, -2, static_cast<int>(i + 1));
    }
    lua_rawset(lua, LUA_GLOBALSINDEX);
}

double score_of(const std::string& text) {
    return text == "-inf"   ? -std::numeric_limits<double>::infinity()
           : text == "+inf" ? std::numeric_limits<double>::infinity()
                            : std::strtod(text.c_str(), nullptr);
}

std::string text_of(double number) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.17g", number);
    return text;
}

/** Numbers as Redis passes them on. */
std::string argument_at(lua_State* lua, int index) {
    if (lua_type(lua, index) == LUA_TNUMBER) {
        return text_of(lua_tonumber(lua, index));
    }
    size_t length = 0;
    const char* text = lua_tolstring(lua, index, &length);
    return {text, length};
}

}  // namespace

RedisModel::RedisModel(std::pair<std::string_view, std::string_view> scripts)
    : lua_(luaL_newstate()) {
    luaL_openlibs(lua_);
    lua_newtable(lua_);
    const std::pair<const char*, lua_CFunction> commands[] = {{"call", call},
                                                              {"pcall", protected_call}};
    for (const auto& [name, function] : commands) {
        lua_pushlightuserdata(lua_, this);
        lua_pushcclosure(lua_, function, 1);
        lua_setfield(lua_, -2, name);
    }
    lua_setglobal(lua_, "redis");
    open_message_pack(lua_);
    bool is_good = luaL_dostring(lua_, kGuard) == 0;
    // The scripts stay at the bottom of the stack.
    for (const std::string_view script : {scripts.first, scripts.second}) {
        if (is_good && !script.empty()) {
            is_good = luaL_loadbuffer(lua_, script.data(), script.size(), "script") == 0;
            ++scripts_;
        }
    }
    if (!is_good) {
        std::fprintf(stderr, "%s\n", lua_tostring(lua_, -1));
        std::abort();
    }
}

RedisModel::~RedisModel() {
    lua_close(lua_);
}

void RedisModel::set_clock(int64_t millis) {
    clock_ = millis;
    while (!expiring_.empty() && expiring_.begin()->first <= clock_) {
        const auto key = keys_.find(expiring_.begin()->second);
        if (key != keys_.end() && key->second.expires >= 0 && key->second.expires <= clock_) {
            keys_.erase(key);
        }
        expiring_.erase(expiring_.begin());
    }
}

void RedisModel::expire_at(const std::string& key, int64_t millis) {
    keys_[key].expires = millis;
    expiring_.emplace(millis, key);
}

void RedisModel::restore(const Keys& contents) {
    keys_ = contents;
    for (const auto& [name, value] : contents) {
        if (value.expires >= 0) {
            expiring_.emplace(value.expires, name);
        }
    }
    set_clock(clock_);
}

std::vector<int64_t> RedisModel::run(const std::vector<std::string>& keys,
                                     const std::vector<std::string>& arguments, int which) {
    set_global_array(lua_, "KEYS", keys);
    set_global_array(lua_, "ARGV", arguments);
    error_.clear();
    std::vector<int64_t> numbers;
    lua_pushvalue(lua_, which);
    if (lua_pcall(lua_, 0, 1, 0) != 0) {
        const char* text = lua_tostring(lua_, -1);
        error_ = text != nullptr ? text : "an error that is no text";
    } else if (lua_type(lua_, -1) != LUA_TSTRING) {
        error_ = "the script returns no text";
    } else {
        numbers = unpack_numbers({lua_tostring(lua_, -1), lua_objlen(lua_, -1)});
    }
    lua_settop(lua_, scripts_);
    return error_.empty() ? numbers : std::vector<int64_t>{};
}

std::string RedisModel::get(const std::string& key) const {
    const auto found = keys_.find(key);
    return found == keys_.end() ? "" : found->second.text;
}

int64_t RedisModel::time_to_live(const std::string& key) const {
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
        return -2;
    }
    return found->second.expires < 0 ? -1 : found->second.expires - clock_;
}

std::vector<std::string> RedisModel::keys() const {
    std::vector<std::string> names;
    for (const auto& key : keys_) {
        names.push_back(key.first);
    }
    std::sort(names.begin(), names.end());
    return names;
}

void RedisModel::put(const std::string& key, std::string_view value) {
    keys_[key] = Value{};
    keys_[key].text = value;
}

void RedisModel::put_sorted_set(const std::string& key) {
    keys_[key] = Value{};
    keys_[key].kind = Value::kSet;
    keys_[key].members["somebody"] = 1;
}

/** Leaves the reply on Lua's stack; true where it is an error. */
bool RedisModel::push_reply(lua_State* lua, bool in_table) {
    RedisModel* model = static_cast<RedisModel*>(lua_touserdata(lua, lua_upvalueindex(1)));
    Arguments arguments;
    for (int i = 1; i <= lua_gettop(lua); ++i) {
        arguments.push_back(argument_at(lua, i));
    }
    const Reply reply = model->execute(arguments);
    switch (reply.kind) {
        case Reply::kNil:
            lua_pushboolean(lua, 0);
            break;
        case Reply::kInteger:
            lua_pushnumber(lua, static_cast<double>(reply.integer));
            break;
        case Reply::kText:
            lua_pushlstring(lua, reply.text.data(), reply.text.size());
            break;
        case Reply::kArray:
            lua_newtable(lua);
            for (size_t i = 0; i < reply.array.size(); ++i) {
                lua_pushlstring(lua, reply.array[i].data(), reply.array[i].size());
                lua_rawseti(lua, -2, static_cast<int>(i + 1));
            }
            break;
        case Reply::kError:
            if (in_table) {
                lua_newtable(lua);
            }
            lua_pushlstring(lua, reply.text.data(), reply.text.size());
            if (in_table) {
                lua_setfield(lua, -2, "err");
            }
            return true;
    }
    return false;
}

int RedisModel::call(lua_State* lua) {
    return push_reply(lua, false) ? lua_error(lua) : 1;
}

int RedisModel::protected_call(lua_State* lua) {
    push_reply(lua, true);
    return 1;
}

RedisModel::Reply RedisModel::execute(const Arguments& arguments) {
    ++commands_;
    const std::string& command = arguments[0];
    Reply reply;
    if (command == "TIME") {
        reply.kind = Reply::kArray;
        reply.array = {std::to_string(clock_ / 1000), std::to_string(clock_ % 1000 * 1000 + 999)};
        return reply;
    }
    const std::string& key = arguments.at(1);
    reply.kind = Reply::kInteger;
    if (command == "EXISTS") {
        reply.integer = exists(key) ? 1 : 0;
        return reply;
    }
    if (command == "DEL") {
        reply.integer = static_cast<int64_t>(keys_.erase(key));
        return reply;
    }
    if (command == "PEXPIRE") {
        return expire(arguments);
    }
    if (command == "GET" || command == "SET") {
        return execute_on_string(arguments);
    }
    const bool is_hash = command == "HGET" || command == "HSET";
    return execute_on_collection(arguments, is_hash ? Value::kHash : Value::kSet);
}

RedisModel::Reply RedisModel::execute_on_collection(const Arguments& arguments, Value::Kind kind) {
    Reply reply;
    const std::string& key = arguments[1];
    const auto found = keys_.find(key);
    if (found != keys_.end() && found->second.kind != kind) {
        reply.kind = Reply::kError;
        reply.text = kWrongType;
        return reply;
    }
    Value fresh;
    fresh.kind = kind;
    Value* value = found != keys_.end() ? &found->second : &fresh;
    reply =
        kind == Value::kHash ? execute_on_hash(arguments, value) : execute_on_set(arguments, value);
    if (value->members.empty() && value->fields.empty()) {
        keys_.erase(key);
    } else if (value == &fresh) {
        keys_[key] = fresh;
    }
    return reply;
}

RedisModel::Reply RedisModel::execute_on_string(const Arguments& arguments) {
    Reply reply;
    const std::string& key = arguments[1];
    if (arguments[0] == "GET") {
        const auto found = keys_.find(key);
        if (found != keys_.end()) {
            const bool is_text = found->second.kind == Value::kText;
            reply.kind = is_text ? Reply::kText : Reply::kError;
            reply.text = is_text ? found->second.text : kWrongType;
        }
        return reply;
    }
    const int64_t lasts =
        arguments.size() == 5 && arguments[3] == "PX" ? std::atoll(arguments[4].c_str()) : 0;
    if (lasts <= 0 || std::to_string(lasts) != arguments[4]) {
        reply.kind = Reply::kError;
        reply.text = "ERR invalid expire time in 'set' command";
        return reply;
    }
    Value value;
    value.text = arguments[2];
    keys_[key] = value;
    expire_at(key, clock_ + lasts);
    reply.kind = Reply::kText;
    reply.text = "OK";
    return reply;
}

RedisModel::Reply RedisModel::expire(const Arguments& arguments) {
    Reply reply;
    reply.kind = Reply::kInteger;
    const auto found = keys_.find(arguments[1]);
    if (found != keys_.end()) {
        reply.integer = 1;
        expire_at(arguments[1], clock_ + std::atoll(arguments.at(2).c_str()));
    }
    return reply;
}

RedisModel::Reply RedisModel::execute_on_hash(const Arguments& arguments, Value* value) {
    Reply reply;
    const auto field = value->fields.find(arguments.at(2));
    if (arguments[0] == "HGET") {
        if (field != value->fields.end()) {
            reply.kind = Reply::kText;
            reply.text = field->second;
        }
        return reply;
    }
    reply.kind = Reply::kInteger;
    reply.integer = field == value->fields.end() ? 1 : 0;
    value->fields[arguments[2]] = arguments.at(3);
    return reply;
}

RedisModel::Reply RedisModel::execute_on_set(const Arguments& arguments, Value* value) {
    const std::string& command = arguments[0];
    Reply reply;
    reply.kind = Reply::kInteger;
    if (command == "ZADD") {
        return add_member(arguments, value);
    }
    if (command == "ZREM") {
        reply.integer = static_cast<int64_t>(value->members.erase(arguments.at(2)));
        return reply;
    }
    if (command == "ZCARD") {
        reply.integer = static_cast<int64_t>(value->members.size());
        return reply;
    }
    std::vector<std::pair<double, std::string>> order;
    for (const auto& [member, score] : value->members) {
        order.emplace_back(score, member);
    }
    std::sort(order.begin(), order.end());
    if (command == "ZRANGE") {
        const bool with_scores = arguments.size() == 5 && arguments[4] == "WITHSCORES";
        const size_t last = static_cast<size_t>(std::atoll(arguments.at(3).c_str()));  // -1: all
        reply.kind = Reply::kArray;
        for (size_t i = 0; i < order.size() && i <= last; ++i) {
            reply.array.push_back(order[i].second);
            if (with_scores) {
                reply.array.push_back(text_of(order[i].first));
            }
        }
        return reply;
    }
    const double low = score_of(arguments.at(2));
    const double high = score_of(arguments.at(3));
    const bool removes = command == "ZREMRANGEBYSCORE";
    if (!removes && command != "ZRANGEBYSCORE") {
        reply.kind = Reply::kError;
        reply.text = "ERR unknown command '" + command + "'";
        return reply;
    }
    reply.kind = removes ? Reply::kInteger : Reply::kArray;
    for (const auto& [score, member] : order) {
        if (score < low || score > high) {
            continue;
        }
        if (removes) {
            reply.integer += static_cast<int64_t>(value->members.erase(member));
        } else {
            reply.array.push_back(member);
        }
    }
    return reply;
}

RedisModel::Reply RedisModel::add_member(const Arguments& arguments, Value* value) {
    const bool only_known = arguments.at(2) == "XX";
    const std::string& member = arguments.at(only_known ? 4 : 3);
    Reply reply;
    reply.kind = Reply::kInteger;
    const bool is_known = value->members.count(member) != 0;
    if (!only_known || is_known) {
        value->members[member] = score_of(arguments.at(only_known ? 3 : 2));
        reply.integer = is_known ? 0 : 1;
    }
    return reply;
}

}  // namespace ai_limit
