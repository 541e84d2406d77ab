#!/usr/bin/env bash
# test.sh SUITE X.Y...: runs tests with these Pythons, built already. SUITE is one of
#   rust         cargo test of every crate
#   python       pytest, of batonloop, charts and site, and the conformance runner
#   conformance  CPython's own tests of asyncio
#   uvicorn      uvicorn's own tests, which are fetched first
#   all          the first three
#
# Ends with the summary lines of the test runners, below a list of what was left out and why.
. "$(dirname "$0")/lib.sh"

suite="$1"
shift
# A hang is a failure of its own; no step comes near this many seconds, nor a program near a tenth.
LIMIT=$((900 + ${BATONLOOP_PROGRAMS:-0} / 10))
# What the fast layout decides is tested without it, too; these three have the three layouts.
OWN_LAYOUT_PYTHONS="3.12 3.13 3.14"
# programs VERSION: how many random programs this Python compares.
FEW_PROGRAMS=300
programs() {
    case "${BATONLOOP_PROGRAMS:-$1}" in
    3.13) echo 5000 ;;
    3.12) echo 2000 ;;
    3.*) echo "$FEW_PROGRAMS" ;;
    *) echo "$BATONLOOP_PROGRAMS" ;;
    esac
}

summaries=()
# The caller may have left something out already.
skipped=(${BATONLOOP_LEFT_OUT:+"$BATONLOOP_LEFT_OUT"})
failed=()

# try LABEL COMMAND...: one step; remembers the summary that its runner printed.
try() {
    local label="$1" status=0
    shift
    step "$label" timeout --foreground "$LIMIT" "$@" || status=$?
    remember "$label" "$status"
}

# What `soon` has begun, by process.
declare -A running=()
trap '[ "${#running[@]}" -eq 0 ] || kill "${!running[@]}"' EXIT
# How many steps may run side by side.
AT_ONCE="$(nproc)"
[ "$AT_ONCE" -le 2 ] || AT_ONCE=2

# soon LABEL COMMAND...: the same as `try`, side by side with another one. One line when it ends.
soon() {
    local label="$1"
    shift
    while [ "${#running[@]}" -ge "$AT_ONCE" ]; do
        finish_one
    done
    mkdir -p "$LOGS"
    timeout "$LIMIT" "$@" >"$(log_of "$label")" 2>&1 </dev/null &
    running[$!]="$label"
    say "$label: begun"
}

# Waits for one of the steps that were begun.
finish_one() {
    local status=0 process label dots
    print_dots &
    dots=$!
    wait -n -p process "${!running[@]}" || status=$?
    kill "$dots" && wait "$dots" || true
    echo
    label="${running[$process]}"
    unset "running[$process]"
    if [ "$status" -eq 0 ]; then
        say "$label: done"
    else
        say "$label: failed (exit status $status); its output:"
        sed 's/^/    /' "$(log_of "$label")"
    fi
    remember "$label" "$status"
}

finish_all() {
    while [ "${#running[@]}" -gt 0 ]; do
        finish_one
    done
}

# remember LABEL STATUS: keeps the summary of a step that has ended, and whether it failed.
remember() {
    local label="$1" status="$2" before="${#summaries[@]}" line
    while read -r line; do
        summaries+=("$label: $line")
    done < <(summary_of "$(log_of "$label")")
    # A step that runs no test cannot fail, and so proves nothing.
    if [ "$status" -eq 0 ] && [ "${#summaries[@]}" -eq "$before" ]; then
        echo "    no test was run"
        status=1
    fi
    [ "$status" -eq 0 ] || failed+=("$label")
}

# pytest, the conformance runner and unittest end in one line; cargo has one line a test program.
summary_of() {
    if grep -q '^test result: ' "$1"; then
        grep '^test result: ' "$1" | grep -v ' 0 passed; 0 failed; 0 ignored; 0 measured'
    else
        grep -v '^[[:space:]]*$' "$1" | tail -n 1
    fi
}

test_rust() {
    local python version library found=""
    # No Python is part of these.
    try "cargo test" cargo test --locked --quiet \
        --package batonloop-core --package batonloop-sys --package batonloop-bench --package xtask
    # An interpreter inside a test program: it needs a libpython to link with. Which structs are
    # read and which functions get new bodies differs from Python to Python.
    for version in "$@"; do
        python="$PWD/.venv/$version/bin/python"
        library="$(library_of "$python")" || continue
        found=1
        try "cargo test of batonloop-cpython, Python $version" env \
            PYO3_PYTHON="$python" LD_LIBRARY_PATH="$library" \
            PYTHONHOME="$("$python" -c 'import sys; print(sys.base_prefix)')" \
            cargo test --locked --quiet --package batonloop-cpython \
            --target-dir "$TARGET/py$version"
    done
    if [ -z "$found" ]; then
        skipped+=("cargo test of batonloop-cpython: no Python here has a libpython to link with;" \
            "'apt-get install libpython3-dev' brings one")
    fi
}

