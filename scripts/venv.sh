#!/usr/bin/env bash
# venv.sh X.Y: makes the virtual environment .venv/X.Y, with a pip in it.
#
# Debian's Pythons have no ensurepip unless python3-venv is installed; then any other pip of this
# machine fills the new environment.
. "$(dirname "$0")/lib.sh"

version="$1"
dir=".venv/$version"
case " $ALL_PYTHONS " in
*" $version "*) ;;
*) die "Python $version is none that batonloop is made for: PYTHONS may name $ALL_PYTHONS" ;;
esac
base="$(scripts/pythons.sh "$version")" ||
    die "Python $version is not here: run 'make pythons' to fetch it, or install it with pyenv"

has_ensurepip() {
    "$1" -c 'from ensurepip import bootstrap' 2>/dev/null
}

# Prints a Python whose pip can fill other environments (`pip --python`, pip 22.3 and newer).
lending_python() {
    local candidate
    for candidate in "$base" .venv/*/bin/python; do
        "$candidate" -m pip --python "$candidate" --version >/dev/null 2>&1 || continue
        echo "$candidate"
        return
    done
    for candidate in $(scripts/pythons.sh); do
        candidate="$(scripts/pythons.sh "$candidate")"
        if has_ensurepip "$candidate"; then
            "$candidate" -m venv --clear .venv/pip >&2
            echo .venv/pip/bin/python
            return
        fi
        "$candidate" -m pip --python "$candidate" --version >/dev/null 2>&1 || continue
        echo "$candidate"
        return
    done
    return 1
}

borrow_pip() {
    "$base" -m venv --clear --without-pip "$dir" &&
        "$1" -m pip --python "$dir/bin/python" install --requirement requirements/build.txt
}

label="virtual environment for Python $version"
if has_ensurepip "$base"; then
    step "$label" "$base" -m venv --clear "$dir"
else
    lender="$(lending_python)" ||
        die "$base has neither venv nor pip: run 'apt-get install python3-venv', then make again"
    step "$label, with a borrowed pip" borrow_pip "$lender"
fi
