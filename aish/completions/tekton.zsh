#compdef tekton
# Completion of tekton for zsh; written by docs/generate.py.

# The names of the CIs: those of their launchers, without the second name of each.
_tekton_find_cis() {
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

_tekton_ci() {
    local expl
    local -a found
    _tekton_find_cis
    _wanted cis expl CI compadd -a found
}

_tekton_cis() {
    local expl
    local -a found
    _tekton_find_cis
    found+=(@all)
    compset -P '*,'
    _wanted cis expl CI compadd -a found
}

# Conversations, by name or by the beginning of their id.
_tekton_sessions() {
    local ci=${opt_args[--ci]:-$target}
    local -a found
    found=(${(f)"$(aish session list --for-completion ${ci:+--ci} $ci 2>/dev/null </dev/null)"})
    found=(${found//:/\\:})
    found=(${found/$'\t'/:})
    _describe -t sessions session found
}

# Terminals by name; where several may stand, roles too.
_tekton_terminal() {
    local -a found
    found=(${(f)"$(terma list --for-completion 2>/dev/null </dev/null)"})
    found=(${found:#@*})
    found=(${found/$'\t'/:})
    _describe -t terminals terminal found
}

_tekton_terminals() {
    local -a found
    found=(${(f)"$(terma list --for-completion 2>/dev/null </dev/null)"})
    found=(${found/$'\t'/:} '@all:every terminal' 'user:the person')
    compset -P '*,'
    _describe -t terminals terminal found
}

_tekton-() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'up:Start the hub with all services and CIs; list them'
        'down:End the hub and what it started, but no terminal'
        'restart:Down and up, with the settings of now'
        'status:What runs, with which model; the last errors'
        'serve:One service or CI alone, until Ctrl-C'
        'logs:The hub'\''s log'
        'events:What happens, until Ctrl-C'
        'doctor:Check everything, name the command that mends it'
        'clean:Remove what dead processes left'
        'config:The settings, and commands that change them'
        'ci:Your own CIs, and changes'
        'key:Keys of providers'
        'token:Let in clients from elsewhere'
    )
    _arguments -C -A '-*' -s -S : \
        '--version[Show the version]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '1: :->command' \
        '*:: :->rest' && return
    case $state in
        command)
            _describe -t commands command commands && found=0
            return found
            ;;
        rest)
            if (( $+functions[_tekton-$words[1]] )); then
                _tekton-$words[1]
            else
                :
            fi
            ;;
    esac
}

_tekton-up() {
    _arguments -s -S : \
        '--foreground[Stay in the foreground, log to stderr]' \
        '(-q --quiet)'{-q,--quiet}'[Say nothing when it works]' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-down() {
    _arguments -s -S : \
        '--all[End every terminal, too, and all that runs in it]' \
        '(-q --quiet)'{-q,--quiet}'[Say nothing when it works]' \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-restart() {
    _arguments -s -S : \
        '--foreground[Stay in the foreground, log to stderr]' \
        '(-q --quiet)'{-q,--quiet}'[Say nothing when it works]' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-status() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-serve() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:{_alternative "words:name:(hermes engram rhetor numa terma specialists)" "others:CI:_tekton_ci"}'
}

_tekton-logs() {
    _arguments -s -S : \
        '(-f --follow)'{-f,--follow}'[Go on as lines come]' \
        '(-n --lines)'{-n+,--lines=}'[So many of the last lines]:N: ' \
        '--component=[Only lines of this component]:NAME:{_alternative "words:name:(hermes engram rhetor numa terma)" "others:CI:_tekton_ci"}' \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-events() {
    _arguments -s -S : \
        '--subject=['\''*'\'' stands for one word, '\''>'\'' for all that follow]:PATTERN: ' \
        '(-n --count)'{-n+,--count=}'[End after so many; 0 never ends]:N: ' \
        '--json[Print JSON]' \
        '--url=[Where: unix:PATH, tcp://…, ws://… or wss://…]:URL: ' \
        '--token-file=[File with the token for --url]:FILE:_files' \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-doctor() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-clean() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error; log everything]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-config() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'path:Where the file of settings is, or would be'
        'show:Every setting as it counts now, and why'
        'edit:Change the settings in $VISUAL or $EDITOR'
        'set:Change one setting'
        'unset:Back to the default'
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
            if (( $+functions[_tekton-config-$words[1]] )); then
                _tekton-config-$words[1]
            else
                :
            fi
            ;;
    esac
}

_tekton-config-path() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-config-show() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-config-edit() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-config-set() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':TABLE.NAME:(models.default models.order tcp.enabled tcp.host tcp.legacy tcp.ports tcp.hosts tcp.origins logs.level logs.max_bytes engram.enabled engram.keep_days terma.record terma.log_bytes terma.keep_days terma.scrollback terma.workers terma.shell terma.notify prices.as_of prices.models)' \
        ':VALUE: '
}

_tekton-config-unset() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':TABLE.NAME:(models.default models.order tcp.enabled tcp.host tcp.legacy tcp.ports tcp.hosts tcp.origins logs.level logs.max_bytes engram.enabled engram.keep_days terma.record terma.log_bytes terma.keep_days terma.scrollback terma.workers terma.shell terma.notify prices.as_of prices.models)'
}

_tekton-ci() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'add:Make a CI of your own'
        'edit:Change a CI'
        'show:What makes a CI what it is, and its file'
        'list:Every CI, and where it comes from'
        'remove:End a CI, and delete its file'
        'reset:Back to how it was built in'
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
            if (( $+functions[_tekton-ci-$words[1]] )); then
                _tekton-ci-$words[1]
            else
                :
            fi
            ;;
    esac
}

