# Completion of aish for bash, 3.2 and newer; written by docs/generate.py.

# What may follow a command: its commands, its options, the values of those that take one
# (NAME=VALUE|VALUE), and its arguments. <ci>, <cis>, <session>, <terminal>, <terminals> and <file> are found when needed.
_aish_describe() {
    commands='' options='' valued='' arguments=''
    case $1 in
        '')
            commands='list chat history do shell shellenv session completion'
            options='-m --model -s --system -a --attach --new -C --continue --session --schema --json --no-stream --timeout --no-stdin -q --quiet -v --verbose --url --token-file --debug --version -c -h --help'
            valued='-m= --model= -s= --system= -a=<file> --attach=<file> --session=<session> --schema=<file> --timeout= --url= --token-file=<file> -c='
            arguments='<cis>|<file> <file>...'
            ;;
        'list')
            options='--url --token-file --json --debug -h --help'
            valued='--url= --token-file=<file>'
            ;;
        'chat')
            options='--session --new -m --model -s --system --url --token-file --debug -h --help'
            valued='--session=<session> -m= --model= -s= --system= --url= --token-file=<file>'
            arguments='<cis>'
            ;;
        'history')
            options='--search --ci -n --limit --url --token-file --json --debug -h --help'
            valued='--search= --ci=<ci> -n= --limit= --url= --token-file=<file>'
            ;;
        'do')
            options='--ci -m --model --print --json --timeout -q --quiet -v --verbose --url --token-file --debug -h --help'
            valued='--ci=<ci> -m= --model= --timeout= --url= --token-file=<file>'
            arguments='...'
            ;;
        'shell')
            options='--shell -c --debug -h --help'
            valued='--shell=bash|zsh|fish -c='
            arguments='<file>...'
            ;;
        'shellenv')
            options='--debug -h --help'
            arguments='bash|zsh|fish|sh'
            ;;
        'session')
            commands='list show export rm fork rename title'
            options='-h --help'
            ;;
        'session list')
            options='--ci --search --here -n --limit --url --token-file --json --debug -h --help'
            valued='--ci=<ci> --search= -n= --limit= --url= --token-file=<file>'
            ;;
        'session show')
            options='--ci --all --url --token-file --json --debug -h --help'
            valued='--ci=<ci> --url= --token-file=<file>'
            arguments='<session>'
            ;;
        'session export')
            options='--ci --format -o --output -f --force --url --token-file --debug -h --help'
            valued='--ci=<ci> --format=markdown|json -o=<file> --output=<file> --url= --token-file=<file>'
            arguments='<session>'
            ;;
        'session rm')
            options='--older-than --ci -y --yes --url --token-file --debug -h --help'
            valued='--older-than= --ci=<ci> --url= --token-file=<file>'
            arguments='<session>...'
            ;;
        'session fork')
            options='--turn --name --ci --url --token-file --json --debug -h --help'
            valued='--turn= --name= --ci=<ci> --url= --token-file=<file>'
            arguments='<session>'
            ;;
        'session rename')
            options='--ci --url --token-file --debug -h --help'
            valued='--ci=<ci> --url= --token-file=<file>'
            arguments='<session> '
            ;;
        'session title')
            options='--ci --url --token-file --debug -h --help'
            valued='--ci=<ci> --url= --token-file=<file>'
            arguments='<session> ...'
            ;;
        'completion')
            commands='show install uninstall'
            options='-h --help'
            ;;
        'completion show')
            options='--for --debug -h --help'
            valued='--for=aish|tekton|terma'
            arguments='bash|zsh|fish'
            ;;
        'completion install')
            options='--debug -h --help'
            arguments='bash|zsh|fish'
            ;;
        'completion uninstall')
            options='--debug -h --help'
            arguments='bash|zsh|fish'
            ;;
    esac
}

# The words up to the cursor, put together again where bash cuts them: at = : @
_aish_split() {
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
_aish_cis() {
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
_aish_sessions() {
    local word title
    aish session list --for-completion ${ci:+--ci "$ci"} 2>/dev/null </dev/null |
        while IFS=$'\t' read -r word title; do
            printf '%s\n' "$word"
        done
}

# The names of terminals, and with an argument their roles.
_aish_terminals() {
    local word about
    terma list --for-completion 2>/dev/null </dev/null |
        while IFS=$'\t' read -r word about; do
            [[ $word == @* && ! ${1-} ]] || printf '%s\n' "$word"
        done
}

# Offer the values $1 for what follows $2 in the current word.
_aish_offer() {
    local value before=$2 IFS=$'|\n'
    local -a found=()
    # without an answer of ours bash completes files
    [[ "|$1|" == *'|<file>|'* ]] || compopt +o default 2>/dev/null
    for value in $1; do
        case $value in
            '<file>') ;;
            '<session>') found+=($(_aish_sessions)) ;;
            '<ci>') found+=($(_aish_cis)) ;;
            '<cis>')
                [[ $current != *,* ]] || before=${current%,*},
                found+=($(_aish_cis) @all)
                ;;
            '<terminal>') found+=($(_aish_terminals)) ;;
            '<terminals>')
                [[ $current != *,* ]] || before=${current%,*},
                found+=($(_aish_terminals roles) @all user)
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
_aish_values() {
    local one
    for one in $valued; do
        if [[ ${one%%=*} == "$1" ]]; then
            values=${one#*=}
            return 0
        fi
    done
    return 1
}

_aish_complete() {
    local commands options valued arguments values word path='' option='' count=0 ci=''
    local current=${words[${#words[@]}-1]} is_plain='' first=''
    _aish_describe ''
    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ $option ]]; then
            [[ $option != --ci ]] || ci=$word
            option=''
        elif [[ $word == -- && ! $is_plain ]]; then
            is_plain=1
        elif [[ $word == -* && ! $is_plain ]]; then
            ! _aish_values "$word" || option=$word
        elif [[ $count == 0 && " $commands " == *" $word "* ]]; then
            path=${path:+$path }$word
            _aish_describe "$path"
        else
            [[ $path$count != 0 || $word == *[,@]* ]] || ci=$word
            count=$((count + 1))
        fi
    done
    if [[ $option ]]; then
        _aish_values "$option"
        _aish_offer "$values" ''
    elif [[ $current == --*=* && ! $is_plain ]]; then
        values=''
        _aish_values "${current%%=*}"
        _aish_offer "$values" "${current%%=*}="
    elif [[ $current == -* && ! $is_plain ]]; then
        _aish_offer "${options// /|}" ''
    else
        [[ $count -gt 0 ]] || first=${commands// /|}
        values=''
        for word in $arguments; do
            values=$word
            [[ $count -gt 0 ]] || break
            count=$((count - 1))
            [[ $word == *... ]] || values=''
        done
        _aish_offer "$first|${values%...}" ''
    fi
}

_aish() {
    local replaced=$2 IFS=$' \t\n'
    local -a words
    COMPREPLY=()
    _aish_split
    _aish_complete
}

complete -o default -F _aish aish

# Completion of a launcher, a CI's own command: `complete -o default -F _aish_complete_ci apollo`.
_aish_complete_ci() {
    local replaced=$2 IFS=$' \t\n'
    local -a words
    COMPREPLY=()
    _aish_split
    words=(aish "${words[@]}")
    _aish_complete
}
