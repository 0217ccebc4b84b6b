#!/bin/bash
# Tries the module on another release of Debian, with its nginx, compiler and libraries. With COMPILER, that release's
# package of this name compiles the module, and only the smoke test is run.
#
#   scripts/matrix/chroot.sh TARGET SUITE [COMPILER]
set -euo pipefail

. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/chroots.sh"

make_chroot "$2"
rm -f "$chroot/project/build/matrix-row"
in_chroot env MATRIX_TESTS="$tests" MATRIX_UNIT="${MATRIX_UNIT:-}" MATRIX_COMPILER="${3:-}" \
    bash /project/scripts/matrix/inside.sh || echo "inside.sh failed"
line=$(cat "$chroot/project/build/matrix-row" 2>/dev/null || true)
[ -z "$line" ] || printf '%s\n' "$line" >"$MATRIX_RESULT"
