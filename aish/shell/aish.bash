# The CIs as commands in bash: the launchers last on PATH, completion, and `aish do`.
# Reading it again changes nothing.

__aish_last_on_path() {
    local path=":$PATH:"
    while [[ $path == *":$1:"* ]]; do
        path=${path//":$1:"/:}
    done
    path=${path#:}
    PATH=${path%:}:$1
}

# The command that was agreed to runs in this shell, as if it had been typed.
__aish_do() {
    local __aish_file __aish_line
    __aish_file=$(command mktemp "${TMPDIR:-/tmp}/aish-do.XXXXXXXX") || return
    {
        # Held open, it needs no name: nothing stays behind, however this shell ends.
        command rm -f -- "$__aish_file"
        AISH_SHELL=bash AISH_DO_FILE=/dev/fd/9 command aish "$@"
        set -- "$?"
        __aish_line=$(command cat <&8)
    } 8<"$__aish_file" 9<>"$__aish_file"
    if [[ $1 != 0 || -z $__aish_line ]]; then
        return "$1"
    fi
    __aish_remember "$__aish_line"
    eval "$__aish_line"
}

# `history -s` takes the line away that it is part of: what was typed stays in the history too.
__aish_remember() {
    local HISTTIMEFORMAT= before after
    before=$(builtin history 1)
    builtin history -s -- "$1"
    after=$(builtin history 2)
    if [[ -n $before && $after != "$before"* && $before =~ ^\ *[0-9]+[*]?\ \ ?(.*)$ ]]; then
        before=${BASH_REMATCH[1]}
        [[ $(builtin history 1) =~ ^\ *([0-9]+) ]] && builtin history -d "${BASH_REMATCH[1]}"
        builtin history -s -- "$before"
        builtin history -s -- "$1"
    fi
}

function aish {
    if [[ ${1-} == do ]]; then
        __aish_do "$@"
    else
        command aish "$@"
    fi
}

# The scripts for completion are long, so they are read on the first TAB. That of a program puts
# itself in the place of this; for a CI it stays.
__aish_complete() {
    local program=${1##*/}
    case $program in
        tekton | terma) ;;
        *) program=aish ;;
    esac
    if ! declare -F "_$program" >/dev/null; then
        . "$__aish_completions/$program.bash"
    fi
    if [[ ${1##*/} == "$program" ]]; then
        "_$program" "$@"
    else
        _aish_complete_ci "$@"
    fi
}

# A CI that has come since is completed too; a program that goes before it keeps its own completion.
__aish_follow() {
    [[ -n ${__aish_launchers-} ]] || return 0
    local names=("$__aish_launchers"/*) name folder IFS=:
    if [[ ${names[*]} == "$__aish_seen" ]]; then
        return 0
    fi
    __aish_seen=${names[*]}
    for name in "${names[@]##*/}"; do
        for folder in $PATH; do
            [[ ! -x $folder/$name ]] || break
        done
        if [[ $folder == "$__aish_launchers" && $name != aish && $name != terma ]]; then
            complete -o default -F __aish_complete "$name"
        fi
    done
}

if [[ -n ${AISH_LAUNCHERS-} ]]; then
    __aish_launchers=$AISH_LAUNCHERS
    __aish_last_on_path "$__aish_launchers"
    export PATH
fi
unset AISH_LAUNCHERS

__aish_seen=
if [[ $- == *i* ]]; then
    __aish_completions=${BASH_SOURCE[0]%/*}/../completions
    for __aish_name in aish tekton terma; do
        if [[ -r $__aish_completions/$__aish_name.bash ]]; then
            complete -o default -F __aish_complete "$__aish_name"
        fi
    done
    unset __aish_name
    __aish_follow
fi
