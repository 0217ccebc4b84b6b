#!/bin/bash
# Tries the module on another release of Debian, with its nginx, compiler and libraries.
#
#   scripts/matrix/chroot.sh TARGET SUITE
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/chroots.sh"

make_chroot "$2"
in_chroot env MATRIX_TESTS="$tests" MATRIX_UNIT="${MATRIX_UNIT:-}" bash /project/scripts/matrix/inside.sh ||
    echo "inside.sh failed"
line=$(cat "$chroot/project/build/matrix-row" 2>/dev/null || true)
[ -z "$line" ] || printf '%s\n' "$line" >"$MATRIX_RESULT"
