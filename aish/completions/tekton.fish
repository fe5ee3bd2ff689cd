# Completion of tekton for fish; written by docs/generate.py.

set -g __tekton_commands \
    ' up' \
    ' down' \
    ' restart' \
    ' status' \
    ' serve' \
    ' logs' \
    ' events' \
    ' doctor' \
    ' clean' \
    ' config' \
    ' config path' \
    ' config show' \
    ' config edit' \
    ' config set' \
    ' config unset' \
    ' ci' \
    ' ci add' \
    ' ci edit' \
    ' ci show' \
    ' ci list' \
    ' ci remove' \
    ' ci reset' \
    ' key' \
    ' key set' \
    ' key list' \
    ' key remove' \
    ' token' \
    ' token create' \
    ' token list' \
    ' token revoke'
set -g __tekton_valued \
    ' status --url' \
    ' status --token-file' \
    ' logs -n' \
    ' logs --lines' \
    ' logs --component' \
    ' events --subject' \
    ' events -n' \
    ' events --count' \
    ' events --url' \
    ' events --token-file' \
    ' ci add --role' \
    ' ci add --description' \
    ' ci add --capability' \
    ' ci add --model' \
    ' ci add --system' \
    ' ci add --system-file' \
    ' ci add --temperature' \
    ' ci add --max-tokens' \
    ' ci add --max-prompt-bytes' \
    ' ci edit --role' \
    ' ci edit --description' \
    ' ci edit --capability' \
    ' ci edit --model' \
    ' ci edit --system' \
    ' ci edit --system-file' \
    ' ci edit --temperature' \
    ' ci edit --max-tokens' \
    ' ci edit --max-prompt-bytes'

# Print the command at the cursor, how many arguments it has before that, and the CI it names.
function __tekton_parse
    set -l path
    set -l count 0
    set -l option
    set -l ci
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if test -n "$option"
            test "$option" = --ci; and set ci $word
            set option
        else if contains -- "$path $word" $__tekton_valued
            set option $word
        else if string match -q -- '-*' $word
            continue
        else if test $count = 0; and contains -- "$path $word" $__tekton_commands
            set path "$path $word"
        else
            test -z "$path" -a $count = 0; and not string match -qr '[,@]' -- $word
            and set ci $word
            set count (math $count + 1)
        end
    end
    printf '%s\n' "$path" $count "$ci"
end

# Tell whether the cursor is at a command, before its argument $argv[2] or, with +, after it.
function __tekton_at
    set -l found (__tekton_parse)
    test "$found[1]" = "$argv[1]"; or return 1
    switch "$argv[2]"
        case ''
            return 0
        case '*+'
            test $found[2] -ge (string replace + '' -- $argv[2])
        case '*'
            test $found[2] = $argv[2]
    end
end

# The names of the CIs: those of their launchers, without the second name of each.
function __tekton_ci
    set -l folders $HOME/.local/state/tekton/bin "$HOME/Library/Application Support/tekton/bin"
    set -q XDG_STATE_HOME[1]; and set folders[1] $XDG_STATE_HOME/tekton/bin
    set -q TEKTON_HOME[1]; and set folders $TEKTON_HOME/state/bin
    for file in $folders/*
        string match -rv -- '-ci$|^(aish|terma)$' (string replace -r '.*/' '' -- $file)
    end
end

function __tekton_cis
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for name in (__tekton_ci) @all
        printf '%s%s\tCI\n' "$before" $name
    end
end

# Conversations, by name or by the beginning of their id.
function __tekton_sessions
    set -l found (__tekton_parse)
    set -l only
    test -n "$found[3]"; and set only --ci $found[3]
    aish session list --for-completion $only 2>/dev/null </dev/null
end

# Terminals by name; where several may stand, roles too.
function __tekton_terminal
    terma list --for-completion 2>/dev/null </dev/null | string match -v '@*'
end

function __tekton_terminals
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for line in (terma list --for-completion 2>/dev/null </dev/null) @all\t'every terminal' user\t'the person'
        printf '%s%s\n' "$before" $line
    end
end

function __tekton_is_path
    string match -qr '[./]' -- (commandline -ct)
end

