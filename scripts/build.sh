#!/bin/bash
# Builds the module, quietly; prints the compiler's words only when it fails.
#
#   scripts/build.sh            against the installed nginx
#   NGINX_SRC=path              against a source tree, of which a copy is built,
#                               nginx itself too (BUILD/objs/nginx)
#   NGINX_CC_OPT, NGINX_LD_OPT  the flags of the compiler and the linker for such a tree
#   SANITIZE=1                  the same with AddressSanitizer and UBSan
#   AI_LIMIT_WERROR=1           a warning is an error
#
# The module ends up at $OUT, by rename, so that a running nginx that has the old
# one mapped keeps it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
jobs=$(nproc 2>/dev/null || echo 2)
module=ngx_http_ai_limit_module.so
mkdir -p "$build"

sanitize_cc='-O1 -g -fsanitize=address,undefined -fno-sanitize=nonnull-attribute'
sanitize_cc+=' -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 -DNGX_SUPPRESS_WARN=1'
# Unaligned loads of nginx's own that x86 allows would drown what is ours.
sanitize_cc+=' -DNGX_HAVE_NONALIGNED=0'

# The tests need these options in an nginx that we configure ourselves.
own_flags=(
    --with-compat --with-debug --with-threads
    --with-http_ssl_module --with-http_v2_module --with-http_realip_module
    --with-http_auth_request_module --with-http_gunzip_module
    --with-http_gzip_static_module --with-http_slice_module
    --with-http_stub_status_module --with-http_sub_module --with-http_addition_module
)

# nginx -V, one configure argument a line.
installed_flags() {
    nginx_binary -V 2>&1 | sed -n 's/^configure arguments: //p' | xargs -n 1 printf '%s\n'
}

nginx_binary() { PATH=$PATH:/usr/sbin:/usr/local/sbin nginx "$@"; }

# Prints the version of the nginx at $1, such as 1.22.1, or openresty/1.27.1.1.
version_of() { "$1" -v 2>&1 | sed -n 's|^nginx version: \(nginx/\)\{0,1\}\([^ ]*\).*|\2|p'; }

# Prints the version of nginx that the server at $1 is made from: 1.27.1 for openresty/1.27.1.1. Angie says it with -V only.
nginx_version_of() { "$1" -V 2>&1 | sed -nE 's,^nginx version: ([a-z]+/)?([0-9]+\.[0-9]+\.[0-9]+).*,\2,p'; }