_tekton-ci-add() {
    _arguments -s -S : \
        '--role=[`aish @WORD` asks every CI with that role]:WORD: ' \
        '--description=[What it does, in one line]:TEXT: ' \
        '*--capability=[What it can do; may be repeated]:WORD: ' \
        '--model=[provider/model, a provider, a model, or auto]:MODEL: ' \
        '--system=[Its system prompt]:TEXT: ' \
        '--system-file=[File with its system prompt]:FILE:_files' \
        '--temperature=[Passed to the model as it is]:NUMBER: ' \
        '--max-tokens=[Longest answer, in tokens]:NUMBER: ' \
        '--max-prompt-bytes=[Longest prompt, with what is attached]:NUMBER: ' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME: '
}

_tekton-ci-edit() {
    _arguments -s -S : \
        '--role=[`aish @WORD` asks every CI with that role]:WORD: ' \
        '--description=[What it does, in one line]:TEXT: ' \
        '*--capability=[What it can do; may be repeated]:WORD: ' \
        '--model=[provider/model, a provider, a model, or auto]:MODEL: ' \
        '--system=[Its system prompt]:TEXT: ' \
        '--system-file=[File with its system prompt]:FILE:_files' \
        '--temperature=[Passed to the model as it is]:NUMBER: ' \
        '--max-tokens=[Longest answer, in tokens]:NUMBER: ' \
        '--max-prompt-bytes=[Longest prompt, with what is attached]:NUMBER: ' \
        '--enable[Bring a removed CI back]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_tekton_ci'
}

_tekton-ci-show() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_tekton_ci'
}

_tekton-ci-list() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-ci-remove() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_tekton_ci'
}

_tekton-ci-reset() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_tekton_ci'
}

_tekton-key() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'set:Keep a key in a file, mode 0600'
        'list:Where each provider'\''s key is; never the key'
        'remove:Delete the file with its key'
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
            if (( $+functions[_tekton-key-$words[1]] )); then
                _tekton-key-$words[1]
            else
                :
            fi
            ;;
    esac
}

_tekton-key-set() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':PROVIDER:(ollama openai anthropic claude codex echo)'
}

_tekton-key-list() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-key-remove() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':PROVIDER:(ollama openai anthropic claude codex echo)'
}

_tekton-token() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'create:Shown this once'
        'list:The name of each token, and when it was made'
        'revoke:A token opens nothing any more'
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
            if (( $+functions[_tekton-token-$words[1]] )); then
                _tekton-token-$words[1]
            else
                :
            fi
            ;;
    esac
}

_tekton-token-create() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME: '
}

_tekton-token-list() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_tekton-token-revoke() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME: '
}

_tekton() {
    local target
    _tekton-
}

if [[ ${funcstack[1]-} == _tekton ]]; then
    _tekton "$@"
else
    compdef _tekton tekton
fi
