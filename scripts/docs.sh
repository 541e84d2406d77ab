#!/usr/bin/env bash
# docs.sh X.Y: writes the documentation as pages: the crates' and the Python package's.
. "$(dirname "$0")/lib.sh"

python="$PWD/.venv/$1/bin/python"
export PYO3_PYTHON="$python" RUSTDOCFLAGS="-D warnings"

write_pages() {
    mkdir -p "$TARGET/doc/python" && cd "$TARGET/doc/python" && "$python" -m pydoc -w batonloop
}

step "pages of the crates" cargo doc --locked --workspace --no-deps
step "pages of the Python package" write_pages
echo "$TARGET/doc/batonloop_core/index.html"
echo "$TARGET/doc/python/batonloop.html"
