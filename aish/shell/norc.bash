# `bash --norc` reads no file when it starts, so `aish` has it read this before its first prompt, in
# place of the PROMPT_COMMAND that the user may have given it; that comes to its own here.
PROMPT_COMMAND=${AISH_PROMPT_COMMAND-}
unset AISH_PROMPT_COMMAND
[[ -n $PROMPT_COMMAND ]] || unset PROMPT_COMMAND
. "${BASH_SOURCE[0]%/*}/aish.bash"
. "${BASH_SOURCE[0]%/*}/prompt.bash"
for __aish_one in "${PROMPT_COMMAND[@]}"; do
    eval "$__aish_one"
done
unset __aish_one