library_of() {
    "$1" -c 'import os, sys, sysconfig
directory, name = sysconfig.get_config_vars("LIBDIR", "LDLIBRARY")
if not (name.endswith(".so") and os.path.exists(os.path.join(directory, name))):
    sys.exit(1)
print(directory)' 2>/dev/null
}

test_python() {
    local version guests
    get_strace
    case " $* " in *" 3.12 "*) get_servers 3.12 ;; esac
    for version in "$@"; do
        guests=10000
        # A storm of connections that must leave nothing behind, once in full.
        [ "$version" != 3.12 ] || guests=100000
        soon "pytest, Python $version" env BATONLOOP_PROGRAMS="$(programs "$version")" \
            BATONLOOP_GUESTS="$guests" \
            ".venv/$version/bin/python" -m pytest --quiet
    done
    # How asyncio itself behaves is known by then; the layout makes no difference to it.
    for version in "$@"; do
        case " $OWN_LAYOUT_PYTHONS " in *" $version "*) ;; *) continue ;; esac
        soon "pytest, Python $version, layout own" \
            env BATONLOOP_LAYOUT=own BATONLOOP_TEST_WORLDS=batonloop \
            BATONLOOP_PROGRAMS="${BATONLOOP_PROGRAMS:-$FEW_PROGRAMS}" \
            ".venv/$version/bin/python" -m pytest --quiet
    done
    finish_all
    # No loop has a part in these.
    try "pytest of the charts and the site, Python $1" \
        ".venv/$1/bin/python" -m pytest --quiet bench/tests docs/site/tests
    # The runner of CPython's tests must notice what fails; it is the same for every Python.
    for version in "$@"; do
        has_cpython_tests ".venv/$version/bin/python" || continue
        try "pytest of the conformance runner, Python $version" \
            ".venv/$version/bin/python" -m pytest --quiet conformance/tests
        return
    done
    skipped+=("pytest of the conformance runner: no Python here came with CPython's own tests")
}

# The tests of injected faults need strace, and leave themselves out where there is none.
get_strace() {
    command -v strace >/dev/null && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        step "apt-get install strace" apt-get install --yes --quiet strace || true
    fi
    command -v strace >/dev/null ||
        skipped+=("injected faults: strace is not here; 'apt-get install strace' brings it")
}

# The servers of other people that examples run on us, for one Python.
get_servers() {
    step "pip install uvicorn and aiohttp, Python $1" ".venv/$1/bin/python" -m pip install --quiet \
        --requirement bench/network/requirements.txt ||
        skipped+=("uvicorn and aiohttp: pip could not install them")
}

has_cpython_tests() {
    "$1" -c 'import test.test_asyncio' 2>/dev/null
}

test_conformance() {
    local version python
    for version in "$@"; do
        python=".venv/$version/bin/python"
        if ! has_cpython_tests "$python"; then
            skipped+=("conformance, Python $version: it came without CPython's own tests")
            continue
        fi
        try "conformance, Python $version" "$python" conformance/run.py --mode full --jobs 2
        case " $OWN_LAYOUT_PYTHONS " in *" $version "*) ;; *) continue ;; esac
        try "conformance, Python $version, layout own" \
            "$python" conformance/run.py --mode full --jobs 2 --layout own
    done
}

# They need the registry of packages, so they are no part of `all`.
test_uvicorn() {
    local version
    for version in "$@"; do
        case " $UVICORN_PYTHONS " in
        *" $version "*)
            try "conformance of uvicorn, Python $version" \
                ".venv/$version/bin/python" conformance/run.py --suite uvicorn --jobs 2
            ;;
        *) skipped+=("conformance of uvicorn, Python $version: no wheels for it") ;;
        esac
    done
}

case "$suite" in
rust | python | conformance | uvicorn) "test_$suite" "$@" ;;
all)
    test_rust "$@"
    test_python "$@"
    test_conformance "$@"
    ;;
*) die "test.sh knows no suite '$suite'" ;;
esac

for version in $ALL_PYTHONS; do
    scripts/pythons.sh "$version" >/dev/null ||
        skipped+=("Python $version: not on this machine; 'make pythons' fetches it")
done
if [ "${#skipped[@]}" -gt 0 ]; then
    echo "Left out:"
    printf '  %s\n' "${skipped[@]}"
fi
if [ "${#failed[@]}" -gt 0 ]; then
    echo "Failed:"
    printf '  %s\n' "${failed[@]}"
fi
say "Results:"
printf '%s\n' "${summaries[@]}"
[ "${#failed[@]}" -eq 0 ]
