#!/bin/bash
# Builds the Debian package libnginx-mod-http-ai-limit into build/deb/, for Debian's own nginx, in a copy
# of the tree there: nothing is left outside of it. Where nothing has changed it stays as it is.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=$PWD/build/deb
tree=$folder/source
log=$folder/build.log

git() { command git -c safe.directory="$PWD" "$@"; }    # as in version.sh

parts=(config config.make src debian conf-examples README.md docs CHANGELOG.md LICENSE)

# Lists the files of these parts that exist, committed or not, without those that git ignores.
sources() {
    if [ -e .git ]; then
        git ls-files -z --cached --others --exclude-standard "${parts[@]}"
    else
        find "${parts[@]}" -type f -print0
    fi | while IFS= read -r -d '' file; do
        [ ! -e "$file" ] || printf '%s\0' "$file"
    done
}

copy_sources() {
    rm -rf "$tree"
    mkdir -p "$tree"
    sources | tar -c --null -T - | tar -x -C "$tree"
}

when() {
    if [ -e .git ]; then git log -1 --format=%cD; else date -R -r CHANGELOG.md; fi
}

# Whoever builds a package answers for it: the name and address that Debian's tools take, then git's, then those of
# the user on this machine.
maintainer() {
    local name=${DEBFULLNAME:-${NAME:-$(git config user.name)}} address=${DEBEMAIL:-${EMAIL:-$(git config user.email)}}
    if [[ $address == *'<'*'>' ]]; then
        echo "$address"
        return
    fi
    [ -n "$name" ] || name=$(getent passwd "$(id -u)" | cut -d: -f5 | cut -d, -f1)
    [ -n "$address" ] || address=$(id -un)@$(cat /etc/mailname 2>/dev/null || hostname -f 2>/dev/null || hostname)
    echo "${name:-$(id -un)} <$address>"
}

write_maintainer() {
    sed -i "s|^# scripts/deb.sh adds the Maintainer.*|Maintainer: $maintainer|" "$tree/debian/control"
}

write_changelog() {
    cat >"$tree/debian/changelog" <<END
nginx-ai-limit ($1) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $maintainer  $(when)
END
}

build() {
    cd "$tree"
    # Nothing of the make that may have started this.
    env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS DEB_BUILD_OPTIONS="parallel=$(nproc)" \
        dpkg-buildpackage -b -uc -us
}

version=$(scripts/version.sh)-1
maintainer=$(maintainer)
stamp="$version $maintainer $(dpkg-query -W nginx-dev debhelper) $(sources | xargs -0 sha256sum | sha256sum)"
package=$folder/libnginx-mod-http-ai-limit_${version}_$(dpkg --print-architecture).deb
if [ -e "$package" ] && [ "$(cat "$folder/.built" 2>/dev/null)" = "$stamp" ]; then
    echo "${package#"$PWD"/} is up to date"
    exit 0
fi

mkdir -p "$folder"
rm -f "$folder"/{*.deb,*.ddeb,*.buildinfo,*.changes,.built}
copy_sources
write_maintainer
write_changelog "$version"
( build ) >"$log" 2>&1 || {
    grep -E -A 6 'error:|\*\*\*|Unmet build dependencies' "$log" >&2 || tail -n 40 "$log" >&2
    echo "the package was not built; all of it: ${log#"$PWD"/}" >&2
    exit 1
}
echo "$stamp" >"$folder/.built"
echo "${package#"$PWD"/} is built"
