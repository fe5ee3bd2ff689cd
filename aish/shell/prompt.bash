# The prompt of bash in `aish`: a word that tells it from any other shell, and the marks that tell
# a terminal where a prompt (A), what is typed (B), its output (C) and its status (D) begin: OSC 133,
# https://gitlab.freedesktop.org/Per_Bothner/specifications/-/blob/master/proposals/semantic-prompts.md

# Tells in one line of the messages that wait for this terminal. It begins a line of its own: as many
# blanks as a line has, less one, lead to the next where the last command has not ended its own.
__aish_notice() {
    if [[ -n $__aish_ran$__aish_blind && -n ${COLUMNS-} ]]; then
        builtin printf '%*s\r' "$((COLUMNS - 1))" ''
    fi
    # What fails here would fail at each prompt; `terma inbox` tells why.
    command terma inbox --notice </dev/null 2>/dev/null || :
}

# The user's own PROMPT_COMMAND sees the status that the last command had.
__aish_first() {
    local status=$?
    if [[ -n $__aish_end && ( -n $__aish_ran || -n $__aish_blind ) ]]; then
        builtin printf '\e]133;D;%s\a' "$status"
    fi
    if [[ -s ${TERMA_MAIL-} ]]; then
        __aish_notice
    fi
    __aish_ran=
    # bash 5.1 and newer see to the status by themselves, between one command and the next
    if [[ ${PROMPT_COMMAND[0]-} == __aish_first || $- == *e* ]]; then
        return 0
    fi
    return "$status"
}

# The terminal may have got another name; a file beside that of its messages has it then.
__aish_rename() {
    local name=
    if [[ -n ${TERMA_TERMINAL-} && -n ${TERMA_MAIL-} && -s ${TERMA_MAIL%/*}/name ]]; then
        IFS= builtin read -r name <"${TERMA_MAIL%/*}/name" || :
    fi
    if [[ -z $name || $name == *[!a-z0-9-]* || $name == "$TERMA_TERMINAL" ]]; then
        return 0
    fi
    if [[ $__aish_begin == *"]$TERMA_TERMINAL " ]]; then
        PS1=${PS1//"$__aish_begin"/}
        __aish_begin=${__aish_begin%"$TERMA_TERMINAL "}"$name "
    fi
    TERMA_TERMINAL=$name
}

# PS1 may be another one at each prompt, or have got something in front of our word. Empty lines
# that it begins with stay first.
__aish_wrap() {
    local own=${PS1-} lines=
    own=${own//"$__aish_begin"/}
    if [[ -n $__aish_end ]]; then
        own=${own//"$__aish_end"/}
    fi
    while [[ $own == $'\n'* || $own == '\n'* ]]; do
        [[ $own == $'\n'* ]] && own=${own:1} || own=${own:2}
        lines+=$'\n'
    done
    PS1=$lines$__aish_begin$own$__aish_end
}

__aish_last() {
    if [[ ${PROMPT_COMMAND[0]-} != __aish_first* ]]; then
        PROMPT_COMMAND[0]="__aish_first${PROMPT_COMMAND[0]:+$'\n'${PROMPT_COMMAND[0]}}"
    fi
    if [[ -n $__aish_end && ${PS0-} != *"$__aish_output"* ]]; then
        PS0=$__aish_output${PS0-}
    fi
    __aish_rename
    __aish_wrap
    __aish_follow
}

# Tells whether something else in this shell, or the terminal's own integration, sets the marks.
__aish_is_marked() {
    local text="${PS0-}${PS1-}${PROMPT_COMMAND[*]-}" name
    for name in ${PROMPT_COMMAND[@]-} ${precmd_functions[@]-}; do
        text+=$(builtin declare -f -- "${name%;}")
    done
    [[ $text == *'133;'* ]]
}

__aish_prompt() {
    __aish_ran='' __aish_none='' __aish_blind='' __aish_end='' __aish_output=''
    __aish_begin="\\[\\]${AISH_PROMPT-${TERMA_TERMINAL:-aish} }"
    if [[ ${TERM-dumb} != dumb ]] && ! __aish_is_marked; then
        __aish_begin="\\[\\e]133;A\\a\\]${AISH_PROMPT-${TERMA_TERMINAL:-aish} }"
        __aish_end='\[\e]133;B\a\]'
        __aish_output='\e]133;C\a'
        if shopt -q promptvars && [[ ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]} -ge 44 ]]; then
            __aish_output+='${__aish_none:$((__aish_ran=1,0)):0}'
        else
            __aish_blind=1
        fi
    fi
    if [[ ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]} -ge 51 ]]; then
        PROMPT_COMMAND=(__aish_first ${PROMPT_COMMAND[@]+"${PROMPT_COMMAND[@]}"} __aish_last)
    else
        PROMPT_COMMAND="__aish_first"$'\n'"${PROMPT_COMMAND:+$PROMPT_COMMAND$'\n'}__aish_last"
    fi
    export -n PROMPT_COMMAND PS0 PS1 # a shell within has nothing of ours
    shopt -s checkhash               # a CI that has gone is no command any more
}

if [[ $- == *i* && -z ${__aish_begin-} ]]; then
    __aish_prompt
fi
