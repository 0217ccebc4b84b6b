# Gets source trees of nginx and its forks. To be read by the scripts of this folder.

# The public repository of a server.
repository_of() {
    case $1 in
        nginx)     echo https://github.com/nginx/nginx ;;
        freenginx) echo https://github.com/freenginx/nginx ;;
        tengine)   echo https://github.com/alibaba/tengine ;;
        openresty) echo https://github.com/openresty/openresty ;;
        angie)     echo https://github.com/webserver-llc/angie ;;
    esac
}

# The newest release whose tag begins with $2, or nothing.
newest_tag() {
    git ls-remote --tags --refs "$1" "$2*" | sed 's,.*refs/tags/,,' | sort -V | tail -n 1
}

# Clones the tag or branch $2 of a repository into $3, which is kept for the next run.
clone() {
    local url=$1 tag=$2 to=$3
    [ ! -d "$to" ] || [ "$(cat "$to/.tag" 2>/dev/null)" != "$tag" ] || return 0
    rm -rf "$to"
    git -c advice.detachedHead=false clone --quiet --depth 1 ${tag:+--branch "$tag"} "$url" "$to" &&
        echo "$tag" >"$to/.tag"
}

# nginx with the patches that OpenResty's bundle applies, in the order of its script. `no_pool` is for its debugging.
openresty_tree() {
    local bundle=$cache/sources/openresty-bundle to=$cache/sources/openresty version patch
    clone "$(repository_of openresty)" '' "$bundle"
    version=$(sed -n 's/^main_ver=//p' "$bundle/util/ver")
    [ "$(cat "$to/.patched" 2>/dev/null)" != "$version" ] || return 0
    rm -rf "$to"
    clone "$(repository_of nginx)" "release-$version" "$to"
    sed -nE 's/^ *patch -p1 (-l )?< .*nginx-\$main_ver-([^ ]*\.patch).*/\2/p' "$bundle/util/mirror-tarballs" |
        while read -r patch; do
            patch=$bundle/patches/nginx/$version/nginx-$version-$patch
            [ -f "$patch" ] || continue
            # A fix that nginx has taken over since is applied by their script for older versions only.
            ! patch -d "$to" -p1 --reverse --force --dry-run <"$patch" >/dev/null || continue
            patch -d "$to" -p1 --forward <"$patch" || return 1
        done
    echo "$version" >"$to/.patched"
}

# Sets $tree to the source of target $1: server $2, of the newest release whose tag begins with $3.
find_source() {
    local name=$1 server=$2 prefix=${3:-} url tag=
    if [ -n "${MATRIX_SOURCES:-}" ]; then
        tree=$MATRIX_SOURCES/$name
        [ ! -d "$tree" ] || return 0
        [ -f "$tree.tar.gz" ] || not_tried "no $name or $name.tar.gz in MATRIX_SOURCES"
        mkdir -p "$cache/sources/$name"
        tar -xzf "$tree.tar.gz" --strip-components=1 -C "$cache/sources/$name"
        tree=$cache/sources/$name
        return 0
    fi
    tree=$cache/sources/$name
    url=$(repository_of "$server")
    command -v git >/dev/null || not_tried 'git is missing'
    git ls-remote "$url" HEAD >/dev/null || not_tried "$url cannot be reached"
    if [ "$server" = openresty ]; then
        openresty_tree
        return
    fi
    [ "$server" != angie ] || prefix=Angie-
    [ -z "$prefix" ] || tag=$(newest_tag "$url" "$prefix")
    clone "$url" "$tag" "$tree"
}

# Prints the version of a tree as its server would.
tree_version() {
    { cat "$1/src/core/nginx.h" "$1/src/core/angie.h" 2>/dev/null || true; } |
        sed -nE 's/^#define (NGINX|TENGINE|ANGIE)_VERSION *"(.*)"/\1 \2/p' | tr 'A-Z' 'a-z' | paste -sd ' '
}
