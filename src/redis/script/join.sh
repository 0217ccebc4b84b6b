#!/bin/sh
# Prints a script that decides in Redis as Redis gets it: .lua files of this folder one behind the other,
# without comments and needless spaces, with the number in place of each constant. The longer one also has
# short names in place of its own long ones.
#
#   join.sh          print the script
#   join.sh --fair   print the one that also decides on sharers and turns
#   join.sh FOLDER   write both to FOLDER/script/*.lua.inc as C++ literals, if they are new
#
# A script must be short: Redis reads at most 16 KB from an unauthenticated client, and refuses a longer word
# with a protocol error that does not say that a password is missing. Complete files have twice as much.
#
# Written for any POSIX shell and awk, since nginx's build runs it.
set -eu
export LC_ALL=C

limit_files='fields.lua algorithms.lua keys.lua charges.lua script.lua'
fair_files='fields.lua algorithms.lua keys.lua charges.lua sharers.lua turns.lua fair.lua'

# Prints the script of these files. Names that Lua and Redis know stay, and those of one to three letters.
print_script() {
    known='and break do else elseif end false for function if in local nil not or repeat return then true until
        while ARGV KEYS cmsgpack ipairs math pcall redis string tonumber type unpack'
    (cd "$(dirname "$0")" && awk -v shortens="$shortens" -v known="$known" '
        BEGIN {
            count = split(known, words)
            for (i = 1; i <= count; i++) {
                name_of[words[i]] = words[i]
            }
        }

        # Returns what the script has in place of a word: A to Z, then A0 to Z0, and so on.
        function short_name(word) {
            if (!shortens || length(word) < 4 || word !~ /^[A-Za-z_]/ || line ~ /(cmsgpack|math|redis|string)\.$/) {
                return word
            }
            if (!(word in name_of)) {
                name_of[word] = sprintf("%c", 65 + names % 26) (names < 26 ? "" : int(names / 26) - 1)
                names++
            }
            return name_of[word]
        }

        # "local NAME = 3" at the beginning of a line declares a constant.
        /^local [A-Z][A-Z0-9_]* = [0-9]+( +--.*)?$/ {
            number_of[$2] = $4
            next
        }

        {
            line = ""
            rest = $0
            while (rest != "" && rest !~ /^ *--/) {
                space = match(rest, /^ +/) ? " " : ""
                sub(/^ +/, "", rest)
                if (!match(rest, /^[A-Za-z0-9_]+/) && !match(rest, /^\047[^\047]*\047/)) {
                    match(rest, /^./)
                }
                token = substr(rest, 1, RLENGTH)
                rest = substr(rest, RLENGTH + 1)
                # A space stays where two words, two minus signs or a point and a number would become one.
                last = substr(line, length(line))
                if (!(last ~ /[A-Za-z0-9_]/ && token ~ /^[A-Za-z0-9_]/) && last token != "--" &&
                    last != "." && token != ".") {
                    space = ""
                }
                line = line (line == "" ? "" : space) (token in number_of ? number_of[token] : short_name(token))
            }
            if (line != "") {
                print line
            }
        }
    ' "$@")
}

# Writes the script of the other files to this one, if it is new.
write_script() {
    file=$1
    shift
    { printf 'R"lua('; print_script "$@"; printf ')lua"\n'; } > "$file.new"
    if cmp -s "$file.new" "$file"; then
        rm "$file.new"
    else
        mv -f "$file.new" "$file"
    fi
}

# shellcheck disable=SC2086 # the names are words
case ${1:-} in
    '')     shortens=0 print_script $limit_files ;;
    --fair) shortens=1 print_script $fair_files ;;
    *)
        mkdir -p "$1/script"
        shortens=0 write_script "$1/script/script.lua.inc" $limit_files
        shortens=1 write_script "$1/script/fair.lua.inc" $fair_files
        ;;
esac
