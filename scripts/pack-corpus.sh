#!/bin/bash
# Packs the corpus of one fuzz target anew: what is in the archive and what a long run (make fuzz) has found,
# without the inputs that add no coverage. It prints the coverage of before and after.
#
#   scripts/pack-corpus.sh usage
set -euo pipefail

cd "$(dirname "$0")/.."
name=${1:?usage: $0 NAME, the NAME of t/fuzz/NAME_fuzz.cpp}
fuzzer=build/fuzz-$name/run
archive=t/fuzz/corpus/$name.tar.gz
[ -x "$fuzzer" ] || { echo "build it first: FUZZ_TARGET=$name make fuzz, and stop it" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old" "$work/merged"
if [ -e "$archive" ]; then
    tar -xzf "$archive" -C "$work/old"
fi
if [ -d "build/fuzz-$name/corpus" ]; then
    cp -n "build/fuzz-$name/corpus/"* "$work/old/" 2>/dev/null || true
fi

coverage() {
    "$fuzzer" -runs=0 "$1" 2>&1 | sed -n 's/.*DONE *\(cov: [0-9]* ft: [0-9]*\).*/\1/p'
}

"$fuzzer" -merge=1 "$work/merged" "$work/old" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
echo "before: $(ls "$work/old" | wc -l) inputs, $(coverage "$work/old")"
echo "after:  $(ls "$work/merged" | wc -l) inputs, $(coverage "$work/merged")"

# The same inputs give the same archive, on every machine.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -C "$work/merged" -cf - . |
    gzip -9n >"$archive"
