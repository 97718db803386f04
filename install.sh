#!/bin/sh
# Installs telemetry-upload for this user, or takes it away again. No sudo; what it makes it writes down
# before, so that --uninstall removes exactly that, even after an installation that was cut off.

usage() {
    cat <<'TEXT'
usage: sh install.sh [FLAG]...

Builds telemetry-upload from this checkout (a Rust toolchain is needed) and installs it for this user.
Running it again replaces what it installed, and repairs what was cut off.

  --bin-dir DIR       where the program goes [default: TELEMETRY_UPLOAD_INSTALL_DIR, or ~/.local/bin]
  --binary FILE       install this program, already built [default: TELEMETRY_UPLOAD_BINARY, or build it]
  --hooks HOST,...    have agents report their sessions: claude, copilot, codex, opencode, gemini, cursor
  --schedule [TIME]   have what waits sent every so often: 15m to 24h [default: 1h]
  --app NAME          for which application, with the three flags that act on one [default: atomic]
  --completions       completions for bash, zsh and fish, and a man page
  --dry-run           say what would be done, and do nothing
  --quiet             say only what went wrong
  --uninstall         take away everything that this script has installed
  --purge             with --uninstall: what is recorded of the application, too; not its settings
  -h, --help          this
TEXT
}

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

wrong_usage() {
    printf 'install.sh: %s; sh install.sh --help shows how\n' "$1" >&2
    exit 2
}

# What is worth a word, and does not stop the rest.
complain() {
    printf 'install.sh: %s\n' "$1" >&2
    trouble=1
}

say() {
    # A reader that went away is no reason to stop half-way.
    [ -n "$quiet" ] || printf '%s\n' "$1" 2>/dev/null || true
}

read_flags() {
    bin_dir=${TELEMETRY_UPLOAD_INSTALL_DIR:-${HOME:+$HOME/.local/bin}}
    binary=${TELEMETRY_UPLOAD_BINARY:-}
    app=${TELEMETRY_UPLOAD_APP:-atomic}
    hosts='' every='' completions='' dry_run='' quiet='' uninstall='' purge='' trouble=0
    kept='the settings and the data'
    while [ $# -gt 0 ]; do
        flag=$1
        shift
        case $flag in
            --bin-dir | --binary | --hooks | --app)
                [ $# -gt 0 ] || wrong_usage "the flag $flag needs a value"
                take_value "$flag" "$1"
                shift
                ;;
            --bin-dir=* | --binary=* | --hooks=* | --app=* | --schedule=*) take_value "${flag%%=*}" "${flag#*=}" ;;
            --schedule)
                case ${1:-} in
                    [0-9]*) take_value "$flag" "$1"; shift ;;
                    *) every=1h ;;
                esac
                ;;
            --completions) completions=1 ;;
            --dry-run) dry_run=1 ;;
            --quiet) quiet=1 ;;
            --uninstall) uninstall=1 ;;
            --purge) purge=1 ;;
            -h | --help) usage; exit 0 ;;
            *) wrong_usage "there is no flag $flag" ;;
        esac
    done
    is_app "$app" || wrong_usage "the name of an application has letters, digits, '.', '_' and '-' only"
    [ -z "$purge" ] || [ -n "$uninstall" ] || wrong_usage '--purge goes with --uninstall'
}

take_value() {
    [ -n "$2" ] || wrong_usage "the flag $1 needs a value"
    case $2 in
        *'
'*) wrong_usage "the value of $1 has a line end in it" ;;
    esac
    case $1 in
        --bin-dir) bin_dir=$2 ;;
        --binary) binary=$2 ;;
        --app) app=$2 ;;
        --hooks)
            more=$(printf '%s' "$2" | tr ',' ' ')
            [ -n "$(printf '%s' "$more" | tr -d ' ')" ] || wrong_usage '--hooks takes the names of agents, with a comma between them'
            for host in $more; do
                is_host "$host" || wrong_usage "no agent $host is known"
            done
            hosts="$hosts $more"
            ;;
        --schedule)
            every=$2
            is_time "$every" || wrong_usage '--schedule takes a time from 15m to 24h'
            ;;
    esac
}

