#!/bin/sh
# Prints the script that decides in Redis as Redis gets it: the .lua files of this folder one behind the
# other, without comments and needless spaces, with the number in place of each constant.
#
#   join.sh          print it
#   join.sh FOLDER   write it to FOLDER/script/script.lua.inc as a C++ literal, if it is new
#
# It must be short: Redis reads at most 16 KB from an unauthenticated client, and refuses a longer word
# with a protocol error that does not say that a password is missing. Complete files have twice as much.
#
# Written for any POSIX shell and awk, since nginx's build runs it.
set -eu
export LC_ALL=C

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
    ' fields.lua algorithms.lua keys.lua script.lua)
}

if [ $# = 0 ]; then
    print_script
    exit
fi

file=$1/script/script.lua.inc
mkdir -p "$1/script"
{ printf 'R"lua('; print_script; printf ')lua"\n'; } > "$file.new"
if cmp -s "$file.new" "$file"; then
    rm "$file.new"
else
    mv -f "$file.new" "$file"
fi
