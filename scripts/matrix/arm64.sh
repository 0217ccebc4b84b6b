#!/bin/bash
# Cross-builds for arm64 in a chroot of Debian: the unit tests, and nginx with the module. qemu runs both here.
#
#   scripts/matrix/arm64.sh TARGET SUITE
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/chroots.sh"
. "$(dirname "$0")/sources.sh"

qemu=$(command -v qemu-aarch64-static) || not_tried 'qemu-user-static is missing'

# The kernel runs programs of arm64 by qemu, as nginx's configure wants it. Prints what was there before.
binfmt=/proc/sys/fs/binfmt_misc
mounted='' registered=''
[ -e "$binfmt/register" ] || { mount -t binfmt_misc binfmt_misc "$binfmt" && mounted=1; } ||
    not_tried 'the kernel has no binfmt_misc'
if [ ! -e "$binfmt/qemu-aarch64" ]; then
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf ':qemu-aarch64:M::%s:%s:%s:OCF' "$magic" "$mask" "$qemu" >"$binfmt/register"
    registered=1
fi
end() {
    remove_chroot
    [ -z "$registered" ] || echo -1 >"$binfmt/qemu-aarch64"
    [ -z "$mounted" ] || umount "$binfmt"
}

find_source nginx-1.30 nginx release-1.30
make_chroot "$2" arm64
trap end EXIT
mkdir -p "$chroot/nginx-source"
cp -a "$tree/." "$chroot/nginx-source/"
rm -f "$chroot/project/build/matrix-row"
in_chroot bash /project/scripts/matrix/inside-arm64.sh || echo 'inside-arm64.sh failed'
line=$(cat "$chroot/project/build/matrix-row" 2>/dev/null || true)
[ -z "$line" ] || printf '%s\n' "$line" >"$MATRIX_RESULT"