is_time() {
    number=${1%[mh]}
    case $number in
        '' | *[!0-9]* | ?????*) return 1 ;;
    esac
    case $1 in
        *m) [ "$number" -ge 15 ] && [ "$number" -le 1440 ] ;;
        *h) [ "$number" -ge 1 ] && [ "$number" -le 24 ] ;;
        *) return 1 ;;
    esac
}

all_hosts='claude copilot codex opencode gemini cursor'

is_host() {
    case $1 in
        claude | copilot | codex | opencode | gemini | cursor) return 0 ;;
        *) return 1 ;;
    esac
}

is_app() {
    case $1 in
        '' | .* | *[!A-Za-z0-9._-]*) return 1 ;;
        *) return 0 ;;
    esac
}

# Where everything is. A relative XDG_DATA_HOME is none, by its specification.
find_places() {
    case ${HOME:-/}${XDG_DATA_HOME:-} in
        *'
'*) fail 'a HOME or XDG_DATA_HOME with a line end in it cannot be installed into' ;;
        /*) ;;
        *) fail "HOME has to be an absolute path, and is $HOME" ;;
    esac
    data_home=${HOME:+$HOME/.local/share}
    case ${XDG_DATA_HOME:-} in
        /*) data_home=$XDG_DATA_HOME ;;
    esac
    [ -n "$data_home" ] || fail 'there is no HOME to install into'
    [ -n "$bin_dir" ] || fail 'there is no HOME to install into; name a folder with --bin-dir'
    case $bin_dir in
        /*) ;;
        *) bin_dir=$PWD/$bin_dir ;;
    esac
    bin_dir=$(plain "$bin_dir")
    data_home=$(plain "$data_home")
    case $bin_dir/ in
        //) wrong_usage 'name a folder below /' ;;
        */../*) wrong_usage "name the folder without '..': $bin_dir" ;;
    esac
    case $data_home/ in
        */../*) fail "set HOME and XDG_DATA_HOME without '..': $data_home" ;;
    esac
    installed=$bin_dir/telemetry-upload
    manifest=$data_home/telemetry-upload/install-manifest
}

# A path in the one form in which the manifest knows it.
plain() {
    printf '%s\n' "$1" | sed -e 's://*:/:g' -e ':again' -e 's:/\./:/:' -e 't again' -e 's:/\.$::' -e 's:\(.\)/$:\1:'
}

# The manifest: a line for each thing, written before the thing is made.

open_manifest() {
    folder=${manifest%/*}
    lines="folder $folder
"
    above=${folder%/*}
    while [ -n "$above" ] && [ ! -d "$above" ]; do
        lines="folder $above
$lines"
        above=${above%/*}
    done
    mkdir -p -- "$folder" || fail "cannot make the folder $folder"
    [ -f "$manifest" ] || replace_manifest "$lines"
}

replace_manifest() {
    { printf '%s' "$1" >"$manifest.new" && mv -f -- "$manifest.new" "$manifest"; } ||
        fail "cannot write $manifest; if another install.sh is at work, run this again after it"
}

note() {
    grep -Fqx -- "$1" "$manifest" && return 0
    replace_manifest "$(cat -- "$manifest")
$1
"
}

forget() {
    replace_manifest "$(grep -Fvx -- "$1" "$manifest")
"
}

make_folder() {
    if [ -d "$1" ]; then return 0; fi
    [ ! -e "$1" ] || fail "cannot install below $1: it is not a folder"
    make_folder "$(dirname -- "$1")"
    note "folder $1"
    mkdir -- "$1" || fail "cannot make the folder $1"
}

# Puts what is half-written in its place $1 by a rename: who runs the old one, or reads it, keeps it. What was
# there before is not ours before that.
put() {
    note "file $1"
    mv -f -- "$(half "$1")" "$1" || fail "cannot put $1 in its place"
    forget "file $(half "$1")"
}

# The one name under which anything half-written lies beside its place.
half() {
    printf '%s/.telemetry-upload.new' "${1%/*}"
}

# Whether a file is there that this script did not put there.
is_foreign() {
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then return 1; fi
    ! grep -Fqx -- "file $1" "$manifest"
}

check_place() {
    [ ! -d "$1" ] || fail "cannot install $1: it is a folder"
    note "file $(half "$1")"
    make_folder "${1%/*}"
    [ -w "${1%/*}" ] || fail "cannot install into ${1%/*}: it is not yours to write"
}

build() {
    command -v cargo >/dev/null 2>&1 ||
        fail 'cargo is not on the PATH; get a Rust toolchain from https://rustup.rs, or name a program that is built with --binary'
    [ -f "$here/Cargo.toml" ] || fail "there is no checkout in $here; run install.sh where it lies"
    binary=${CARGO_TARGET_DIR:-$here/target}/release/telemetry-upload
    if [ -n "$dry_run" ]; then
        say "would build $binary"
        return 0
    fi
    # For another machine it would be built in another folder, and not run here.
    unset CARGO_BUILD_TARGET
    cargo build ${quiet:+--quiet} --release --locked --manifest-path "$here/Cargo.toml" \
        --target-dir "${CARGO_TARGET_DIR:-$here/target}" || fail 'the build failed; nothing was installed'
    [ -f "$binary" ] ||
        fail "cargo has built no $binary; where build.target in its configuration is the reason, name the program with --binary"
}

is_telemetry_upload() {
    case $("$1" --version </dev/null 2>/dev/null || true) in
        'telemetry-upload '*) return 0 ;;
        *) return 1 ;;
    esac
}

install_program() {
    if [ -n "$dry_run" ]; then
        say "would install $installed"
        return 0
    fi
    [ -f "$binary" ] || fail "there is no program $binary"
    [ ! -d "$installed" ] || fail "cannot install $installed: it is a folder"
    if is_foreign "$installed" && { [ -L "$installed" ] || ! is_telemetry_upload "$installed"; }; then
        fail "$installed is there, and install.sh did not put it there; remove it, or name another folder with --bin-dir"
    fi
    check_place "$installed"
    new=$(half "$installed")
    if cmp -s -- "$binary" "$installed" && is_telemetry_upload "$installed"; then
        rm -f -- "$new"
        note "file $installed"
        forget "file $new"
        say "already there: $installed"
        return 0
    fi
    rm -f -- "$new"
    if ! { cp -- "$binary" "$new" && chmod 755 -- "$new"; }; then
        rm -f -- "$new"
        fail "cannot write $new"
    fi
    if ! is_telemetry_upload "$new"; then
        rm -f -- "$new"
        fail "$binary is not telemetry-upload, or does not run here; nothing was replaced"
    fi
    put "$installed"
    say "installed $installed"
}

# What the program prints when called with the other words goes to the file $1.
install_printed() {
    place=$1
    shift
    if [ -n "$dry_run" ]; then
        say "would install $place"
        return 0
    fi
    if is_foreign "$place"; then
        complain "$place is there, and install.sh did not put it there; it is left as it is"
        return 0
    fi
    check_place "$place"
    new=$(half "$place")
    if "$installed" "$@" </dev/null >"$new"; then
        put "$place"
        say "installed $place"
    else
        rm -f -- "$new"
        complain "cannot install $place: telemetry-upload $* failed"
    fi
}

install_completions() {
    install_printed "$data_home/bash-completion/completions/telemetry-upload" completions bash
    install_printed "$data_home/zsh/site-functions/_telemetry-upload" completions zsh
    install_printed "$data_home/fish/vendor_completions.d/telemetry-upload.fish" completions fish
    install_printed "$data_home/man/man1/telemetry-upload.1" man
    say "zsh finds its completions with this line in ~/.zshrc, before compinit: fpath+=($data_home/zsh/site-functions)"
}

# Has the installed program do what the words say, which the manifest remembers as $1.
have_done() {
    remembered=$1
    shift
    if [ -n "$dry_run" ]; then
        say "would run: telemetry-upload $*"
        if is_telemetry_upload "$program"; then
            said=$("$program" "$@" --dry-run </dev/null 2>&1 >/dev/null) || complain "this would fail: $said"
        fi
        return 0
    fi
    note "$remembered"
    say "running: telemetry-upload $*"
    run_installed "$@" || complain "this failed: telemetry-upload $*"
}

run_installed() {
    if [ -n "$quiet" ]; then
        "$program" "$@" </dev/null >/dev/null
    else
        "$program" "$@" </dev/null
    fi
}

install_all() {
    [ -n "$binary" ] || build
    [ -n "$dry_run" ] || open_manifest
    install_program
    program=$installed
    # What is not installed yet can be asked where it is.
    if [ -n "$dry_run" ] && [ -f "$binary" ]; then program=$binary; fi
    [ -z "$completions" ] || install_completions
    for host in $hosts; do
        have_done "hooks $host $app" hooks install --host "$host" --app="$app"
    done
    [ -z "$every" ] || have_done "schedule $app" schedule install --every "$every" --app="$app"
    [ -n "$dry_run" ] || say_what_next
}

say_what_next() {
    if [ -n "${GITHUB_PATH:-}" ] && ! grep -Fqx -- "$bin_dir" "$GITHUB_PATH" 2>/dev/null; then
        printf '%s\n' "$bin_dir" >>"$GITHUB_PATH" || complain "cannot add $bin_dir to $GITHUB_PATH"
    fi
    case ":${PATH:-}:" in
        *":$bin_dir:"*) next=telemetry-upload ;;
        *)
            say "$bin_dir is not on your PATH; in this terminal: export PATH=\"$bin_dir:\$PATH\""
            next=$installed
            ;;
    esac
    say "next: $next demo"
    say 'to take it away: sh install.sh --uninstall'
}

# Uninstalling.

# Whether a line can be ours; what is not is left alone, and everything else with it.
is_ours() {
    case $1 in
        *'/../'* | *'/./'* | *'//'* | */.. | */.) return 1 ;;
        'file /'*'/bash-completion/completions/telemetry-upload') return 0 ;;
        'file /'*'/zsh/site-functions/_telemetry-upload') return 0 ;;
        'file /'*'/fish/vendor_completions.d/telemetry-upload.fish') return 0 ;;
        'file /'*'/man/man1/telemetry-upload.1') return 0 ;;
        'file /'*'/telemetry-upload' | 'file /'*'/.telemetry-upload.new') return 0 ;;
        'folder /'*) is_above_ours "${1#folder }" ;;
        'hooks '*' '*)
            words=${1#hooks }
            is_host "${words%% *}" && is_app "${words#* }"
            ;;
        'schedule '*) is_app "${1#schedule }" ;;
        '') return 0 ;;
        *) return 1 ;;
    esac
}

