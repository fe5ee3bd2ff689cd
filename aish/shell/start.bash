# bash reads this in place of the user's file when `aish` starts it, so that comes first.
if [[ -r ~/.bashrc ]]; then
    . ~/.bashrc
fi
. "${BASH_SOURCE[0]%/*}/aish.bash"
. "${BASH_SOURCE[0]%/*}/prompt.bash"
