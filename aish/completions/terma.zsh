#compdef terma
# Completion of terma for zsh; written by docs/generate.py.

# The names of the CIs: those of their launchers, without the second name of each.
_terma_find_cis() {
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

_terma_ci() {
    local expl
    local -a found
    _terma_find_cis
    _wanted cis expl CI compadd -a found
}

_terma_cis() {
    local expl
    local -a found
    _terma_find_cis
    found+=(@all)
    compset -P '*,'
    _wanted cis expl CI compadd -a found
}

# Conversations, by name or by the beginning of their id.
_terma_sessions() {
    local ci=${opt_args[--ci]:-$target}
    local -a found
    found=(${(f)"$(aish session list --for-completion ${ci:+--ci} $ci 2>/dev/null </dev/null)"})
    found=(${found//:/\\:})
    found=(${found/$'\t'/:})
    _describe -t sessions session found
}

# Terminals by name; where several may stand, roles too.
_terma_terminal() {
    local -a found
    found=(${(f)"$(terma list --for-completion 2>/dev/null </dev/null)"})
    found=(${found:#@*})
    found=(${found/$'\t'/:})
    _describe -t terminals terminal found
}

_terma_terminals() {
    local -a found
    found=(${(f)"$(terma list --for-completion 2>/dev/null </dev/null)"})
    found=(${found/$'\t'/:} '@all:every terminal' 'user:the person')
    compset -P '*,'
    _describe -t terminals terminal found
}

_terma-() {
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
        'new:A terminal with a shell or a program in it'
        'list:The terminals, and what each does'
        'attach:Join this terminal to another one'
        'next:Attach to the one that has waited longest for you'
        'message:Send a message to terminals'
        'inbox:Read messages'
        'reply:Answer a message'
        'ack:Take messages out of the inbox'
        'whoami:The name of the terminal around this'
        'screen:What a terminal shows now'
        'send:Type into a terminal'
        'log:What a terminal has ever shown'
        'export:A recording as a file for asciinema'
        'replay:Play a recording'
        'diff:What has changed in a terminal'\''s worktree'
        'rename:Give a terminal another name'
        'role:Give a terminal other roles'
        'close:End a terminal, and all that runs in it'
        'restore:Run anew what was lost'
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
            if (( $+functions[_terma-$words[1]] )); then
                _terma-$words[1]
            else
                :
            fi
            ;;
    esac
}

_terma-new() {
    _arguments -s -S : \
        '*--role=[What it is for; @ROLE reaches it. a,b works]:ROLE: ' \
        '--cwd=[Where it begins; default: here]:DIR:_files' \
        '--worktree=[Begin in a git worktree of its own, made for it]:BRANCH: ' \
        '--shell=[Its name or path; default: as configured, else yours]:SHELL:(bash zsh fish)' \
        '--record[Keep what it shows; default: as configured]' \
        '(--attach -a)'{--attach,-a}'[Attach to it]' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME: ' \
        '*:-- CMD:_files'
}

_terma-list() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--watch[Show it anew with each change, until q or Ctrl-C]' \
        '--short[One line for status lines and prompts, see above]' \
        '--closed[Those that are closed and still kept, newest first]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::NAME:_terma_terminal'
}

_terma-attach() {
    _arguments -s -S : \
        '--read-only[Look on; type nothing]' \
        '--status[Show a status line in the last row]' \
        '--no-history[Have nothing above the screen to scroll back to]' \
        '--key=[The key that lets go]:KEY: ' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::NAME:_terma_terminal'
}

_terma-next() {
    _arguments -s -S : \
        '--status[Show a status line in the last row]' \
        '--no-history[Have nothing above the screen to scroll back to]' \
        '--key=[The key that lets go]:KEY: ' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_terma-message() {
    _arguments -s -S : \
        '--id=[Its id: what has been sent is not sent again under it]:ID: ' \
        '--expires=[Nobody needs it after 90s, 10m, 1h, 2d]:TIME: ' \
        '--wait[Print the answers as they come, until all are there]' \
        '--timeout=[Wait so long (exit status 5)]:SECONDS: ' \
        '--json[Print JSON; with --wait once all have answered]' \
        '--no-stdin[Do not read standard input]' \
        '(-q --quiet)'{-q,--quiet}'[No notices on stderr]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAMES:_terma_terminals' \
        '*:TEXT: '
}

_terma-inbox() {
    _arguments -s -S : \
        '--watch[Go on with each that comes]' \
        '--all[Also what was acknowledged, answered, or has expired]' \
        '(-n --limit)'{-n+,--limit=}'[The newest N, where there are more; without it 100, with --watch all]:N: ' \
        '--json[Print JSON; with --watch one object a line]' \
        '--notice[One line if there is something new; for prompts]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '::NAME:_terma_terminal'
}

_terma-reply() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':ID: ' \
        '*:TEXT: '
}

_terma-ack() {
    _arguments -s -S : \
        '--all[All that are open]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:ID: '
}

_terma-whoami() {
    _arguments -s -S : \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]'
}

_terma-screen() {
    _arguments -s -S : \
        '(-s --scrollback)'{-s+,--scrollback=}'[So many rows above, too]:N|all: ' \
        '--color=[Default: on a terminal]:auto|always|never:(auto always never)' \
        '(-w --watch)'{-w,--watch}'[Follow it; q leaves]' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal'
}

_terma-send() {
    _arguments -s -S : \
        '--keys=[Keys: '\''make\\n'\'', '\''<C-c>'\'', '\''<Up>'\'', '\''<Esc>:q\\n'\'']:KEYS: ' \
        '--enter[Press Enter after it]' \
        '--signal=[Send a signal instead, as INT]:NAME:(INT QUIT TSTP CONT HUP TERM KILL)' \
        '--stdin[Type what standard input has]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal' \
        '*:TEXT: '
}

_terma-log() {
    _arguments -s -S : \
        '--since=[From then on: 1h, 10m, '\''2026-11-20 14:00'\'']:TIME: ' \
        '--until=[Up to then, in the same form]:TIME: ' \
        '--grep=[Only lines with this regular expression]:PATTERN: ' \
        '(-i --ignore-case)'{-i,--ignore-case}'[Capitals are as good in PATTERN]' \
        '(-n --tail)'{-n+,--tail=}'[The last N; 0 is all of them]:N: ' \
        '(-f --follow)'{-f,--follow}'[Go on as more comes]' \
        '(-t --timestamps)'{-t,--timestamps}'[When each line was complete]' \
        '--raw[The bytes, as programs put them out]' \
        '--force[--raw onto a terminal, too]' \
        '--json[Print JSON]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal'
}

_terma-export() {
    _arguments -s -S : \
        '--cast=[An asciicast, for asciinema]:FILE:_files' \
        '--raw=[The bytes as they were]:FILE:_files' \
        '--text=[Lines of text, as shown]:FILE:_files' \
        '--since=[From then on: 1h, 10m, '\''2026-11-20 14:00'\'']:TIME: ' \
        '--until=[Up to then, in the same form]:TIME: ' \
        '(-f --force)'{-f,--force}'[Replace a file]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal'
}

