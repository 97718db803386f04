#!/bin/sh
# Appends a telemetry event without telemetry-upload installed. Paste everything above the
# last lines into your tool, and set app.
#
# usage: append.sh EVENT [key=value]...
#
# Of the values, true, false and plain numbers (2, -0.5) are written as such. What would lose a digit (007, 1.10,
# 1e5, more than 15 characters) stays text, and so do *Id, *Type, *version, command, commands, platform and source.

app=atomic

json_string() {
    printf '%s\n' "$1" | awk '
        BEGIN {
            for (n = 1; n < 32; n++) escaped[sprintf("%c", n)] = sprintf("\\u%04x", n)
            escaped["\""] = "\\\""; escaped["\\"] = "\\\\"
            printf "\""
        }
        NR > 1 { printf "\\n" }
        { for (n = 1; n <= length($0); n++) { c = substr($0, n, 1); printf "%s", c in escaped ? escaped[c] : c } }
        END { printf "\"" }'
}

# The value of a key, as text or as what it looks like.
json_value() {
    case $1 in *Id | *_id | *Type | *_type | *ersion | command | commands | platform | source) json_string "$2" && return ;; esac
    case $2 in
    true | false) printf %s "$2" && return ;;
    -0 | *[!0-9.-]* | ????????????????*) json_string "$2" && return ;;
    esac
    case ${2#-} in
    *-* | *.*.* | *. | *.*0) json_string "$2" ;;
    0 | 0.* | [1-9]*) printf %s "$2" ;;
    *) json_string "$2" ;;
    esac
}

word() { printf %s "$1" | tr -d '[:space:]' | tr '[:upper:]' '[:lower:]'; }

# Appends one event if the person agreed. A subshell: what it sets or closes stays its own.
record() (
    exec </dev/null >/dev/null 2>&1
    export LC_ALL=C
    umask 077
    ci=${CI:-}${CONTINUOUS_INTEGRATION:-}${BUILD_ID:-}${BUILD_NUMBER:-}${RUN_ID:-}${TF_BUILD:-}${TEAMCITY_VERSION:-}
    if [ "${CI:-}" != false ] && [ -n "$ci" ]; then exit 0; fi
    # Only A-Z, 0-9 and _ are left in the name, so this evaluates nothing else.
    variable=$(printf %s "$app" | tr '[:lower:]' '[:upper:]' | tr -c A-Z0-9 _)_TELEMETRY
    eval "own=\${$variable:-}"
    # shellcheck disable=SC2154 # eval has set it.
    case $(word "$own") in '' | 1 | true | on | yes | y | enable | enabled) ;; *) exit 0 ;; esac
    case $(word "${DO_NOT_TRACK:-}") in '' | 0 | false | off | no | n) ;; *) exit 0 ;; esac

    case ${XDG_DATA_HOME:-} in /*) share=$XDG_DATA_HOME ;; *) share=${HOME:-/nowhere}/.local/share ;; esac
    folder=${TELEMETRY_UPLOAD_DATA_DIR:-$share/$app}
    # Without blanks between its tokens the file can be searched; a nested "false" means off, too.
    consent=$(tr -d ' \t\r\n' <"$folder/telemetry.json") || exit 0
    case $consent in *'"enabled":false'* | *'"consentGiven":false'*) exit 0 ;; esac
    case $consent in *'"enabled":true'[,\}]*) ;; *) exit 0 ;; esac
    case $consent in *'"consentGiven":true'[,\}]*) ;; *) exit 0 ;; esac

    # Not every date knows milliseconds, and one that does not leaves a letter behind.
    now=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
    case $now in *[!0-9TZ:.-]*) now=$(date -u +%Y-%m-%dT%H:%M:%S.000Z) ;; esac
    id=$(cat /proc/sys/kernel/random/uuid || uuidgen | tr A-F a-f) || exit 0
    who=$(printf %s "$consent" | sed -n 's/.*"anonymousId":"\([^"\\]*\)".*/\1/p')
    line="{\"eventType\":$(json_string "$1"),\"eventId\":\"$id\",\"timestamp\":\"$now\""
    line="$line,\"anonymousId\":\"$who\",\"platform\":$(json_string "$(uname -s | tr '[:upper:]' '[:lower:]')")"
    shift
    for pair in "$@"; do
        case $pair in *=*) line="$line,$(json_string "${pair%%=*}"):$(json_value "${pair%%=*}" "${pair#*=}")" ;; esac
    done

    buffer=$folder/telemetry-events.jsonl
    if [ -h "$buffer" ]; then exit 0; fi
    # shellcheck disable=SC2094 # Reading its last byte, under the lock and before the append, is meant.
    {
        # A shell writes a longer line in pieces, which only the lock keeps together. A shorter one is safe without
        # it: if a hung process keeps the lock (1), there is no flock (macOS), or the file system has no locks.
        flock -w 1 9
        lock=$?
        if [ $lock -ne 0 ] && [ ${#line} -gt 3900 ]; then exit 0; fi
        # What a killed process left unfinished must not swallow this event.
        start=
        if [ $lock -gt 1 ] || [ -n "$(tail -c 1 "$buffer")" ]; then start='
'; fi
        printf '%s%s}\n' "$start" "$line" >&9
    } 9>>"$buffer"
)

# This by itself; a tool leaves it out.
if [ $# -gt 0 ]; then
    record "$@"
fi
exit 0
