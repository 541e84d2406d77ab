#!/usr/bin/env bash
# pythons.sh       the versions of Python found here that batonloop runs on, the best first
# pythons.sh X.Y   the path of that one; exit status 1 if it is not here
#
# Looks at pyenv, at PATH and at what getpython.sh has fetched.
. "$(dirname "$0")/lib.sh"

# Names promise too much (`python3` may be any version), so the candidate itself must say which
# Python it is. Prints its real path.
real_path() {
    "$2" -c 'import sys
version = "%d.%d" % sys.version_info[:2]
if version == sys.argv[1] and sys.implementation.name == "cpython":
    print(sys.executable)' "$1" 2>/dev/null | grep .
}

find_python() {
    local version="$1" pyenv="${PYENV_ROOT:-$HOME/.pyenv}" candidate
    # Of pyenv's: no alpha and no free-threaded build, whose names end in letters; and no shim,
    # which answers to every name, slowly, and then often refuses to run.
    for candidate in \
        $(ls -d "$pyenv/versions/$version".*/bin/python 2>/dev/null |
            grep -E '/[0-9.]+/bin/python$' | sort -rV) \
        "$CACHE/python-$version/usr/bin/python$version" \
        $(type -ap "python$version" python3 | grep -v "^$pyenv/shims/"); do
        [ -x "$candidate" ] && real_path "$version" "$candidate" && return
    done
    return 1
}

if [ $# -gt 0 ]; then
    find_python "$1"
    exit
fi
found=""
for version in $ALL_PYTHONS; do
    find_python "$version" >/dev/null && found="$found $version"
done
echo "${found# }"
