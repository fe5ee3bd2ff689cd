#compdef aish
# Completion of aish for zsh; written by docs/generate.py.

# The names of the CIs: those of their launchers, without the second name of each.
_aish_find_cis() {
    if [[ -n ${TEKTON_HOME-} ]]; then
        found=($TEKTON_HOME/state/bin/*(N:t))
    else
        found=(
            ${XDG_STATE_HOME:-$HOME/.local/state}/tekton/bin/*(N:t)
            $HOME/Library/Application\ Support/tekton/bin/*(N:t)
        )
    fi
    found=(${found:#(*-ci|aish|terma)})
}

_aish_ci() {
    local expl
    local -a found
    _aish_find_cis
    _wanted cis expl CI compadd -a found
}

_aish_cis() {
    local expl
    local -a found
    _aish_find_cis
    found+=(@all)
    compset -P '*,'
    _wanted cis expl CI compadd -a found
}

# Conversations, by name or by the beginning of their id.
_aish_sessions() {
    local ci=${opt_args[--ci]:-$target}
    local -a found
    found=(${(f)"$(aish session list --for-completion ${ci:+--ci} $ci 2>/dev/null </dev/null)"})
    found=(${found//:/\\:})
    found=(${found/$'\t'/:})
    _describe -t sessions session found
}

# Terminals by name; where several may stand, roles too.
_aish_terminal() {
    local -a found
    found=(${(f)"$(terma list --for-completion 2>/dev/null </dev/null)"})
    found=(${found:#@*})
    found=(${found/$'\t'/:})
    _describe -t terminals terminal found
}

_aish_terminals() {
    local -a found
    found=(${(f)"$(terma list --for-completion 2>/dev/null </dev/null)"})
    found=(${found/$'\t'/:} '@all:every terminal' 'user:the person')
    compset -P '*,'
    _describe -t terminals terminal found
}

_aish-() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'list:Every CI, alive or dead, with its role and model'
        'chat:A conversation; every line is a prompt, and /help tells the rest'
        'history:What was asked and answered'
        'do:Propose a command, explain it, and run it if confirmed'
        'shell:Your own shell, with every CI as a command in it'
        'shellenv:The CIs as commands in the shell that you have already'
        'session:The conversations that are stored'
        'completion:TAB completes commands, options, CIs and files'
    )
    _arguments -C -A '-*' -s -S : \
        '(-m --model)'{-m+,--model=}'[Use this model: provider/model, a provider, or a model]:MODEL: ' \
        '(-s --system)'{-s+,--system=}'[Use this system prompt instead of the CI'\''s own]:TEXT: ' \
        '*'{-a+,--attach=}'[Send a text file or an image too; may be repeated]:FILE:_files' \
        '--new[Without a prompt: begin a new chat, as each prompt does]' \
        '(-C --continue)'{-C,--continue}'[Go on with the last conversation of this terminal and CI]' \
        '--session=[Go on with the conversation of this id or name; a new name begins one]:WORD:_aish_sessions' \
        '--schema=[Print the answer once it fits a JSON schema; it is asked twice at most]:FILE:_files' \
        '--json[Print one JSON object when the answer is complete]' \
        '--no-stream[Print the answer in one piece when it has ended, or broken off]' \
        '--timeout=[Give up after so long (exit status 5)]:SECONDS: ' \
        '--no-stdin[Do not read standard input]' \
        '(-q --quiet)'{-q,--quiet}'[No notices on stderr]' \
        '(-v --verbose)'{-v,--verbose}'[Tell model, tokens, cost and times on stderr]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '--version[Show the version]' \
        '-c+[Run this line; the words after it are its own]:LINE: ' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            _describe -t commands command commands && found=0
            _aish_cis && found=0
            (( found )) && _files
            return found
            ;;
        rest)
            if (( $+functions[_aish-$words[1]] )); then
                _aish-$words[1]
            else
                _aish_complete_ci
            fi
            ;;
    esac
}

_aish-list() {
    _arguments -s -S : \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_aish-chat() {
    _arguments -s -S : \
        '--session=[Go on with the conversation of this id or name; a new name begins one]:WORD:_aish_sessions' \
        '--new[Begin a new conversation]' \
        '(-m --model)'{-m+,--model=}'[Use this model: provider/model, a provider, or a model]:MODEL: ' \
        '(-s --system)'{-s+,--system=}'[Use this system prompt instead of the CI'\''s own]:TEXT: ' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_aish_cis'
}

_aish-history() {
    _arguments -s -S : \
        '--search=[Only turns with all these words]:WORDS: ' \
        '--ci=[Only turns of this CI]:NAME:_aish_ci' \
        '(-n --limit)'{-n+,--limit=}'[At most so many turns]:COUNT: ' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_aish-do() {
    _arguments -s -S : \
        '--ci=[The CI that is asked]:NAME:_aish_ci' \
        '(-m --model)'{-m+,--model=}'[Use this model: provider/model, a provider, or a model]:MODEL: ' \
        '--print[Print the command; do not ask whether to run it]' \
        '--json[Print command, explanation and dangers as JSON]' \
        '--timeout=[Give up after so long (exit status 5)]:SECONDS: ' \
        '(-q --quiet)'{-q,--quiet}'[No notices, and no explanation off a terminal]' \
        '(-v --verbose)'{-v,--verbose}'[Tell model, tokens, cost and times on stderr]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:WISH: '
}

_aish-shell() {
    _arguments -s -S : \
        '--shell=[Its name or path; default: $AISH_SHELL, else yours, or bash for a script]:SHELL:(bash zsh fish)' \
        '-c+[Run this line; the words after it are its own]:LINE: ' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:FILE [ARG:_files'
}

_aish-shellenv() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::SHELL:(bash zsh fish sh)'
}

_aish-session() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'list:Conversations, the last used first'
        'show:What was asked and answered in it'
        'export:As Markdown, or whole as JSON'
        'rm:Delete for good; or --older-than 30d'
        'fork:Copy it, to go on twice'
        'rename:Give it a name'
        'title:Say what it is about'
    )
    _arguments -C -A '-*' -s -S : \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            _describe -t commands command commands && found=0
            return found
            ;;
        rest)
            if (( $+functions[_aish-session-$words[1]] )); then
                _aish-session-$words[1]
            else
                :
            fi
            ;;
    esac
}

_aish-session-list() {
    _arguments -s -S : \
        '--ci=[Only those with this CI]:NAME:_aish_ci' \
        '--search=[Only those with a turn that has all these]:WORDS: ' \
        '--here[Only those that went on last in this terminal]' \
        '(-n --limit)'{-n+,--limit=}'[At most so many]:COUNT: ' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_aish-session-show() {
    _arguments -s -S : \
        '--ci=[Of this CI]:NAME:_aish_ci' \
        '--all[Every branch, not only the one that goes on]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':SESSION:_aish_sessions'
}

_aish-session-export() {
    _arguments -s -S : \
        '--ci=[Of this CI]:NAME:_aish_ci' \
        '--format=[Default: json for FILE.json, else markdown]:markdown|json:(markdown json)' \
        '(-o --output)'{-o+,--output=}'[Write a file; default: stdout]:FILE:_files' \
        '(-f --force)'{-f,--force}'[Replace a file]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':SESSION:_aish_sessions'
}

_aish-session-rm() {
    _arguments -s -S : \
        '--older-than=[All not used for so long: 30d, 12h, 8w]:AGE: ' \
        '--ci=[Of this CI]:NAME:_aish_ci' \
        '(-y --yes)'{-y,--yes}'[Do not ask]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:SESSION:_aish_sessions'
}

_aish-session-fork() {
    _arguments -s -S : \
        '--turn=[Up to this turn; default: the newest]:TURN: ' \
        '--name=[A name for the copy]:NAME: ' \
        '--ci=[Of this CI]:NAME:_aish_ci' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':SESSION:_aish_sessions'
}

_aish-session-rename() {
    _arguments -s -S : \
        '--ci=[Of this CI]:NAME:_aish_ci' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':SESSION:_aish_sessions' \
        ':NAME: '
}

_aish-session-title() {
    _arguments -s -S : \
        '--ci=[Of this CI]:NAME:_aish_ci' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':SESSION:_aish_sessions' \
        '*:TEXT: '
}

_aish-completion() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'show:The script itself, to `eval` or to look at'
        'install:Put it where the shell looks for it'
        'uninstall:Remove what `install` wrote'
    )
    _arguments -C -A '-*' -s -S : \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            _describe -t commands command commands && found=0
            return found
            ;;
        rest)
            if (( $+functions[_aish-completion-$words[1]] )); then
                _aish-completion-$words[1]
            else
                :
            fi
            ;;
    esac
}

_aish-completion-show() {
    _arguments -s -S : \
        '--for=[aish, tekton or terma; default: all]:PROGRAM:(aish tekton terma)' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::SHELL:(bash zsh fish)'
}

_aish-completion-install() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::SHELL:(bash zsh fish)'
}

_aish-completion-uninstall() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::SHELL:(bash zsh fish)'
}

# Completion of a launcher, a CI's own command: `compdef _aish_complete_ci apollo`.
_aish_complete_ci() {
    local target=${${words[1]:#*[,@]*}:t}
    _arguments -s -S : \
        '(-m --model)'{-m+,--model=}'[Use this model: provider/model, a provider, or a model]:MODEL: ' \
        '(-s --system)'{-s+,--system=}'[Use this system prompt instead of the CI'\''s own]:TEXT: ' \
        '*'{-a+,--attach=}'[Send a text file or an image too; may be repeated]:FILE:_files' \
        '--new[Without a prompt: begin a new chat, as each prompt does]' \
        '(-C --continue)'{-C,--continue}'[Go on with the last conversation of this terminal and CI]' \
        '--session=[Go on with the conversation of this id or name; a new name begins one]:WORD:_aish_sessions' \
        '--schema=[Print the answer once it fits a JSON schema; it is asked twice at most]:FILE:_files' \
        '--json[Print one JSON object when the answer is complete]' \
        '--no-stream[Print the answer in one piece when it has ended, or broken off]' \
        '--timeout=[Give up after so long (exit status 5)]:SECONDS: ' \
        '--no-stdin[Do not read standard input]' \
        '(-q --quiet)'{-q,--quiet}'[No notices on stderr]' \
        '(-v --verbose)'{-v,--verbose}'[Tell model, tokens, cost and times on stderr]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine'\''s hub]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error]' \
        '--version[Show the version]' \
        '-c+[Run this line; the words after it are its own]:LINE: ' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:PROMPT:_files'
}

_aish() {
    local target
    _aish-
}

if [[ ${funcstack[1]-} == _aish ]]; then
    _aish "$@"
else
    compdef _aish aish
fi
