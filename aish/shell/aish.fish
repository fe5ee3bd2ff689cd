# The CIs as commands in fish: the launchers last on PATH, completion, and `aish do`.
# Reading it again changes nothing.

if set -q AISH_LAUNCHERS
    set -l __aish_kept
    for __aish_one in $PATH
        test "$__aish_one" = "$AISH_LAUNCHERS"; or set -a __aish_kept $__aish_one
    end
    set -gx PATH $__aish_kept $AISH_LAUNCHERS
    set -g __aish_launchers $AISH_LAUNCHERS
    set -e AISH_LAUNCHERS
end

# The command that was agreed to runs in this shell, as if it had been typed.
function aish --no-scope-shadowing
    if test "$argv[1]" != do
        command aish $argv
        return
    end
    set -g __aish_file /tmp
    set -q TMPDIR; and set __aish_file $TMPDIR
    set __aish_file (command mktemp $__aish_file/aish-do.XXXXXXXX); or return
    begin
        # Held open, it needs no name: nothing stays behind, however this shell ends.
        command rm -f -- $__aish_file
        AISH_SHELL=fish AISH_DO_FILE=/dev/fd/99 command aish $argv
        set -g __aish_status $status
        command cat <&98 | read -gz __aish_line
    end 98<$__aish_file 99>>$__aish_file  # far from those that fish opens itself
    set __aish_line (string collect -- $__aish_line)
    if test $__aish_status != 0 -o -z "$__aish_line"
        return $__aish_status
    end
    __aish_remember "$__aish_line"
    eval "$__aish_line"
end

# A fish before 4 cannot add to its history, but reads what others have put into its file.
function __aish_remember
    status is-interactive; or return 0
    if string match -qr '^([4-9]|[1-9]\d)' -- $version
        history append -- $argv[1]
        return
    end
    set -l name fish
    set -q fish_history; and test "$fish_history" != default; and set name $fish_history
    test -n "$name"; or return 0
    set -l folder ~/.local/share
    set -q XDG_DATA_HOME; and set folder $XDG_DATA_HOME
    set -l text (string replace -a \\ \\\\ -- $argv[1] | string join \\n)
    history save
    echo "- cmd: $text"\n"  when: "(date +%s) >>$folder/fish/{$name}_history
    history merge
end

# A CI that has come since is completed too; a program that goes before it keeps its own completion.
function __aish_follow
    set -l names $__aish_launchers/*
    test "$names" = "$__aish_seen"; and return
    set -g __aish_seen $names
    for name in (string replace -r '.*/' '' -- $names)
        contains -- $name aish terma; and continue
        test "$(command -s $name)" = "$__aish_launchers/$name"
        and complete -c $name -f -w "aish $name"
    end
end

if status is-interactive
    set -l __aish_scripts (path resolve (status dirname)/../completions)
    contains -- $__aish_scripts $fish_complete_path; or set -ga fish_complete_path $__aish_scripts
    __aish_follow
end