is_above_ours() {
    case $manifest in
        "$1"/*) return 0 ;;
    esac
    while IFS= read -r other; do
        case $other in
            "file $1"/*) return 0 ;;
        esac
    done <"$manifest"
    return 1
}

uninstall_all() {
    if [ ! -f "$manifest" ]; then
        # Cut off before there was one.
        if [ -z "$dry_run" ]; then
            rm -f -- "$manifest.new"
            rmdir -- "${manifest%/*}" 2>/dev/null || true
        fi
        say "nothing to uninstall: there is no $manifest"
        say_what_stays
        return 0
    fi
    [ -s "$manifest" ] || fail "$manifest is empty; nothing was removed; install again, then uninstall"
    [ -z "$(tail -c 1 -- "$manifest")" ] ||
        fail "the last line of $manifest has no end, and may be cut off; nothing was removed; mend it, or take it out"
    while IFS= read -r line; do
        is_ours "$line" ||
            fail "$manifest holds a line that this script does not write: $line; nothing was removed; take that line out"
    done <"$manifest"
    find_program
    doings=$(grep -E '^(hooks|schedule) ' "$manifest" || true; list_doings_by_hand)
    if [ -n "$dry_run" ]; then
        say_what_would_go
        return 0
    fi
    undo_doings
    [ -z "$purge" ] || purge_data
    # Without the program nothing of this could be done later.
    [ "$trouble" = 0 ] || fail 'the program stays, for what could not be taken away; run this again'
    remove_files
    say_what_stays
}

say_what_would_go() {
    while IFS= read -r line; do
        case $line in
            'hooks '*)
                words=${line#hooks }
                say "would take out the hooks of ${words%% *} for ${words#* }"
                ;;
            'schedule '*) say "would remove the schedule of ${line#schedule }" ;;
        esac
    done <<LINES
$doings
LINES
    if [ -n "$purge" ]; then
        say "would run: telemetry-upload purge --yes --app=$app"
        kept='the settings and the consent'
    fi
    while IFS= read -r line; do
        case $line in
            */.telemetry-upload.new) ;;
            'file '*) say "would remove ${line#file }" ;;
        esac
    done <"$manifest"
    say_what_stays
}

