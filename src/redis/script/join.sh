#!/bin/sh
# Prints a script that decides in Redis as Redis gets it: .lua files of this folder one behind the other,
# without comments and needless spaces, with the number in place of each constant.
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

print_script() {
    (cd "$(dirname "$0")" && awk '
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
                line = line (line == "" ? "" : space) (token in number_of ? number_of[token] : token)
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
    '')     print_script $limit_files ;;
    --fair) print_script $fair_files ;;
    *)
        mkdir -p "$1/script"
        write_script "$1/script/script.lua.inc" $limit_files
        write_script "$1/script/fair.lua.inc" $fair_files
        ;;
esac
