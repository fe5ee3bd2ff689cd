# Completion of terma for fish; written by docs/generate.py.

set -g __terma_commands \
    ' new' \
    ' list' \
    ' attach' \
    ' next' \
    ' message' \
    ' inbox' \
    ' reply' \
    ' ack' \
    ' whoami' \
    ' screen' \
    ' send' \
    ' log' \
    ' export' \
    ' replay' \
    ' diff' \
    ' rename' \
    ' role' \
    ' close' \
    ' restore'
set -g __terma_valued \
    ' new --role' \
    ' new --cwd' \
    ' new --worktree' \
    ' new --shell' \
    ' attach --key' \
    ' next --key' \
    ' message --id' \
    ' message --expires' \
    ' message --timeout' \
    ' inbox -n' \
    ' inbox --limit' \
    ' screen -s' \
    ' screen --scrollback' \
    ' screen --color' \
    ' send --keys' \
    ' send --signal' \
    ' log --since' \
    ' log --until' \
    ' log --grep' \
    ' log -n' \
    ' log --tail' \
    ' export --cast' \
    ' export --raw' \
    ' export --text' \
    ' export --since' \
    ' export --until' \
    ' replay --speed' \
    ' replay --idle-limit' \
    ' replay --since' \
    ' replay --until'

# Print the command at the cursor, how many arguments it has before that, and the CI it names.
function __terma_parse
    set -l path
    set -l count 0
    set -l option
    set -l ci
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if test -n "$option"
            test "$option" = --ci; and set ci $word
            set option
        else if contains -- "$path $word" $__terma_valued
            set option $word
        else if string match -q -- '-*' $word
            continue
        else if test $count = 0; and contains -- "$path $word" $__terma_commands
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
function __terma_at
    set -l found (__terma_parse)
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
function __terma_ci
    set -l folders $HOME/.local/state/tekton/bin "$HOME/Library/Application Support/tekton/bin"
    set -q XDG_STATE_HOME[1]; and set folders[1] $XDG_STATE_HOME/tekton/bin
    set -q TEKTON_HOME[1]; and set folders $TEKTON_HOME/state/bin
    for file in $folders/*
        string match -rv -- '-ci$|^(aish|terma)$' (string replace -r '.*/' '' -- $file)
    end
end

function __terma_cis
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for name in (__terma_ci) @all
        printf '%s%s\tCI\n' "$before" $name
    end
end

# Conversations, by name or by the beginning of their id.
function __terma_sessions
    set -l found (__terma_parse)
    set -l only
    test -n "$found[3]"; and set only --ci $found[3]
    aish session list --for-completion $only 2>/dev/null </dev/null
end

# Terminals by name; where several may stand, roles too.
function __terma_terminal
    terma list --for-completion 2>/dev/null </dev/null | string match -v '@*'
end

function __terma_terminals
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for line in (terma list --for-completion 2>/dev/null </dev/null) @all\t'every terminal' user\t'the person'
        printf '%s%s\n' "$before" $line
    end
end

function __terma_is_path
    string match -qr '[./]' -- (commandline -ct)
end