# The program that can undo what it has done: the one that was installed, or one that is named.
find_program() {
    program=$binary
    while IFS= read -r line; do
        case $line in
            'file '*/completions/telemetry-upload) ;;
            'file '*/telemetry-upload) if [ -x "${line#file }" ]; then program=${line#file }; fi ;;
        esac
    done <"$manifest"
}

# What somebody has had the program do besides for this application, which would stay without a program: in
# the manifest's words.
list_doings_by_hand() {
    [ -n "$program" ] || return 0
    for host in $all_hosts; do
        list_if_there "hooks $host $app" hooks uninstall --host "$host" --app="$app"
    done
    list_if_there "schedule $app" schedule remove --app="$app"
}

list_if_there() {
    if grep -Fqx -- "$1" "$manifest"; then return 0; fi
    listed=$1
    shift
    case $("$program" "$@" --dry-run </dev/null 2>/dev/null || true) in
        'would change nothing'*) ;;
        'would '*) printf '%s\n' "$listed" ;;
    esac
}

undo_doings() {
    while IFS= read -r line; do
        case $line in
            'hooks '*)
                words=${line#hooks }
                undo "$line" hooks uninstall --host "${words%% *}" --app="${words#* }"
                ;;
            'schedule '*) undo "$line" schedule remove --app="${line#schedule }" ;;
        esac
    done <<LINES
