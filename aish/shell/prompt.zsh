# The prompt of zsh in `aish`: a word that tells it from any other shell, and the marks that tell
# a terminal where a prompt (A), what is typed (B), its output (C) and its status (D) begin: OSC 133,
# https://gitlab.freedesktop.org/Per_Bothner/specifications/-/blob/master/proposals/semantic-prompts.md

# Tells in one line of the messages that wait for this terminal; zsh has begun a line before.
# What fails here would fail at each prompt; `terma inbox` tells why.
function __aish_notice {
    emulate -L zsh
    if [[ -s ${TERMA_MAIL-} ]]; then
        command terma inbox --notice </dev/null 2>/dev/null || true
    fi
}

function __aish_first {
    local -i last=$?
    emulate -L zsh
    if [[ -n $__aish_end && -n $__aish_ran ]]; then
        builtin printf '\e]133;D;%s\a' $last
    fi
    __aish_ran=
    __aish_notice
}

# The terminal may have got another name; a file beside that of its messages has it then.
function __aish_rename {
    emulate -L zsh
    local name=
    if [[ -n ${TERMA_TERMINAL-} && -n ${TERMA_MAIL-} && -s ${TERMA_MAIL:h}/name ]]; then
        IFS= builtin read -r name <${TERMA_MAIL:h}/name || true
    fi
    if [[ -z $name || $name == *[^a-z0-9-]* || $name == $TERMA_TERMINAL ]]; then
        return 0
    fi
    if [[ $__aish_begin == *"}$TERMA_TERMINAL " ]]; then
        PS1=${PS1//"$__aish_begin"/}
        __aish_begin=${__aish_begin%"$TERMA_TERMINAL "}"$name "
    fi
    TERMA_TERMINAL=$name
}

# PS1 may be another one at each prompt, or have got something in front of our word. Empty lines
# that it begins with stay first.
function __aish_last {
    emulate -L zsh
    __aish_rename
    local own=${PS1//"$__aish_begin"/} lines=
    if [[ -n $__aish_end ]]; then
        own=${own//"$__aish_end"/}
    fi
    while [[ $own == $'\n'* ]]; do
        lines+=$'\n'
        own=${own#?}
    done
    PS1=$lines$__aish_begin$own$__aish_end
    if (( ! ${+functions[_aish_complete_ci]} )); then
        __aish_complete  # compinit may have run since the start
    fi
    __aish_follow
}

function __aish_output {
    emulate -L zsh
    __aish_ran=1
    if [[ -n $__aish_end ]]; then
        builtin printf '\e]133;C\a'
    fi
}

# What runs before the first prompt, and after us, may set another one yet.
function __aish_line {
    emulate -L zsh
    add-zle-hook-widget -d line-init __aish_line
    zle -D __aish_line
    unfunction __aish_line
    if [[ $PS1 != *"$__aish_begin"* ]]; then
        __aish_last
        zle reset-prompt
    fi
}

# The first Tab, where the start files have set up no completion: that takes a fifth of a second. No
# file is written, and what others could have written is not read. The options are the user's own.
function __aish_tab {
    zle -A .expand-or-complete expand-or-complete
    unfunction __aish_tab
    autoload -Uz compinit
    compinit -D -i
    __aish_complete
    zle expand-or-complete
}

# Tells whether something else in this shell, or the terminal's own integration, sets the marks.
function __aish_is_marked {
    emulate -L zsh
    zmodload -i zsh/parameter
    local text=$PS1 name
    for name in precmd preexec $precmd_functions $preexec_functions; do
        text+=${functions[$name]-}
    done
    [[ $text == *'133;'* ]]
}

function __aish_prompt {
    emulate -L zsh
    typeset -g __aish_ran='' __aish_end='' __aish_begin
    typeset -ga precmd_functions preexec_functions
    __aish_begin="%{%}${AISH_PROMPT-${TERMA_TERMINAL:-aish} }"
    if [[ ${TERM-dumb} != dumb ]] && ! __aish_is_marked; then
        __aish_begin=$'%{\e]133;A\a%}'${AISH_PROMPT-${TERMA_TERMINAL:-aish} }
        __aish_end=$'%{\e]133;B\a%}'
    fi
    if (( ${#precmd_functions} )); then
        autoload -Uz add-zle-hook-widget
        zle -N __aish_line
        add-zle-hook-widget line-init __aish_line
    fi
    if (( ! ${+functions[compdef]} )) && [[ ${widgets[expand-or-complete]-} == builtin ]]; then
        zle -N expand-or-complete __aish_tab
    fi
    precmd_functions=(__aish_first $precmd_functions __aish_last)
    preexec_functions=(__aish_output $preexec_functions)
    __aish_notice
    __aish_last
}

if (( ! ${+__aish_begin} )); then
    __aish_prompt
fi
