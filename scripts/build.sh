#!/usr/bin/env bash
# build.sh X.Y: builds the extension module in release mode and puts it into .venv/X.Y, editable:
# a change of a Python file needs no build.
#
# Each Python has a target directory of its own: what differs between Pythons is compiled in, and
# one directory for all would compile it again and again.
. "$(dirname "$0")/lib.sh"

version="$1"
export VIRTUAL_ENV="$PWD/.venv/$version"
unset CONDA_PREFIX
step "release build for Python $version" \
    "$VIRTUAL_ENV/bin/maturin" develop --release --locked --target-dir "$TARGET/py$version"
touch "$VIRTUAL_ENV/built"
