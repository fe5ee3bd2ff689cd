# The prompt of fish in `aish`: a word that tells it from any other shell, and the marks that tell
# a terminal where a prompt (A), what is typed (B), its output (C) and its status (D) begin: OSC 133,
# https://gitlab.freedesktop.org/Per_Bothner/specifications/-/blob/master/proposals/semantic-prompts.md

# Tells whether fish itself (since 4), or the terminal's own integration, sets the marks.
function __aish_is_marked
    string match -qr '^([4-9]|[1-9]\d)' -- $version; and return 0
    functions fish_prompt | string match -q '*133;*'; and return 0
    functions -q __ksi_mark_prompt_start; or functions -q __ghostty_mark_prompt_start
    or functions -q iterm2_prompt_mark
end

# Tells in one line of the messages that wait for this terminal. It begins a line of its own: as many
# blanks as a line has, less one, lead to the next where the last command has not ended its own.
function __aish_notice --on-event fish_prompt
    test -s "$TERMA_MAIL"; or return
    set -q __aish_ran; and printf '%*s\r' (math $COLUMNS - 1) ''
    # What fails here would fail at each prompt; `terma inbox` tells why.
    command -q terma; and command terma inbox --notice </dev/null 2>/dev/null
end

# The terminal may have got another name; a file beside that of its messages has it then.
function __aish_rename --on-event fish_prompt
    set -q TERMA_TERMINAL TERMA_MAIL; or return
    set -l file (string replace -r '[^/]*$' name -- $TERMA_MAIL)
    test -s "$file"; and read -l name <$file; or return
    string match -qr '^[a-z0-9-]+$' -- "$name"; and set -gx TERMA_TERMINAL $name
end

# The user's prompt may be another one by now.
function __aish_wrap --on-event fish_prompt
    __aish_follow
    functions fish_prompt | string match -q '*__aish_own_prompt*'; and return
    functions -q __aish_own_prompt; and functions -e __aish_own_prompt
    functions --copy fish_prompt __aish_own_prompt
    function fish_prompt
        set -l __aish_text (__aish_own_prompt) # first: it sees the status of the last command
        while test (count $__aish_text) -gt 1 -a -z "$__aish_text[1]" # empty lines stay first
            echo
            set -e __aish_text[1]
        end
        set -l __aish_word 'aish '
        set -q TERMA_TERMINAL; and set __aish_word "$TERMA_TERMINAL "
        set -q AISH_PROMPT; and set __aish_word $AISH_PROMPT
        printf '%s%s%s%s' $__aish_begin "$__aish_word" (string join \n -- $__aish_text | string collect) $__aish_end
    end
end

if status is-interactive; and not set -q __aish_begin
    function __aish_typed --on-event fish_preexec
        set -g __aish_ran
    end
    set -g __aish_begin ''
    set -g __aish_end ''
    if test "$TERM" != dumb; and not __aish_is_marked
        set __aish_begin \e']133;A'\a
        set __aish_end \e']133;B'\a
        function __aish_output --on-event fish_preexec
            printf '\e]133;C\a'
        end
        function __aish_done --on-event fish_postexec
            printf '\e]133;D;%s\a' $status
        end
    end
end
