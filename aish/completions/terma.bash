# Completion of terma for bash, 3.2 and newer; written by docs/generate.py.

# What may follow a command: its commands, its options, the values of those that take one
# (NAME=VALUE|VALUE), and its arguments. <ci>, <cis>, <session>, <terminal>, <terminals> and <file> are found when needed.
_terma_describe() {
    commands='' options='' valued='' arguments=''
    case $1 in
        '')
            commands='new list attach next message inbox reply ack whoami screen send log export replay diff rename role close restore'
            options='--version -h --help'
            ;;
        'new')
            options='--role --cwd --worktree --shell --record --attach -a --json --debug -h --help'
            valued='--role= --cwd=<file> --worktree= --shell=bash|zsh|fish'
            arguments=' <file>...'
            ;;
        'list')
            options='--json --watch --short --closed --debug -h --help'
            arguments='<terminal>'
            ;;
        'attach')
            options='--read-only --status --no-history --key --debug -h --help'
            valued='--key='
            arguments='<terminal>'
            ;;
        'next')
            options='--status --no-history --key --debug -h --help'
            valued='--key='
            ;;
        'message')
            options='--id --expires --wait --timeout --json --no-stdin -q --quiet --debug -h --help'
            valued='--id= --expires= --timeout='
            arguments='<terminals> ...'
            ;;
        'inbox')
            options='--watch --all -n --limit --json --notice --debug -h --help'
            valued='-n= --limit='
            arguments='<terminal>'
            ;;
        'reply')
            options='--json --debug -h --help'
            arguments=' ...'
            ;;
        'ack')
            options='--all --debug -h --help'
            arguments='...'
            ;;
        'whoami')
            options='--json --debug -h --help'
            ;;
        'screen')
            options='-s --scrollback --color -w --watch --json --debug -h --help'
            valued='-s= --scrollback= --color=auto|always|never'
            arguments='<terminal>'
            ;;
        'send')
            options='--keys --enter --signal --stdin --debug -h --help'
            valued='--keys= --signal=INT|QUIT|TSTP|CONT|HUP|TERM|KILL'
            arguments='<terminal> ...'
            ;;
        'log')
            options='--since --until --grep -i --ignore-case -n --tail -f --follow -t --timestamps --raw --force --json --debug -h --help'
            valued='--since= --until= --grep= -n= --tail='
            arguments='<terminal>'
            ;;
        'export')
            options='--cast --raw --text --since --until -f --force --debug -h --help'
            valued='--cast=<file> --raw=<file> --text=<file> --since= --until='
            arguments='<terminal>'
            ;;
        'replay')
            options='--speed --idle-limit --since --until --debug -h --help'
            valued='--speed= --idle-limit= --since= --until='
            arguments='<terminal>'
            ;;
        'diff')
            options='--stat --debug -h --help'
            arguments='<terminal> <file>...'
            ;;
        'rename')
            options='--debug -h --help'
            arguments='<terminal> '
            ;;
        'role')
            options='--none --debug -h --help'
            arguments='<terminal> ...'
            ;;
        'close')
            options='--all --exited --forget -y --yes --debug -h --help'
            arguments='<terminal>...'
            ;;
        'restore')
            options='--force --debug -h --help'
            arguments='<terminal>...'
            ;;
    esac
}

