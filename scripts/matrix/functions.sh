# What the scripts of this folder have in common: a copy of the project, the smoke test, and the result.
# The caller has set MATRIX_CACHE and MATRIX_RESULT (scripts/matrix.sh).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$MATRIX_CACHE
tests=${MATRIX_TESTS:-package/version replies/headers replies/token_headers replies/http2 limits/keys \
    answers/providers answers/encoded answers/hidden_usage redis/requests}

# Writes the row of the table: version, build, smoke test, unit tests.
result() { printf '%s | %s | %s | %s\n' "$1" "$2" "${3:-not run}" "${4:-not run}" >"$MATRIX_RESULT"; }

not_tried() {
    result '' "not tried: $1"
    exit 0
}

# Copies the project to $1 without what git ignores. Times are kept, so that a second run compiles only changes.
copy_project() {
    local to=$1
    mkdir -p "$to"
    find "$to" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    (
        cd "$root"
        if [ -e .git ]; then
            git -c safe.directory="$root" ls-files -z --cached --others --exclude-standard
        else
            find . -path ./build -prune -o -type f -print0
        fi | while IFS= read -r -d '' file; do
            [ ! -e "$file" ] || printf '%s\0' "$file"
        done | tar -c --null -T - | tar -x -C "$to"
    )
}

# Runs the smoke test in the tree $1 and prints its last line: n passed, n failed.
smoke() {
    local said
    said=$(cd "$1" && scripts/test.pl nginx $(printf "t/%s.t " $tests) | tee -a /dev/stderr | tail -n 1)
    echo "${said:-failed}"
}