complete -c terma -f
complete -c terma -n '__terma_at "" 0' -a new -d 'A terminal with a shell or a program in it'
complete -c terma -n '__terma_at "" 0' -a list -d 'The terminals, and what each does'
complete -c terma -n '__terma_at "" 0' -a attach -d 'Join this terminal to another one'
complete -c terma -n '__terma_at "" 0' -a next -d 'Attach to the one that has waited longest for you'
complete -c terma -n '__terma_at "" 0' -a message -d 'Send a message to terminals'
complete -c terma -n '__terma_at "" 0' -a inbox -d 'Read messages'
complete -c terma -n '__terma_at "" 0' -a reply -d 'Answer a message'
complete -c terma -n '__terma_at "" 0' -a ack -d 'Take messages out of the inbox'
complete -c terma -n '__terma_at "" 0' -a whoami -d 'The name of the terminal around this'
complete -c terma -n '__terma_at "" 0' -a screen -d 'What a terminal shows now'
complete -c terma -n '__terma_at "" 0' -a send -d 'Type into a terminal'
complete -c terma -n '__terma_at "" 0' -a log -d 'What a terminal has ever shown'
complete -c terma -n '__terma_at "" 0' -a export -d 'A recording as a file for asciinema'
complete -c terma -n '__terma_at "" 0' -a replay -d 'Play a recording'
complete -c terma -n '__terma_at "" 0' -a diff -d 'What has changed in a terminal\'s worktree'
complete -c terma -n '__terma_at "" 0' -a rename -d 'Give a terminal another name'
complete -c terma -n '__terma_at "" 0' -a role -d 'Give a terminal other roles'
complete -c terma -n '__terma_at "" 0' -a close -d 'End a terminal, and all that runs in it'
complete -c terma -n '__terma_at "" 0' -a restore -d 'Run anew what was lost'
complete -c terma -n '__terma_at ""' -l version -d 'Show the version'
complete -c terma -n '__terma_at ""' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " new"' -l role -x -d 'What it is for; @ROLE reaches it. a,b works'
complete -c terma -n '__terma_at " new"' -l cwd -r -F -d 'Where it begins; default: here'
complete -c terma -n '__terma_at " new"' -l worktree -x -d 'Begin in a git worktree of its own, made for it'
complete -c terma -n '__terma_at " new"' -l shell -x -a 'bash zsh fish' -d 'Its name or path; default: as configured, else yours'
complete -c terma -n '__terma_at " new"' -l record -d 'Keep what it shows; default: as configured'
complete -c terma -n '__terma_at " new"' -l attach -s a -d 'Attach to it'
complete -c terma -n '__terma_at " new"' -l json -d 'Print JSON'
complete -c terma -n '__terma_at " new"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " new"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " new" 1+' -F
complete -c terma -n '__terma_at " list"' -l json -d 'Print JSON'
complete -c terma -n '__terma_at " list"' -l watch -d 'Show it anew with each change, until q or Ctrl-C'
complete -c terma -n '__terma_at " list"' -l short -d 'One line for status lines and prompts, see above'
complete -c terma -n '__terma_at " list"' -l closed -d 'Those that are closed and still kept, newest first'
complete -c terma -n '__terma_at " list"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " list"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " list" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " attach"' -l read-only -d 'Look on; type nothing'
complete -c terma -n '__terma_at " attach"' -l status -d 'Show a status line in the last row'
complete -c terma -n '__terma_at " attach"' -l no-history -d 'Have nothing above the screen to scroll back to'
complete -c terma -n '__terma_at " attach"' -l key -x -d 'The key that lets go'
complete -c terma -n '__terma_at " attach"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " attach"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " attach" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " next"' -l status -d 'Show a status line in the last row'
complete -c terma -n '__terma_at " next"' -l no-history -d 'Have nothing above the screen to scroll back to'
complete -c terma -n '__terma_at " next"' -l key -x -d 'The key that lets go'
complete -c terma -n '__terma_at " next"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " next"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " message"' -l id -x -d 'Its id: what has been sent is not sent again under it'
complete -c terma -n '__terma_at " message"' -l expires -x -d 'Nobody needs it after 90s, 10m, 1h, 2d'
complete -c terma -n '__terma_at " message"' -l wait -d 'Print the answers as they come, until all are there'
complete -c terma -n '__terma_at " message"' -l timeout -x -d 'Wait so long (exit status 5)'
complete -c terma -n '__terma_at " message"' -l json -d 'Print JSON; with --wait once all have answered'
complete -c terma -n '__terma_at " message"' -l no-stdin -d 'Do not read standard input'
complete -c terma -n '__terma_at " message"' -s q -l quiet -d 'No notices on stderr'
complete -c terma -n '__terma_at " message"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " message"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " message" 0' -a '(__terma_terminals)'
complete -c terma -n '__terma_at " inbox"' -l watch -d 'Go on with each that comes'
complete -c terma -n '__terma_at " inbox"' -l all -d 'Also what was acknowledged, answered, or has expired'
complete -c terma -n '__terma_at " inbox"' -s n -l limit -x -d 'The newest N, where there are more; without it 100, with --watch all'
complete -c terma -n '__terma_at " inbox"' -l json -d 'Print JSON; with --watch one object a line'
complete -c terma -n '__terma_at " inbox"' -l notice -d 'One line if there is something new; for prompts'
complete -c terma -n '__terma_at " inbox"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " inbox"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " inbox" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " reply"' -l json -d 'Print JSON'
complete -c terma -n '__terma_at " reply"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " reply"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " ack"' -l all -d 'All that are open'
complete -c terma -n '__terma_at " ack"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " ack"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " whoami"' -l json -d 'Print JSON'
complete -c terma -n '__terma_at " whoami"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " whoami"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " screen"' -s s -l scrollback -x -d 'So many rows above, too'
complete -c terma -n '__terma_at " screen"' -l color -x -a 'auto always never' -d 'Default: on a terminal'
complete -c terma -n '__terma_at " screen"' -s w -l watch -d 'Follow it; q leaves'
complete -c terma -n '__terma_at " screen"' -l json -d 'Print JSON'
complete -c terma -n '__terma_at " screen"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " screen"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " screen" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " send"' -l keys -x -d 'Keys: \'make\\n\', \'<C-c>\', \'<Up>\', \'<Esc>:q\\n\''
complete -c terma -n '__terma_at " send"' -l enter -d 'Press Enter after it'
complete -c terma -n '__terma_at " send"' -l signal -x -a 'INT QUIT TSTP CONT HUP TERM KILL' -d 'Send a signal instead, as INT'
complete -c terma -n '__terma_at " send"' -l stdin -d 'Type what standard input has'
complete -c terma -n '__terma_at " send"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " send"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " send" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " log"' -l since -x -d 'From then on: 1h, 10m, \'2026-11-20 14:00\''
complete -c terma -n '__terma_at " log"' -l until -x -d 'Up to then, in the same form'
complete -c terma -n '__terma_at " log"' -l grep -x -d 'Only lines with this regular expression'
complete -c terma -n '__terma_at " log"' -s i -l ignore-case -d 'Capitals are as good in PATTERN'
complete -c terma -n '__terma_at " log"' -s n -l tail -x -d 'The last N; 0 is all of them'
complete -c terma -n '__terma_at " log"' -s f -l follow -d 'Go on as more comes'
complete -c terma -n '__terma_at " log"' -s t -l timestamps -d 'When each line was complete'
complete -c terma -n '__terma_at " log"' -l raw -d 'The bytes, as programs put them out'
complete -c terma -n '__terma_at " log"' -l force -d '--raw onto a terminal, too'
complete -c terma -n '__terma_at " log"' -l json -d 'Print JSON'
complete -c terma -n '__terma_at " log"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " log"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " log" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " export"' -l cast -r -F -d 'An asciicast, for asciinema'
complete -c terma -n '__terma_at " export"' -l raw -r -F -d 'The bytes as they were'
complete -c terma -n '__terma_at " export"' -l text -r -F -d 'Lines of text, as shown'
complete -c terma -n '__terma_at " export"' -l since -x -d 'From then on: 1h, 10m, \'2026-11-20 14:00\''
complete -c terma -n '__terma_at " export"' -l until -x -d 'Up to then, in the same form'
complete -c terma -n '__terma_at " export"' -s f -l force -d 'Replace a file'
complete -c terma -n '__terma_at " export"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " export"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " export" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " replay"' -l speed -x -d '4: four times as fast. 0: all at once'
complete -c terma -n '__terma_at " replay"' -l idle-limit -x -d 'Pauses are no longer than that'
complete -c terma -n '__terma_at " replay"' -l since -x -d 'From then on: 1h, 10m, \'2026-11-20 14:00\''
complete -c terma -n '__terma_at " replay"' -l until -x -d 'Up to then, in the same form'
complete -c terma -n '__terma_at " replay"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " replay"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " replay" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " diff"' -l stat -d 'Only which files, and how many lines'
complete -c terma -n '__terma_at " diff"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " diff"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " diff" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " diff" 1+' -F
complete -c terma -n '__terma_at " rename"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " rename"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " rename" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " role"' -l none -d 'It has no role any more'
complete -c terma -n '__terma_at " role"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " role"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " role" 0' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " close"' -l all -d 'Every terminal; asks before'
complete -c terma -n '__terma_at " close"' -l exited -d 'Those whose program has ended'
complete -c terma -n '__terma_at " close"' -l forget -d 'Delete its log and its messages, too'
complete -c terma -n '__terma_at " close"' -s y -l yes -d 'Do not ask'
complete -c terma -n '__terma_at " close"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " close"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " close" 0+' -a '(__terma_terminal)'
complete -c terma -n '__terma_at " restore"' -l force -d 'Also where processes of the old one are still there'
complete -c terma -n '__terma_at " restore"' -l debug -d 'Show the traceback of an error'
complete -c terma -n '__terma_at " restore"' -s h -l help -d 'Show this help'
complete -c terma -n '__terma_at " restore" 0+' -a '(__terma_terminal)'
