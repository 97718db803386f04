#!/bin/sh
# Builds telemetry-upload from this checkout and installs the binary for this user. No sudo, nothing
# else is touched, and running it twice is the same as once.
set -eu

usage() {
    cat <<'TEXT'
usage: sh install.sh [--bin-dir DIR]

Builds telemetry-upload from this checkout (a Rust toolchain is needed) and installs it to DIR,
by default ~/.local/bin.
TEXT
}

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

# Everything runs from here, at the end of the file, so that a download cut short runs nothing.
main() {
    bin_dir=${HOME:+$HOME/.local/bin}
    while [ $# -gt 0 ]; do
        case $1 in
            --bin-dir) [ $# -ge 2 ] || fail 'the flag --bin-dir needs a folder'; bin_dir=$2; shift 2 ;;
            --bin-dir=*) bin_dir=${1#--bin-dir=}; shift ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
    done
    [ -n "$bin_dir" ] || fail 'no HOME to install into; name a folder with --bin-dir'
    command -v cargo >/dev/null 2>&1 || fail 'cargo is not on the PATH; get a Rust toolchain from https://rustup.rs'

    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
    target=${CARGO_TARGET_DIR:-$here/target}
    cargo build --release --locked --manifest-path "$here/Cargo.toml" --target-dir "$target"

    mkdir -p -- "$bin_dir"
    # Put in place by a rename: a running uploader keeps the file it runs from.
    new=$bin_dir/.telemetry-upload.$$
    trap 'rm -f -- "$new"' EXIT
    cp -- "$target/release/telemetry-upload" "$new"
    chmod 755 -- "$new"
    mv -f -- "$new" "$bin_dir/telemetry-upload"

    printf 'installed %s\n' "$bin_dir/telemetry-upload"
    case ":$PATH:" in
        *":$bin_dir:"*) ;;
        *) printf 'not on your PATH yet: add %s to it\n' "$bin_dir" ;;
    esac
    printf 'next: telemetry-upload demo\n'
}

main "$@"
