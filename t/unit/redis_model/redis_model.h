#pragma once

// A Redis for tests of the script that decides: Lua 5.1 itself, and of Redis only what the script
// uses, with a clock that the test sets. Scripts are kept from globals as Redis keeps them.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

struct lua_State;

namespace ai_limit {

class RedisModel {
public:
    /** `script`: Lua that returns an array of integers. */
    explicit RedisModel(std::string_view script)
        : RedisModel(std::pair<std::string_view, std::string_view>(script, {})) {}

    /** With a second script, unless that is "". */
    explicit RedisModel(std::pair<std::string_view, std::string_view> scripts);
    ~RedisModel();
    RedisModel(const RedisModel&) = delete;
    RedisModel& operator=(const RedisModel&) = delete;

    /** Milliseconds since the epoch. Keys that have expired by then are gone. */
    void set_clock(int64_t millis);

    /** Runs the script; nothing, and error() says why, where it fails. `which`: 1 or 2. */
    std::vector<int64_t> run(const std::vector<std::string>& keys,
                             const std::vector<std::string>& arguments, int which = 1);

    /** Returns the error of the last run, "" if it did not fail. */
    const std::string& error() const { return error_; }

    /** Commands that all runs have called. */
    uint64_t commands() const { return commands_; }

    bool exists(const std::string& key) const { return keys_.count(key) != 0; }

    /** "" where there is no string. */
    std::string get(const std::string& key) const;

    /** Milliseconds that the key has still; -1 where it stays for ever, -2 where it is not there.
     */
    int64_t time_to_live(const std::string& key) const;

    /** Returns all keys in order. */
    std::vector<std::string> keys() const;

    /** Puts a string there that stays for ever. */
    void put(const std::string& key, std::string_view value);

    /** Puts a sorted set with one member there that stays for ever. */
    void put_sorted_set(const std::string& key);

    /** Forgets the key, or all of them. */
    void remove(const std::string& key) { keys_.erase(key); }
    void remove_all() { keys_.clear(); }

private:
    using Arguments = std::vector<std::string>;

    struct Value {
        enum Kind { kText, kSet, kHash } kind = kText;
        std::string text;
        std::map<std::string, double> members;      // and their scores
        std::map<std::string, std::string> fields;  // and their values
        int64_t expires = -1;
    };
    using Keys = std::unordered_map<std::string, Value>;

public:
    /** Returns all that it holds: what a replica has that takes over later. */
    Keys contents() const { return keys_; }
    void restore(const Keys& contents);

private:
    /** The answer to a command. */
    struct Reply {
        enum Kind { kNil, kInteger, kText, kArray, kError } kind = kNil;
        int64_t integer = 0;
        std::string text;
        Arguments array;
    };

    static int call(lua_State* lua);
    static int protected_call(lua_State* lua);
    static bool push_reply(lua_State* lua, bool in_table);

    Reply execute(const Arguments& arguments);
    Reply execute_on_string(const Arguments& arguments);
    Reply execute_on_collection(const Arguments& arguments, Value::Kind kind);
    Reply execute_on_hash(const Arguments& arguments, Value* value);
    Reply execute_on_set(const Arguments& arguments, Value* value);
    Reply add_member(const Arguments& arguments, Value* value);
    Reply expire(const Arguments& arguments);
    void expire_at(const std::string& key, int64_t millis);

    lua_State* lua_;
    int scripts_ = 0;
    int64_t clock_ = 0;
    Keys keys_;
    std::multimap<int64_t, std::string> expiring_;  // also keys that last longer by now
    std::string error_;
    uint64_t commands_ = 0;
};

/** MessagePack of an array of integers, none of them negative. */
std::string message_pack(const std::vector<uint64_t>& numbers);

/** Appends values in MessagePack. */
void pack_number(int64_t number, std::string* out);
void pack_text(const std::string& text, std::string* out);
constexpr char kPackedNil = '\xc0';
constexpr char kPackedFalse = '\xc2';
constexpr char kPackedTrue = '\xc3';

/** The numbers of a packed array; ends the program where there is anything else. */
std::vector<int64_t> unpack_numbers(const std::string& packed);

}  // namespace ai_limit
