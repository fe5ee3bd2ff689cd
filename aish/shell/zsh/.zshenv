# zsh reads this first when `aish` starts it. It gives ZDOTDIR back as it was, so that all further
# start files are the user's own, and adds ours when those are through: before the first prompt.
if (( ${+AISH_ZDOTDIR} )); then
    export ZDOTDIR=$AISH_ZDOTDIR
    unset AISH_ZDOTDIR
else
    unset ZDOTDIR
fi
typeset -g __aish_folder=${${(%):-%x}:A:h:h}

if [[ -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then
    . "${ZDOTDIR:-$HOME}/.zshenv"
fi

if [[ -o interactive ]]; then
    function __aish_start {
        precmd_functions=(${precmd_functions:#__aish_start})
        unfunction __aish_start
        . "$__aish_folder/aish.zsh"
        . "$__aish_folder/prompt.zsh"
    }
    typeset -ga precmd_functions
    precmd_functions+=(__aish_start)
else
    . "$__aish_folder/aish.zsh"
fi
