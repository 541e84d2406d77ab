#!/usr/bin/env bash
# lint.sh X.Y: reads the whole project for what a machine can find, with the tools of .venv/X.Y.
. "$(dirname "$0")/lib.sh"

tools="$PWD/.venv/$1/bin"
export PYO3_PYTHON="$tools/python"
status=0

step "rustfmt" cargo fmt --all --check || status=1
step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings || status=1
step "tidy" cargo xtask tidy || status=1
step "ruff check" "$tools/ruff" check . || status=1
step "ruff format" "$tools/ruff" format --check --diff . || status=1
step "mypy" "$tools/mypy" || status=1
allowed=(--allowlist scripts/stubtest-allowlist.txt)
if "$tools/python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then
    allowed+=(--allowlist scripts/stubtest-allowlist-before-3.14.txt)
fi
step "stubtest" env MYPYPATH=python "$tools/python" -m mypy.stubtest batonloop \
    --ignore-disjoint-bases "${allowed[@]}" || status=1
exit "$status"