tree_version() { sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$1/src/core/nginx.h"; }

# Copies what a build needs, and nothing of what an earlier one left there.
copy_tree() {
    local from=$1 to=$2 part
    mkdir -p "$to"
    for part in auto conf configure contrib src man docs html misc CHANGES LICENSE; do
        [ ! -e "$from/$part" ] || cp -a --update "$from/$part" "$to/"
    done
    [ -x "$to/configure" ] || cp "$to/auto/configure" "$to/configure"
}

# Configures only when something that configure looks at has changed.
configure() {
    local stamp
    stamp=$(printf '%s\n' ${CC:+"$CC"} "$@" "${AI_LIMIT_WERROR:-}"; cat "$root/config" "$root/config.make"; find "$root/src" | sort)
    if [ -f objs/Makefile ] && [ "$(cat objs/.configured 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    ./configure --add-dynamic-module="$root" "$@" && printf '%s\n' "$stamp" > objs/.configured
}

# Explains how to get the source of the nginx at $1, which is of version $2, if there is none. nginx
# does not load a module that was built for another version.
explain_source() {
    local version=$2
    if [[ $version =~ ^[0-9.]+$ ]]; then
        cat >&2 <<END
$1 is nginx $version, and no source of this version was found here. Get it, build with it, and install:
  curl -fsSO https://nginx.org/download/nginx-$version.tar.gz && tar -xzf nginx-$version.tar.gz
  make install NGINX_SRC=nginx-$version NGINX_BIN=$1
(nginx.org's packages: a deb-src line beside the deb line in /etc/apt makes this unnecessary.)
END
    else
        echo "$1 is $version. Build with its source tree: make install NGINX_SRC=path NGINX_BIN=$1" >&2
    fi
    exit 1
}

# The tree of the installed nginx: from nginx-dev, or else its source package.
find_source() {
    local tree=/usr/share/nginx/src
    [ -x "$tree/configure" ] && [ "$(tree_version "$tree")" = "$version" ] && echo "$tree" && return
    tree=$("$root/scripts/nginx-source.sh" "$build/nginx-source" "$version") && echo "$tree"
}

# nginx itself is built as well, unless the module is for one that exists (NGINX_BIN).
prepare_tree() {
    kind=src
    version=$(tree_version "$NGINX_SRC")
    from=$(cd "$NGINX_SRC" && pwd)
    targets=(build modules)
    flags=("${own_flags[@]}")
    ! grep -q http_v3_module "$from/auto/options" || flags+=(--with-http_v3_module)
    flags+=(--prefix="$build/nginx-src/prefix" --with-cc-opt="${NGINX_CC_OPT:--g -O2}")
    [ -z "${NGINX_LD_OPT:-}" ] || flags+=(--with-ld-opt="$NGINX_LD_OPT")
    if [ -n "${NGINX_BIN:-}" ] && [ "$NGINX_BIN" != "$build/nginx-src/objs/nginx" ]; then
        targets=(modules)
        if [ "$(nginx_version_of "$NGINX_BIN")" != "$version" ]; then
            echo "$NGINX_BIN is $(nginx_version_of "$NGINX_BIN"), but NGINX_SRC=$NGINX_SRC is $version:" \
                "nginx loads modules of its own version only" >&2
            exit 1
        fi
    fi
}

prepare() {
    local binary
    if [ -n "${NGINX_SRC:-}" ]; then
        if [ ! -f "$NGINX_SRC/src/core/nginx.h" ]; then
            echo "NGINX_SRC=$NGINX_SRC is no nginx source tree" >&2
            exit 1
        fi
        prepare_tree
    else
        binary=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx) ||
            { echo "nginx is not installed: make deps, or NGINX_SRC=path" >&2; exit 1; }
        kind=installed
        version=$(version_of "$binary")
        from=$(find_source) || explain_source "$binary" "$version"
        targets=(modules)
        # Other dynamic modules would only want libraries of their own.
        mapfile -t flags < <(installed_flags | grep -v -E '=dynamic$|^--add-(dynamic-)?module=')
        [[ " ${flags[*]} " == *" --with-compat "* ]] || flags+=(--with-compat)
    fi

    if [ -n "${SANITIZE:-}" ]; then
        kind=sanitize
        targets=(build modules)
        flags=("${own_flags[@]}" --prefix="$build/nginx-sanitize/prefix"
               --with-cc-opt="$sanitize_cc" --with-ld-opt="-fsanitize=address,undefined")
    fi

    tree=$build/nginx-$kind
    out=${OUT:-$build/$module}
    [ -z "${SANITIZE:-}" ] || out=$tree/$module
}

compile() {
    # Another tree or version begins anew.
    if [ "$(cat "$tree/.from" 2>/dev/null)" != "$from $version" ]; then
        rm -rf "$tree"
        mkdir -p "$tree"
    fi
    copy_tree "$from" "$tree"
    echo "$from $version" > "$tree/.from"
    cd "$tree"
    configure "${flags[@]}" && make -j "$jobs" -f objs/Makefile "${targets[@]}"
}

prepare
[ -f "$out" ] || echo "building the module for nginx $version, which takes a minute"
log=$build/build-$kind.log
( compile ) >"$log" 2>&1 || {
    grep -E -A 6 'error:|undefined reference|\*\*\*' "$log" >&2 || tail -n 40 "$log" >&2
    echo "the build failed; all of it: $log" >&2
    exit 1
}

if ! cmp -s "$tree/objs/$module" "$out"; then
    cp "$tree/objs/$module" "$out.new"
    mv -f "$out.new" "$out"
fi
echo "${out#"$root"/} is built for nginx $version"
