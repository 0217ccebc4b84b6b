#!/bin/bash
# Compiles every source against musl's headers, so that a use of glibc alone is found. Debian has no C++ library for
# musl, so nothing is linked or run: LLVM's headers stand in for one. nginx's own headers are those of the build here.
#
#   scripts/matrix/musl.sh TARGET
set -euo pipefail

. "$(dirname "$0")/functions.sh"

musl=/usr/include/$(uname -m)-linux-musl
[ -d "$musl" ] || not_tried 'musl is missing (musl-tools)'
libcxx=$(clang -print-resource-dir 2>/dev/null)/../../../include/c++/v1
[ -d "$libcxx" ] || not_tried "LLVM's C++ library is missing (libc++-dev)"

work=$cache/trees/musl
copy_project "$work"
cd "$work"
DEPS=no make module
nginx=$(find build -maxdepth 1 -name 'nginx-*' -type d | head -n 1)

# Other libraries' headers, and none of glibc's.
include=$work/build/include
rm -rf "$include"
mkdir -p "$include/openssl"
gnu=/usr/include/$(uname -m)-linux-gnu
for header in xxhash.h zlib.h zconf.h hiredis nlohmann brotli pcre.h pcre2.h linux asm-generic; do
    for folder in /usr/include "$gnu"; do
        [ ! -e "$folder/$header" ] || ln -sfn "$folder/$header" "$include/$header"
    done
done
ln -sfn "$gnu/asm" "$include/asm"
# Debian's package of musl leaves out this header, which nginx asks for.
[ -f "$musl/crypt.h" ] || echo 'struct crypt_data { int initialized; char buffer[256]; };' >"$include/crypt.h"
ln -sf /usr/include/openssl/*.h "$gnu"/openssl/*.h "$include/openssl/"

flags=(--target="$(uname -m)-linux-musl" -D_LIBCPP_HAS_MUSL_LIBC -nostdlibinc -isystem "$libcxx" -isystem "$musl"
    -idirafter "$include" -std=c++17 -fno-exceptions -fno-rtti -Wall -Wextra -Wno-unused-parameter -Werror
    -fsyntax-only -Isrc -I"$nginx/objs/addon")
for folder in core event event/modules event/quic os/unix http http/modules http/v2 http/v3; do
    flags+=(-isystem "$nginx/src/$folder")
done
flags+=(-isystem "$nginx/objs")

failed=0 count=0
while read -r source; do
    count=$((count + 1))
    clang++ "${flags[@]}" "$source" || failed=$((failed + 1))
done < <(find src -name '*.cpp' | sort)
said=passed
[ "$failed" = 0 ] || said="$failed of $count sources failed"
result "musl $(dpkg-query -W -f='${Version}' musl-dev 2>/dev/null || true)" "$count sources compile: $said" \
    "not tried: Debian has no C++ library for musl" "not tried"
