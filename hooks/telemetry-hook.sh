#!/bin/sh
# Hands a host's hook on to telemetry-upload; the payload on standard input passes through unread.
# Hosts act on what a hook prints and returns (2 blocks the person's prompt), so whatever is missing or
# broken, this is silent and ends with 0.
trap 'exit 0' EXIT
exec >/dev/null 2>&1
# Hosts that are started from a desktop have a bare PATH, and some have no HOME. An empty PATH would mean
# the current folder.
PATH="${PATH:-/usr/bin}:${HOME:-}/.local/bin:${HOME:-}/.cargo/bin:/opt/homebrew/bin:/usr/local/bin"
bin=${TELEMETRY_UPLOAD_BIN:-}
if [ ! -f "$bin" ] || [ ! -x "$bin" ]; then bin=telemetry-upload; fi
# Not exec: the exit code of a broken binary, or of one too old to know hooks, would be ours.
"$bin" hook --host "${1:-auto}"
