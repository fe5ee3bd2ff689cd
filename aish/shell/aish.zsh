# The CIs as commands in zsh: the launchers last on PATH, completion, and `aish do`.
# Reading it again changes nothing.

# The command that was agreed to runs in this shell, as if it had been typed.
function __aish_do {
    local __aish_file __aish_line
    __aish_file=$(command mktemp "${TMPDIR:-/tmp}/aish-do.XXXXXXXX") || return
    {
        # Held open, it needs no name: nothing stays behind, however this shell ends.
        command rm -f -- "$__aish_file"
        AISH_SHELL=zsh AISH_DO_FILE=/dev/fd/9 command aish "$@"
        set -- "$?"
        __aish_line=$(command cat <&8)
    } 8<"$__aish_file" 9<>"$__aish_file"
    if [[ $1 != 0 || -z $__aish_line ]]; then
        return "$1"
    fi
    print -rs -- "$__aish_line"
    eval "$__aish_line"
}

function aish {
    if [[ ${1-} == do ]]; then
        __aish_do "$@"
    else
        command aish "$@"
    fi
}

# Our programs are completed where this shell completes by functions, which compinit sets up.
function __aish_complete {
    emulate -L zsh
    if [[ ! -o interactive ]] || (( ! ${+functions[compdef]} )); then
        return 0
    fi
    local program
    for program in $__aish_completions/(aish|tekton|terma).zsh(N); do
        . $program
    done
    __aish_follow
}

# A CI that has come since is completed too; a program that goes before it keeps its own completion.
function __aish_follow {
    emulate -L zsh
    [[ -n ${__aish_launchers-} ]] || return 0
    local -a names=($__aish_launchers/*(N:t))
    local name
    if [[ $names == $__aish_seen ]] || (( ! ${+functions[_aish_complete_ci]} )); then
        return 0
    fi
    __aish_seen=$names
    for name in ${names:#(aish|terma)}; do
        if [[ ${name:c} == $__aish_launchers/$name ]]; then
            compdef _aish_complete_ci $name
        fi
    done
}

function __aish_load {
    emulate -L zsh
    if [[ -n ${AISH_LAUNCHERS-} ]]; then
        typeset -g __aish_launchers=$AISH_LAUNCHERS __aish_seen=
        path=("${(@)path:#${(b)AISH_LAUNCHERS}}" "$AISH_LAUNCHERS")
        export PATH
    fi
    unset AISH_LAUNCHERS
    typeset -g __aish_completions=$1
    __aish_complete
}
__aish_load "${${(%):-%x}:A:h:h}/completions"
