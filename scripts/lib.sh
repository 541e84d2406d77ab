# Words that the scripts share; each sources this file. It is not a program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/batonloop"
TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
LOGS="$TARGET/logs"
# Seconds count from the start of make, or of .ci/run.
export BATONLOOP_STARTED="${BATONLOOP_STARTED:-$(date +%s)}"
export PIP_DISABLE_PIP_VERSION_CHECK=1

# The Pythons that batonloop runs on, the best to start with first.
ALL_PYTHONS="3.13 3.12 3.11 3.14 3.15"
# Those that all have wheels for that uvicorn's own tests need.
UVICORN_PYTHONS="3.13 3.12 3.11 3.14"

say() {
    printf '[%4d s] %s\n' "$(($(date +%s) - BATONLOOP_STARTED))" "$*"
}

# One line about what is missing and what to do, then the end.
die() {
    echo "batonloop: $*" >&2
    exit 1
}

# step LABEL COMMAND...: runs the command quietly and says so in one line: the seconds since make
# started, the label, a dot for every five seconds, the seconds that it took. What the command
# printed goes to a file in $LOGS, and to the terminal if the command fails.
step() {
    local label="$1" began="$SECONDS" status=0 dots log
    shift
    mkdir -p "$LOGS"
    log="$(log_of "$label")"
    printf '[%4d s] %s ' "$(($(date +%s) - BATONLOOP_STARTED))" "$label"
    print_dots &
    dots=$!
    "$@" >"$log" 2>&1 </dev/null || status=$?
    kill "$dots" && wait "$dots" || true
    if [ "$status" -eq 0 ]; then
        echo " $((SECONDS - began)) s"
        return 0
    fi
    echo " failed after $((SECONDS - began)) s (exit status $status); its output:"
    sed 's/^/    /' "$log"
    return "$status"
}

log_of() {
    echo "$LOGS/${1//[^a-zA-Z0-9.]/-}.log"
}

# A dot every five seconds for as long as the script lives. `read` waits inside the shell, so that
# no sleeping child outlives us.
print_dots() {
    local silence
    exec {silence}<> <(:)
    while read -r -t 5 -u "$silence" || kill -0 $$ 2>/dev/null; do
        printf '.'
    done
}