complete -c tekton -f
complete -c tekton -n '__tekton_at "" 0' -a up -d 'Start the hub with all services and CIs; list them'
complete -c tekton -n '__tekton_at "" 0' -a down -d 'End the hub and what it started, but no terminal'
complete -c tekton -n '__tekton_at "" 0' -a restart -d 'Down and up, with the settings of now'
complete -c tekton -n '__tekton_at "" 0' -a status -d 'What runs, with which model; the last errors'
complete -c tekton -n '__tekton_at "" 0' -a serve -d 'One service or CI alone, until Ctrl-C'
complete -c tekton -n '__tekton_at "" 0' -a logs -d 'The hub\'s log'
complete -c tekton -n '__tekton_at "" 0' -a events -d 'What happens, until Ctrl-C'
complete -c tekton -n '__tekton_at "" 0' -a doctor -d 'Check everything, name the command that mends it'
complete -c tekton -n '__tekton_at "" 0' -a clean -d 'Remove what dead processes left'
complete -c tekton -n '__tekton_at "" 0' -a config -d 'The settings, and commands that change them'
complete -c tekton -n '__tekton_at "" 0' -a ci -d 'Your own CIs, and changes'
complete -c tekton -n '__tekton_at "" 0' -a key -d 'Keys of providers'
complete -c tekton -n '__tekton_at "" 0' -a token -d 'Let in clients from elsewhere'
complete -c tekton -n '__tekton_at ""' -l version -d 'Show the version'
complete -c tekton -n '__tekton_at ""' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " up"' -l foreground -d 'Stay in the foreground, log to stderr'
complete -c tekton -n '__tekton_at " up"' -s q -l quiet -d 'Say nothing when it works'
complete -c tekton -n '__tekton_at " up"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " up"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " up"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " down"' -l all -d 'End every terminal, too, and all that runs in it'
complete -c tekton -n '__tekton_at " down"' -s q -l quiet -d 'Say nothing when it works'
complete -c tekton -n '__tekton_at " down"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " down"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " restart"' -l foreground -d 'Stay in the foreground, log to stderr'
complete -c tekton -n '__tekton_at " restart"' -s q -l quiet -d 'Say nothing when it works'
complete -c tekton -n '__tekton_at " restart"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " restart"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " restart"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " status"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " status"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…'
complete -c tekton -n '__tekton_at " status"' -l token-file -r -F -d 'File with the token for --url'
complete -c tekton -n '__tekton_at " status"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " status"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " serve"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " serve"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " serve" 0' -a 'hermes engram rhetor numa terma specialists (__tekton_ci)'
complete -c tekton -n '__tekton_at " logs"' -s f -l follow -d 'Go on as lines come'
complete -c tekton -n '__tekton_at " logs"' -s n -l lines -x -d 'So many of the last lines'
complete -c tekton -n '__tekton_at " logs"' -l component -x -a 'hermes engram rhetor numa terma (__tekton_ci)' -d 'Only lines of this component'
complete -c tekton -n '__tekton_at " logs"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " logs"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " events"' -l subject -x -d '\'*\' stands for one word, \'>\' for all that follow'
complete -c tekton -n '__tekton_at " events"' -s n -l count -x -d 'End after so many; 0 never ends'
complete -c tekton -n '__tekton_at " events"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " events"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…'
complete -c tekton -n '__tekton_at " events"' -l token-file -r -F -d 'File with the token for --url'
complete -c tekton -n '__tekton_at " events"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " events"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " doctor"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " doctor"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " doctor"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " clean"' -l debug -d 'Show the traceback of an error; log everything'
complete -c tekton -n '__tekton_at " clean"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config" 0' -a path -d 'Where the file of settings is, or would be'
complete -c tekton -n '__tekton_at " config" 0' -a show -d 'Every setting as it counts now, and why'
complete -c tekton -n '__tekton_at " config" 0' -a edit -d 'Change the settings in $VISUAL or $EDITOR'
complete -c tekton -n '__tekton_at " config" 0' -a set -d 'Change one setting'
complete -c tekton -n '__tekton_at " config" 0' -a unset -d 'Back to the default'
complete -c tekton -n '__tekton_at " config"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config path"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " config path"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config show"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " config show"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " config show"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config edit"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " config edit"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config set"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " config set"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config set" 0' -a 'models.default models.order tcp.enabled tcp.host tcp.legacy tcp.ports tcp.hosts tcp.origins logs.level logs.max_bytes engram.enabled engram.keep_days terma.record terma.log_bytes terma.keep_days terma.scrollback terma.workers terma.shell terma.notify prices.as_of prices.models'
complete -c tekton -n '__tekton_at " config unset"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " config unset"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " config unset" 0' -a 'models.default models.order tcp.enabled tcp.host tcp.legacy tcp.ports tcp.hosts tcp.origins logs.level logs.max_bytes engram.enabled engram.keep_days terma.record terma.log_bytes terma.keep_days terma.scrollback terma.workers terma.shell terma.notify prices.as_of prices.models'
complete -c tekton -n '__tekton_at " ci" 0' -a add -d 'Make a CI of your own'
complete -c tekton -n '__tekton_at " ci" 0' -a edit -d 'Change a CI'
complete -c tekton -n '__tekton_at " ci" 0' -a show -d 'What makes a CI what it is, and its file'
complete -c tekton -n '__tekton_at " ci" 0' -a list -d 'Every CI, and where it comes from'
complete -c tekton -n '__tekton_at " ci" 0' -a remove -d 'End a CI, and delete its file'
complete -c tekton -n '__tekton_at " ci" 0' -a reset -d 'Back to how it was built in'
complete -c tekton -n '__tekton_at " ci"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci add"' -l role -x -d '`aish @WORD` asks every CI with that role'
complete -c tekton -n '__tekton_at " ci add"' -l description -x -d 'What it does, in one line'
complete -c tekton -n '__tekton_at " ci add"' -l capability -x -d 'What it can do; may be repeated'
complete -c tekton -n '__tekton_at " ci add"' -l model -x -d 'provider/model, a provider, a model, or auto'
complete -c tekton -n '__tekton_at " ci add"' -l system -x -d 'Its system prompt'
complete -c tekton -n '__tekton_at " ci add"' -l system-file -r -F -d 'File with its system prompt'
complete -c tekton -n '__tekton_at " ci add"' -l temperature -x -d 'Passed to the model as it is'
complete -c tekton -n '__tekton_at " ci add"' -l max-tokens -x -d 'Longest answer, in tokens'
complete -c tekton -n '__tekton_at " ci add"' -l max-prompt-bytes -x -d 'Longest prompt, with what is attached'
complete -c tekton -n '__tekton_at " ci add"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " ci add"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci edit"' -l role -x -d '`aish @WORD` asks every CI with that role'
complete -c tekton -n '__tekton_at " ci edit"' -l description -x -d 'What it does, in one line'
complete -c tekton -n '__tekton_at " ci edit"' -l capability -x -d 'What it can do; may be repeated'
complete -c tekton -n '__tekton_at " ci edit"' -l model -x -d 'provider/model, a provider, a model, or auto'
complete -c tekton -n '__tekton_at " ci edit"' -l system -x -d 'Its system prompt'
complete -c tekton -n '__tekton_at " ci edit"' -l system-file -r -F -d 'File with its system prompt'
complete -c tekton -n '__tekton_at " ci edit"' -l temperature -x -d 'Passed to the model as it is'
complete -c tekton -n '__tekton_at " ci edit"' -l max-tokens -x -d 'Longest answer, in tokens'
complete -c tekton -n '__tekton_at " ci edit"' -l max-prompt-bytes -x -d 'Longest prompt, with what is attached'
complete -c tekton -n '__tekton_at " ci edit"' -l enable -d 'Bring a removed CI back'
complete -c tekton -n '__tekton_at " ci edit"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " ci edit"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci edit" 0' -a '(__tekton_ci)'
complete -c tekton -n '__tekton_at " ci show"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " ci show"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " ci show"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci show" 0' -a '(__tekton_ci)'
complete -c tekton -n '__tekton_at " ci list"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " ci list"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " ci list"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci remove"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " ci remove"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci remove" 0' -a '(__tekton_ci)'
complete -c tekton -n '__tekton_at " ci reset"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " ci reset"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " ci reset" 0' -a '(__tekton_ci)'
complete -c tekton -n '__tekton_at " key" 0' -a set -d 'Keep a key in a file, mode 0600'
complete -c tekton -n '__tekton_at " key" 0' -a list -d 'Where each provider\'s key is; never the key'
complete -c tekton -n '__tekton_at " key" 0' -a remove -d 'Delete the file with its key'
complete -c tekton -n '__tekton_at " key"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " key set"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " key set"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " key set" 0' -a 'ollama openai anthropic claude codex echo'
complete -c tekton -n '__tekton_at " key list"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " key list"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " key list"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " key remove"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " key remove"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " key remove" 0' -a 'ollama openai anthropic claude codex echo'
complete -c tekton -n '__tekton_at " token" 0' -a create -d 'Shown this once'
complete -c tekton -n '__tekton_at " token" 0' -a list -d 'The name of each token, and when it was made'
complete -c tekton -n '__tekton_at " token" 0' -a revoke -d 'A token opens nothing any more'
complete -c tekton -n '__tekton_at " token"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " token create"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " token create"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " token list"' -l json -d 'Print JSON'
complete -c tekton -n '__tekton_at " token list"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " token list"' -s h -l help -d 'Show this help'
complete -c tekton -n '__tekton_at " token revoke"' -l debug -d 'Show the traceback of an error'
complete -c tekton -n '__tekton_at " token revoke"' -s h -l help -d 'Show this help'
