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
step "types of programs" "$tools/python" -m pytest --quiet python/tests/test_types.py || status=1
# The tools for this are fetched for this alone, so lint does without it where they cannot be had.
say "tools to docs, for Python $1, if they can be had"
if make --no-print-directory ".venv/$1/have-docs" >"$(log_of "tools to docs")" 2>&1 </dev/null; then
    scripts/docs.sh "$1" pages || status=1
else
    say "Left out: pages of the documents: pip could not install requirements/docs.txt"
fi
exit "$status"
