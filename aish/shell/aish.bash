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

# A CI that has come since is completed too; a program that goes before it keeps its own completion.
__aish_follow() {
    local names=("$__aish_launchers"/*) name folder IFS=:
    if [[ ${names[*]} == "$__aish_seen" ]]; then
        return 0
    fi
    __aish_seen=${names[*]}
    for name in "${names[@]##*/}"; do
        for folder in $PATH; do
            [[ ! -x $folder/$name ]] || break
        done
        if [[ $folder == "$__aish_launchers" && $name != aish ]]; then
            complete -o default -F _aish_complete_ci "$name"
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
    . "${BASH_SOURCE[0]%/*}/../completions/aish.bash"
    . "${BASH_SOURCE[0]%/*}/../completions/tekton.bash"
    __aish_follow
fi
