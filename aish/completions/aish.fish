# Completion of aish for fish; written by docs/generate.py.

set -g __aish_commands \
    ' list' \
    ' chat' \
    ' history' \
    ' do' \
    ' shell' \
    ' shellenv' \
    ' session' \
    ' session list' \
    ' session show' \
    ' session export' \
    ' session rm' \
    ' session fork' \
    ' session rename' \
    ' session title' \
    ' completion' \
    ' completion show' \
    ' completion install' \
    ' completion uninstall'
set -g __aish_valued \
    ' -m' \
    ' --model' \
    ' -s' \
    ' --system' \
    ' -a' \
    ' --attach' \
    ' --session' \
    ' --schema' \
    ' --timeout' \
    ' --url' \
    ' --token-file' \
    ' -c' \
    ' list --url' \
    ' list --token-file' \
    ' chat --session' \
    ' chat -m' \
    ' chat --model' \
    ' chat -s' \
    ' chat --system' \
    ' chat --url' \
    ' chat --token-file' \
    ' history --search' \
    ' history --ci' \
    ' history -n' \
    ' history --limit' \
    ' history --url' \
    ' history --token-file' \
    ' do --ci' \
    ' do -m' \
    ' do --model' \
    ' do --timeout' \
    ' do --url' \
    ' do --token-file' \
    ' shell --shell' \
    ' shell -c' \
    ' session list --ci' \
    ' session list --search' \
    ' session list -n' \
    ' session list --limit' \
    ' session list --url' \
    ' session list --token-file' \
    ' session show --ci' \
    ' session show --url' \
    ' session show --token-file' \
    ' session export --ci' \
    ' session export --format' \
    ' session export -o' \
    ' session export --output' \
    ' session export --url' \
    ' session export --token-file' \
    ' session rm --older-than' \
    ' session rm --ci' \
    ' session rm --url' \
    ' session rm --token-file' \
    ' session fork --turn' \
    ' session fork --name' \
    ' session fork --ci' \
    ' session fork --url' \
    ' session fork --token-file' \
    ' session rename --ci' \
    ' session rename --url' \
    ' session rename --token-file' \
    ' session title --ci' \
    ' session title --url' \
    ' session title --token-file' \
    ' completion show --for'

# Print the command at the cursor, how many arguments it has before that, and the CI it names.
function __aish_parse
    set -l path
    set -l count 0
    set -l option
    set -l ci
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if test -n "$option"
            test "$option" = --ci; and set ci $word
            set option
        else if contains -- "$path $word" $__aish_valued
            set option $word
        else if string match -q -- '-*' $word
            continue
        else if test $count = 0; and contains -- "$path $word" $__aish_commands
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
function __aish_at
    set -l found (__aish_parse)
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
function __aish_ci
    set -l folders $HOME/.local/state/tekton/bin "$HOME/Library/Application Support/tekton/bin"
    set -q XDG_STATE_HOME[1]; and set folders[1] $XDG_STATE_HOME/tekton/bin
    set -q TEKTON_HOME[1]; and set folders $TEKTON_HOME/state/bin
    for file in $folders/*
        string match -rv -- '-ci$|^(aish|terma)$' (string replace -r '.*/' '' -- $file)
    end
end

function __aish_cis
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for name in (__aish_ci) @all
        printf '%s%s\tCI\n' "$before" $name
    end
end

# Conversations, by name or by the beginning of their id.
function __aish_sessions
    set -l found (__aish_parse)
    set -l only
    test -n "$found[3]"; and set only --ci $found[3]
    aish session list --for-completion $only 2>/dev/null </dev/null
end

# Terminals by name; where several may stand, roles too.
function __aish_terminal
    terma list --for-completion 2>/dev/null </dev/null | string match -v '@*'
end

function __aish_terminals
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for line in (terma list --for-completion 2>/dev/null </dev/null) @all\t'every terminal' user\t'the person'
        printf '%s%s\n' "$before" $line
    end
end

function __aish_is_path
    string match -qr '[./]' -- (commandline -ct)
end