# The words up to the cursor, put together again where bash cuts them: at = : @
_terma_split() {
    local rest=${COMP_LINE:0:COMP_POINT} trimmed word
    words=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        [[ $trimmed == "$word"* ]] || word=$trimmed
        if [[ ${#words[@]} -gt 0 && $trimmed == "$rest" ]]; then
            words[${#words[@]}-1]+=$word
        else
            words[${#words[@]}]=$word
        fi
        rest=${trimmed#"$word"}
    done
}

# The names of the CIs: those of their launchers, without the second name of each.
_terma_cis() {
    local folder file IFS=$'\n'
    local -a folders
    if [[ ${TEKTON_HOME-} ]]; then
        folders=("$TEKTON_HOME/state/bin")
    else
        folders=(
            "${XDG_STATE_HOME:-$HOME/.local/state}/tekton/bin"
            "$HOME/Library/Application Support/tekton/bin"
        )
    fi
    for folder in "${folders[@]}"; do
        for file in $(compgen -f -- "$folder/"); do
            file=${file##*/}
            [[ $file == .* || $file == *-ci || $file == aish || $file == terma ]] || printf '%s\n' "$file"
        done
    done
}

# Conversations, by name or by the beginning of their id.
_terma_sessions() {
    local word title
    aish session list --for-completion ${ci:+--ci "$ci"} 2>/dev/null </dev/null |
        while IFS=$'\t' read -r word title; do
            printf '%s\n' "$word"
        done
}

# The names of terminals, and with an argument their roles.
_terma_terminals() {
    local word about
    terma list --for-completion 2>/dev/null </dev/null |
        while IFS=$'\t' read -r word about; do
            [[ $word == @* && ! ${1-} ]] || printf '%s\n' "$word"
        done
}

# Offer the values $1 for what follows $2 in the current word.
_terma_offer() {
    local value before=$2 IFS=$'|\n'
    local -a found=()
    # without an answer of ours bash completes files
    [[ "|$1|" == *'|<file>|'* ]] || compopt +o default 2>/dev/null
    for value in $1; do
        case $value in
            '<file>') ;;
            '<session>') found+=($(_terma_sessions)) ;;
            '<ci>') found+=($(_terma_cis)) ;;
            '<cis>')
                [[ $current != *,* ]] || before=${current%,*},
                found+=($(_terma_cis) @all)
                ;;
            '<terminal>') found+=($(_terma_terminals)) ;;
            '<terminals>')
                [[ $current != *,* ]] || before=${current%,*},
                found+=($(_terma_terminals roles) @all user)
                ;;
            *) found+=("$value") ;;
        esac
    done
    for value in ${found[@]+"${found[@]}"}; do
        value=$before$value
        # bash replaces only what it takes for a word; what it cut off before that stays
        [[ $value != "$current"* ]] || COMPREPLY+=("${value:$((${#current} - ${#replaced}))}")
    done
}

# Put the values of an option into `values`; fail where it takes none.
_terma_values() {
    local one
    for one in $valued; do
        if [[ ${one%%=*} == "$1" ]]; then
            values=${one#*=}
            return 0
        fi
    done
    return 1
}

_terma_complete() {
    local commands options valued arguments values word path='' option='' count=0 ci=''
    local current=${words[${#words[@]}-1]} is_plain='' first=''
    _terma_describe ''
    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ $option ]]; then
            [[ $option != --ci ]] || ci=$word
            option=''
        elif [[ $word == -- && ! $is_plain ]]; then
            is_plain=1
        elif [[ $word == -* && ! $is_plain ]]; then
            ! _terma_values "$word" || option=$word
        elif [[ $count == 0 && " $commands " == *" $word "* ]]; then
            path=${path:+$path }$word
            _terma_describe "$path"
        else
            [[ $path$count != 0 || $word == *[,@]* ]] || ci=$word
            count=$((count + 1))
        fi
    done
    if [[ $option ]]; then
        _terma_values "$option"
        _terma_offer "$values" ''
    elif [[ $current == --*=* && ! $is_plain ]]; then
        values=''
        _terma_values "${current%%=*}"
        _terma_offer "$values" "${current%%=*}="
    elif [[ $current == -* && ! $is_plain ]]; then
        _terma_offer "${options// /|}" ''
    else
        [[ $count -gt 0 ]] || first=${commands// /|}
        values=''
        for word in $arguments; do
            values=$word
            [[ $count -gt 0 ]] || break
            count=$((count - 1))
            [[ $word == *... ]] || values=''
        done
        _terma_offer "$first|${values%...}" ''
    fi
}

_terma() {
    local replaced=$2 IFS=$' \t\n'
    local -a words
    COMPREPLY=()
    _terma_split
    _terma_complete
}

complete -o default -F _terma terma