_terma-replay() {
    _arguments -s -S : \
        '--speed=[4: four times as fast. 0: all at once]:X: ' \
        '--idle-limit=[Pauses are no longer than that]:S: ' \
        '--since=[From then on: 1h, 10m, '\''2026-11-20 14:00'\'']:TIME: ' \
        '--until=[Up to then, in the same form]:TIME: ' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal'
}

_terma-diff() {
    _arguments -s -S : \
        '--stat[Only which files, and how many lines]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal' \
        '*:-- OPTION:_files'
}

_terma-rename() {
    _arguments -s -S : \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal' \
        ':NEW: '
}

_terma-role() {
    _arguments -s -S : \
        '--none[It has no role any more]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        ':NAME:_terma_terminal' \
        '*:ROLE[,ROLE: '
}

_terma-close() {
    _arguments -s -S : \
        '--all[Every terminal; asks before]' \
        '--exited[Those whose program has ended]' \
        '--forget[Delete its log and its messages, too]' \
        '(-y --yes)'{-y,--yes}'[Do not ask]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:NAME:_terma_terminal'
}

_terma-restore() {
    _arguments -s -S : \
        '--force[Also where processes of the old one are still there]' \
        '--debug[Show the traceback of an error]' \
        '(-h --help)'{-h,--help}'[Show this help]' \
        '*:NAME:_terma_terminal'
}

_terma() {
    local target
    _terma-
}

if [[ ${funcstack[1]-} == _terma ]]; then
    _terma "$@"
else
    compdef _terma terma
fi
