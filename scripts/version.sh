#!/bin/bash
# Prints the version: that of src/core/words/version.h, and where HEAD is not tagged as it or something
# has been changed since, the commit with it: 0.1.0~git20260102030405.1234567. Debian's order puts that
# before the release 0.1.0, and later commits behind earlier ones. A tag that says another
# version is an error.
set -euo pipefail

cd "$(dirname "$0")/.."
version=$(sed -n 's/.*kVersion\[\] = "\(.*\)";/\1/p' src/core/words/version.h)
[[ "$version" =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] ||
    { echo "src/core/words/version.h has no version that is one: '$version'" >&2; exit 1; }

# The owner of the tree may be somebody else, as with sudo or in a container: make is run in it all the same.
git() { command git -c safe.directory="$PWD" "$@"; }

# Without its history (the archive of a release) there is nothing more to tell.
if [ ! -e .git ]; then
    echo "$version"
    exit 0
fi

tagged=
tags=$(git tag --points-at HEAD --list 'v[0-9]*')
for tag in $tags; do
    [ "$tag" = "v$version" ] ||
        { echo "HEAD is tagged $tag, but src/core/words/version.h says $version" >&2; exit 1; }
    tagged=1
done

changed=$(git status --porcelain)
if [ -z "$tagged" ] || [ -n "$changed" ]; then
    version+=~git$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S)
    version+=.$(git log -1 --abbrev=7 --format=%h)${changed:+.changed}
fi
echo "$version"