complete -c aish -f
complete -c aish -n '__aish_at "" 0' -a list -d 'Every CI, alive or dead, with its role and model'
complete -c aish -n '__aish_at "" 0' -a chat -d 'A conversation; every line is a prompt, and /help tells the rest'
complete -c aish -n '__aish_at "" 0' -a history -d 'What was asked and answered'
complete -c aish -n '__aish_at "" 0' -a do -d 'Propose a command, explain it, and run it if confirmed'
complete -c aish -n '__aish_at "" 0' -a shell -d 'Your own shell, with every CI as a command in it'
complete -c aish -n '__aish_at "" 0' -a shellenv -d 'The CIs as commands in the shell that you have already'
complete -c aish -n '__aish_at "" 0' -a session -d 'The conversations that are stored'
complete -c aish -n '__aish_at "" 0' -a completion -d 'TAB completes commands, options, CIs and files'
complete -c aish -n '__aish_at ""' -s m -l model -x -d 'Use this model: provider/model, a provider, or a model'
complete -c aish -n '__aish_at ""' -s s -l system -x -d 'Use this system prompt instead of the CI\'s own'
complete -c aish -n '__aish_at ""' -s a -l attach -r -F -d 'Send a text file or an image too; may be repeated'
complete -c aish -n '__aish_at ""' -l new -d 'Without a prompt: begin a new chat, as each prompt does'
complete -c aish -n '__aish_at ""' -s C -l continue -d 'Go on with the last conversation of this terminal and CI'
complete -c aish -n '__aish_at ""' -l session -x -a '(__aish_sessions)' -d 'Go on with the conversation of this id or name; a new name begins one'
complete -c aish -n '__aish_at ""' -l schema -r -F -d 'Print the answer once it fits a JSON schema; it is asked twice at most'
complete -c aish -n '__aish_at ""' -l json -d 'Print one JSON object when the answer is complete'
complete -c aish -n '__aish_at ""' -l no-stream -d 'Print the answer in one piece when it has ended, or broken off'
complete -c aish -n '__aish_at ""' -l timeout -x -d 'Give up after so long (exit status 5)'
complete -c aish -n '__aish_at ""' -l no-stdin -d 'Do not read standard input'
complete -c aish -n '__aish_at ""' -s q -l quiet -d 'No notices on stderr'
complete -c aish -n '__aish_at ""' -s v -l verbose -d 'Tell model, tokens, cost and times on stderr'
complete -c aish -n '__aish_at ""' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at ""' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at ""' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at ""' -l version -d 'Show the version'
complete -c aish -n '__aish_at ""' -s c -x -d 'Run this line; the words after it are its own'
complete -c aish -n '__aish_at ""' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at "" 0; and __aish_is_path' -F
complete -c aish -n '__aish_at "" 0' -a '(__aish_cis)'
complete -c aish -n '__aish_at "" 1+' -F
complete -c aish -n '__aish_at " list"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " list"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " list"' -l json -d 'Print JSON'
complete -c aish -n '__aish_at " list"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " list"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " chat"' -l session -x -a '(__aish_sessions)' -d 'Go on with the conversation of this id or name; a new name begins one'
complete -c aish -n '__aish_at " chat"' -l new -d 'Begin a new conversation'
complete -c aish -n '__aish_at " chat"' -s m -l model -x -d 'Use this model: provider/model, a provider, or a model'
complete -c aish -n '__aish_at " chat"' -s s -l system -x -d 'Use this system prompt instead of the CI\'s own'
complete -c aish -n '__aish_at " chat"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " chat"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " chat"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " chat"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " chat" 0' -a '(__aish_cis)'
complete -c aish -n '__aish_at " history"' -l search -x -d 'Only turns with all these words'
complete -c aish -n '__aish_at " history"' -l ci -x -a '(__aish_ci)' -d 'Only turns of this CI'
complete -c aish -n '__aish_at " history"' -s n -l limit -x -d 'At most so many turns'
complete -c aish -n '__aish_at " history"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " history"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " history"' -l json -d 'Print JSON'
complete -c aish -n '__aish_at " history"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " history"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " do"' -l ci -x -a '(__aish_ci)' -d 'The CI that is asked'
complete -c aish -n '__aish_at " do"' -s m -l model -x -d 'Use this model: provider/model, a provider, or a model'
complete -c aish -n '__aish_at " do"' -l print -d 'Print the command; do not ask whether to run it'
complete -c aish -n '__aish_at " do"' -l json -d 'Print command, explanation and dangers as JSON'
complete -c aish -n '__aish_at " do"' -l timeout -x -d 'Give up after so long (exit status 5)'
complete -c aish -n '__aish_at " do"' -s q -l quiet -d 'No notices, and no explanation off a terminal'
complete -c aish -n '__aish_at " do"' -s v -l verbose -d 'Tell model, tokens, cost and times on stderr'
complete -c aish -n '__aish_at " do"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " do"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " do"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " do"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " shell"' -l shell -x -a 'bash zsh fish' -d 'Its name or path; default: $AISH_SHELL, else yours, or bash for a script'
complete -c aish -n '__aish_at " shell"' -s c -x -d 'Run this line; the words after it are its own'
complete -c aish -n '__aish_at " shell"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " shell"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " shell" 0+' -F
complete -c aish -n '__aish_at " shellenv"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " shellenv"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " shellenv" 0' -a 'bash zsh fish sh'
complete -c aish -n '__aish_at " session" 0' -a list -d 'Conversations, the last used first'
complete -c aish -n '__aish_at " session" 0' -a show -d 'What was asked and answered in it'
complete -c aish -n '__aish_at " session" 0' -a export -d 'As Markdown, or whole as JSON'
complete -c aish -n '__aish_at " session" 0' -a rm -d 'Delete for good; or --older-than 30d'
complete -c aish -n '__aish_at " session" 0' -a fork -d 'Copy it, to go on twice'
complete -c aish -n '__aish_at " session" 0' -a rename -d 'Give it a name'
complete -c aish -n '__aish_at " session" 0' -a title -d 'Say what it is about'
complete -c aish -n '__aish_at " session"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session list"' -l ci -x -a '(__aish_ci)' -d 'Only those with this CI'
complete -c aish -n '__aish_at " session list"' -l search -x -d 'Only those with a turn that has all these'
complete -c aish -n '__aish_at " session list"' -l here -d 'Only those that went on last in this terminal'
complete -c aish -n '__aish_at " session list"' -s n -l limit -x -d 'At most so many'
complete -c aish -n '__aish_at " session list"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session list"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session list"' -l json -d 'Print JSON'
complete -c aish -n '__aish_at " session list"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session list"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session show"' -l ci -x -a '(__aish_ci)' -d 'Of this CI'
complete -c aish -n '__aish_at " session show"' -l all -d 'Every branch, not only the one that goes on'
complete -c aish -n '__aish_at " session show"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session show"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session show"' -l json -d 'Print JSON'
complete -c aish -n '__aish_at " session show"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session show"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session show" 0' -a '(__aish_sessions)'
complete -c aish -n '__aish_at " session export"' -l ci -x -a '(__aish_ci)' -d 'Of this CI'
complete -c aish -n '__aish_at " session export"' -l format -x -a 'markdown json' -d 'Default: json for FILE.json, else markdown'
complete -c aish -n '__aish_at " session export"' -s o -l output -r -F -d 'Write a file; default: stdout'
complete -c aish -n '__aish_at " session export"' -s f -l force -d 'Replace a file'
complete -c aish -n '__aish_at " session export"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session export"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session export"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session export"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session export" 0' -a '(__aish_sessions)'
complete -c aish -n '__aish_at " session rm"' -l older-than -x -d 'All not used for so long: 30d, 12h, 8w'
complete -c aish -n '__aish_at " session rm"' -l ci -x -a '(__aish_ci)' -d 'Of this CI'
complete -c aish -n '__aish_at " session rm"' -s y -l yes -d 'Do not ask'
complete -c aish -n '__aish_at " session rm"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session rm"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session rm"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session rm"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session rm" 0+' -a '(__aish_sessions)'
complete -c aish -n '__aish_at " session fork"' -l turn -x -d 'Up to this turn; default: the newest'
complete -c aish -n '__aish_at " session fork"' -l name -x -d 'A name for the copy'
complete -c aish -n '__aish_at " session fork"' -l ci -x -a '(__aish_ci)' -d 'Of this CI'
complete -c aish -n '__aish_at " session fork"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session fork"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session fork"' -l json -d 'Print JSON'
complete -c aish -n '__aish_at " session fork"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session fork"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session fork" 0' -a '(__aish_sessions)'
complete -c aish -n '__aish_at " session rename"' -l ci -x -a '(__aish_ci)' -d 'Of this CI'
complete -c aish -n '__aish_at " session rename"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session rename"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session rename"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session rename"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session rename" 0' -a '(__aish_sessions)'
complete -c aish -n '__aish_at " session title"' -l ci -x -a '(__aish_ci)' -d 'Of this CI'
complete -c aish -n '__aish_at " session title"' -l url -x -d 'Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine\'s hub'
complete -c aish -n '__aish_at " session title"' -l token-file -r -F -d 'File with the token for --url'
complete -c aish -n '__aish_at " session title"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " session title"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " session title" 0' -a '(__aish_sessions)'
complete -c aish -n '__aish_at " completion" 0' -a show -d 'The script itself, to `eval` or to look at'
complete -c aish -n '__aish_at " completion" 0' -a install -d 'Put it where the shell looks for it'
complete -c aish -n '__aish_at " completion" 0' -a uninstall -d 'Remove what `install` wrote'
complete -c aish -n '__aish_at " completion"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " completion show"' -l for -x -a 'aish tekton terma' -d 'aish, tekton or terma; default: all'
complete -c aish -n '__aish_at " completion show"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " completion show"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " completion show" 0' -a 'bash zsh fish'
complete -c aish -n '__aish_at " completion install"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " completion install"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " completion install" 0' -a 'bash zsh fish'
complete -c aish -n '__aish_at " completion uninstall"' -l debug -d 'Show the traceback of an error'
complete -c aish -n '__aish_at " completion uninstall"' -s h -l help -d 'Show this help'
complete -c aish -n '__aish_at " completion uninstall" 0' -a 'bash zsh fish'

# Complete a launcher, a CI's own command: `_aish_complete_ci apollo`.
function _aish_complete_ci
    for name in $argv
        complete -c $name -f -w "aish $name"
    end
end
