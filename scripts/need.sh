#!/usr/bin/env bash
# need.sh THING...: checks that what a build needs is here; if not, says in one line what to do.
. "$(dirname "$0")/lib.sh"

AGAIN="run make again"
# The oldest Rust that builds this, for example 1.88.
RUST="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"

for thing in "$@"; do
    case "$thing" in
    cargo)
        command -v cargo >/dev/null ||
            die "cargo is missing: install Rust $RUST or newer with rustup, then $AGAIN"
        minor="$(cargo --version | sed -E 's/^cargo 1\.([0-9]+).*/\1/')"
        [ "$minor" -ge "${RUST#1.}" ] 2>/dev/null ||
            die "cargo 1.$minor is too old: run 'rustup update stable', then $AGAIN"
        ;;
    cc)
        command -v cc >/dev/null ||
            die "a linker is missing: run 'apt-get install gcc libc6-dev', then $AGAIN"
        ;;
    python)
        [ -n "$(scripts/pythons.sh)" ] ||
            die "no Python from 3.11 to 3.15 found: run 'apt-get install python3-venv', then $AGAIN"
        ;;
    rustfmt | clippy)
        cargo "${thing/rustfmt/fmt}" --version >/dev/null 2>&1 ||
            die "$thing is missing: run 'rustup component add rustfmt clippy', then $AGAIN"
        ;;
    *) die "need.sh knows no '$thing'" ;;
    esac
done