$doings
LINES
}

undo() {
    undone=$1
    shift
    if [ -z "$program" ]; then
        complain "cannot undo \"$undone\": the program is gone; install it again, or name one with --binary"
    elif run_installed "$@"; then
        forget "$undone"
    else
        complain "this failed: telemetry-upload $*"
    fi
}

purge_data() {
    if [ -z "$program" ]; then
        complain 'cannot purge: the program is gone; install it again, or name one with --binary'
    else
        # Not what it says of the telemetry's going on.
        if said=$("$program" purge --yes --app="$app" </dev/null); then
            say "${said%%
*}"
            kept='the settings and the consent'
        else
            complain "this failed: telemetry-upload purge --yes --app=$app"
        fi
    fi
}

remove_files() {
    while IFS= read -r line; do
        case $line in
            'file '*)
                file=${line#file }
                rm -f -- "$(half "$file")" "$file" || fail "cannot remove $file"
                [ "$file" = "$(half "$file")" ] || say "removed $file"
                ;;
        esac
    done <"$manifest"
    # The deepest first; what holds anything else stays. The manifest goes before its own folders only.
    folders=$(sed -n 's/^folder //p' "$manifest" | sort -r)
    remove_folders
    rm -f -- "$manifest.new" "$manifest" || fail "cannot remove $manifest"
    remove_folders
}

remove_folders() {
    while IFS= read -r folder; do
        if [ -n "$folder" ]; then rmdir -- "$folder" 2>/dev/null || true; fi
    done <<LINES
$folders
LINES
}

say_what_stays() {
    data=${TELEMETRY_UPLOAD_DATA_DIR:-$data_home/$app}
    if [ ! -d "$data" ]; then data="${HOME:-}/Library/Application Support/$app"; fi
    if [ -d "$data" ]; then
        say "kept: $data, $kept of $app; to delete them, with all else that $app has there: rm -r $(quoted "$data")"
    fi
}

# A path as it is written in a shell.
quoted() {
    case $1 in
        *[!A-Za-z0-9/._-]*) printf "'%s'\n" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

main() {
    # zsh's own ways with words and patterns are not those of this script.
    if [ -n "${ZSH_VERSION:-}" ]; then emulate sh; fi
    set -eu
    trap '' PIPE
    script=$1
    shift
    read_flags "$@"
    find_places
    here=$(CDPATH='' cd -- "$(dirname -- "$script")" && pwd)
    if [ -n "$uninstall" ]; then
        uninstall_all
    else
        install_all
    fi
    exit "$trouble"
}

# Everything runs from here, the last line, so that a download cut short runs nothing.
main "$0" "$@"
