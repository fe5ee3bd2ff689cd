# Completion of tekton for bash, 3.2 and newer; written by docs/generate.py.

# What may follow a command: its commands, its options, the values of those that take one
# (NAME=VALUE|VALUE), and its arguments. <ci>, <cis>, <session>, <terminal>, <terminals> and <file> are found when needed.
_tekton_describe() {
    commands='' options='' valued='' arguments=''
    case $1 in
        '')
            commands='up down restart status serve logs events doctor clean config ci key token'
            options='--version -h --help'
            ;;
        'up')
            options='--foreground -q --quiet --json --debug -h --help'
            ;;
        'down')
            options='--all -q --quiet --debug -h --help'
            ;;
        'restart')
            options='--foreground -q --quiet --json --debug -h --help'
            ;;
        'status')
            options='--json --url --token-file --debug -h --help'
            valued='--url= --token-file=<file>'
            ;;
        'serve')
            options='--debug -h --help'
            arguments='hermes|engram|rhetor|numa|terma|specialists|<ci>'
            ;;
        'logs')
            options='-f --follow -n --lines --component --debug -h --help'
            valued='-n= --lines= --component=hermes|engram|rhetor|numa|terma|<ci>'
            ;;
        'events')
            options='--subject -n --count --json --url --token-file --debug -h --help'
            valued='--subject= -n= --count= --url= --token-file=<file>'
            ;;
        'doctor')
            options='--json --debug -h --help'
            ;;
        'clean')
            options='--debug -h --help'
            ;;
        'config')
            commands='path show edit set unset'
            options='-h --help'
            ;;
        'config path')
            options='--debug -h --help'
            ;;
        'config show')
            options='--json --debug -h --help'
            ;;
        'config edit')
            options='--debug -h --help'
            ;;
        'config set')
            options='--debug -h --help'
            arguments='models.default|models.order|tcp.enabled|tcp.host|tcp.legacy|tcp.ports|tcp.hosts|tcp.origins|logs.level|logs.max_bytes|engram.enabled|engram.keep_days|terma.record|terma.log_bytes|terma.keep_days|terma.scrollback|terma.workers|terma.shell|terma.notify|prices.as_of|prices.models '
            ;;
        'config unset')
            options='--debug -h --help'
            arguments='models.default|models.order|tcp.enabled|tcp.host|tcp.legacy|tcp.ports|tcp.hosts|tcp.origins|logs.level|logs.max_bytes|engram.enabled|engram.keep_days|terma.record|terma.log_bytes|terma.keep_days|terma.scrollback|terma.workers|terma.shell|terma.notify|prices.as_of|prices.models'
            ;;
        'ci')
            commands='add edit show list remove reset'
            options='-h --help'
            ;;
        'ci add')
            options='--role --description --capability --model --system --system-file --temperature --max-tokens --max-prompt-bytes --debug -h --help'
            valued='--role= --description= --capability= --model= --system= --system-file=<file> --temperature= --max-tokens= --max-prompt-bytes='
            ;;
        'ci edit')
            options='--role --description --capability --model --system --system-file --temperature --max-tokens --max-prompt-bytes --enable --debug -h --help'
            valued='--role= --description= --capability= --model= --system= --system-file=<file> --temperature= --max-tokens= --max-prompt-bytes='
            arguments='<ci>'
            ;;
        'ci show')
            options='--json --debug -h --help'
            arguments='<ci>'
            ;;
        'ci list')
            options='--json --debug -h --help'
            ;;
        'ci remove')
            options='--debug -h --help'
            arguments='<ci>'
            ;;
        'ci reset')
            options='--debug -h --help'
            arguments='<ci>'
            ;;
        'key')
            commands='set list remove'
            options='-h --help'
            ;;
        'key set')
            options='--debug -h --help'
            arguments='ollama|openai|anthropic|claude|codex|echo'
            ;;
        'key list')
            options='--json --debug -h --help'
            ;;
        'key remove')
            options='--debug -h --help'
            arguments='ollama|openai|anthropic|claude|codex|echo'
            ;;
        'token')
            commands='create list revoke'
            options='-h --help'
            ;;
        'token create')
            options='--debug -h --help'
            ;;
        'token list')
            options='--json --debug -h --help'
            ;;
        'token revoke')
            options='--debug -h --help'
            ;;
    esac
}

# The words up to the cursor, put together again where bash cuts them: at = : @
_tekton_split() {
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
_tekton_cis() {
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
_tekton_sessions() {
    local word title
    aish session list --for-completion ${ci:+--ci "$ci"} 2>/dev/null </dev/null |
        while IFS=$'\t' read -r word title; do
            printf '%s\n' "$word"
        done
}

# The names of terminals, and with an argument their roles.
_tekton_terminals() {
    local word about
    terma list --for-completion 2>/dev/null </dev/null |
        while IFS=$'\t' read -r word about; do
            [[ $word == @* && ! ${1-} ]] || printf '%s\n' "$word"
        done
}

# Offer the values $1 for what follows $2 in the current word.
_tekton_offer() {
    local value before=$2 IFS=$'|\n'
    local -a found=()
    # without an answer of ours bash completes files
    [[ "|$1|" == *'|<file>|'* ]] || compopt +o default 2>/dev/null
    for value in $1; do
        case $value in
            '<file>') ;;
            '<session>') found+=($(_tekton_sessions)) ;;
            '<ci>') found+=($(_tekton_cis)) ;;
            '<cis>')
                [[ $current != *,* ]] || before=${current%,*},
                found+=($(_tekton_cis) @all)
                ;;
            '<terminal>') found+=($(_tekton_terminals)) ;;
            '<terminals>')
                [[ $current != *,* ]] || before=${current%,*},
                found+=($(_tekton_terminals roles) @all user)
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
_tekton_values() {
    local one
    for one in $valued; do
        if [[ ${one%%=*} == "$1" ]]; then
            values=${one#*=}
            return 0
        fi
    done
    return 1
}

_tekton_complete() {
    local commands options valued arguments values word path='' option='' count=0 ci=''
    local current=${words[${#words[@]}-1]} is_plain='' first=''
    _tekton_describe ''
    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ $option ]]; then
            [[ $option != --ci ]] || ci=$word
            option=''
        elif [[ $word == -- && ! $is_plain ]]; then
            is_plain=1
        elif [[ $word == -* && ! $is_plain ]]; then
            ! _tekton_values "$word" || option=$word
        elif [[ $count == 0 && " $commands " == *" $word "* ]]; then
            path=${path:+$path }$word
            _tekton_describe "$path"
        else
            [[ $path$count != 0 || $word == *[,@]* ]] || ci=$word
            count=$((count + 1))
        fi
    done
    if [[ $option ]]; then
        _tekton_values "$option"
        _tekton_offer "$values" ''
    elif [[ $current == --*=* && ! $is_plain ]]; then
        values=''
        _tekton_values "${current%%=*}"
        _tekton_offer "$values" "${current%%=*}="
    elif [[ $current == -* && ! $is_plain ]]; then
        _tekton_offer "${options// /|}" ''
    else
        [[ $count -gt 0 ]] || first=${commands// /|}
        values=''
        for word in $arguments; do
            values=$word
            [[ $count -gt 0 ]] || break
            count=$((count - 1))
            [[ $word == *... ]] || values=''
        done
        _tekton_offer "$first|${values%...}" ''
    fi
}

_tekton() {
    local replaced=$2 IFS=$' \t\n'
    local -a words
    COMPREPLY=()
    _tekton_split
    _tekton_complete
}

complete -o default -F _tekton tekton
