#!/bin/bash
# Compiles the module with the flags that other distributions give to nginx, and runs the smoke test. The
# compiler and the libraries are those of this machine.
#
#   scripts/matrix/flags.sh TARGET NAME
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/sources.sh"

case $2 in
    # dpkg-buildflags of Ubuntu 24.04 and nginx's debian/rules.
    ubuntu)
        cc='-g -O2 -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -flto=auto -ffat-lto-objects'
        cc+=' -fstack-protector-strong -fstack-clash-protection -Wformat -Werror=format-security -fcf-protection -fPIC'
        cc+=' -Wdate-time -D_FORTIFY_SOURCE=3'
        ld='-Wl,-Bsymbolic-functions -flto=auto -ffat-lto-objects -Wl,-z,relro -Wl,-z,now -fPIC'
        ;;
    # redhat-rpm-config of Fedora 41, without the files of its specs.
    fedora)
        cc='-O2 -flto=auto -ffat-lto-objects -fexceptions -g -grecord-gcc-switches -pipe -Wall -Werror=format-security'
        cc+=' -Wp,-U_FORTIFY_SOURCE,-D_FORTIFY_SOURCE=3 -Wp,-D_GLIBCXX_ASSERTIONS -fstack-protector-strong -m64'
        cc+=' -march=x86-64 -mtune=generic -fasynchronous-unwind-tables -fstack-clash-protection -fcf-protection'
        cc+=' -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer'
        ld='-Wl,-z,relro -Wl,--as-needed -Wl,-z,pack-relative-relocs -Wl,-z,now -flto=auto -ffat-lto-objects -Wl,-E'
        ;;
    lto)
        cc='-O2 -flto=auto'
        ld='-flto=auto -O2'
        ;;
esac

find_source nginx-1.30 nginx release-1.30
version="$(gcc --version | head -n 1), $(tree_version "$tree")"
work=$cache/trees/flags
copy_project "$work"
# Only the linker sees two types of one name.
odr='-Werror=odr -Werror=lto-type-mismatch'
export DEPS=no NGINX_SRC=$tree NGINX_CC_OPT="$cc $odr" NGINX_LD_OPT="$ld $odr" AI_LIMIT_WERROR=1
make -C "$work" module || { result "$version" failed; exit 1; }
export NGINX_BIN=$work/build/nginx-src/objs/nginx
result "$version" passed "$(smoke "$work")"
