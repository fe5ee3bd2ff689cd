#!/bin/sh
# The main job, on real input, with each command before its output: `make demo` runs this.
#
# It has a Tekton of its own, in a folder that is removed at the end; of yours it reads only the
# environment (OLLAMA_HOST, OPENAI_BASE_URL; TEKTON_MODELS_DEFAULT, if you want another model than
# the first that answers and costs nothing).
set -eu

for program in aish tekton terma; do
    if ! command -v $program >/dev/null; then
        echo "demo: $program is not on the PATH; \`make demo\` sets everything up" >&2
        exit 1
    fi
done

# Nothing may wait for a terminal, or for a pipe that nobody writes to.
exec </dev/null
unset TEKTON_URL TEKTON_TOKEN_FILE TEKTON_TCP_ENABLED TEKTON_ENGRAM_ENABLED TEKTON_DEBUG
unset TEKTON_TERMA_RECORD TEKTON_TERMA_SHELL AISH_PROMPT

# A socket's path is short, so this is not in $TMPDIR.
TEKTON_HOME=$(mktemp -d /tmp/tekton-demo.XXXXXX)
export TEKTON_HOME
leave() {
    status=$?
    trap - EXIT
    tekton down --all >/dev/null 2>&1 || status=1
    rm -rf "$TEKTON_HOME"
    exit $status
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$(printf '\033[1;36m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
fi

say() {
    echo
    for line; do printf '%s# %s%s\n' "$dim" "$line" "$plain"; done
}

# Show a command, then run it as it stands there.
show() {
    printf '\n%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1" || fail "$1"
}

fail() {
    echo "demo: this failed: $1" >&2
    exit 1
}

# Git reads the user's settings; only colours and pagers would get into the way.
export GIT_PAGER=cat GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=color.ui GIT_CONFIG_VALUE_0=false

# The last change of this repository, or, where there is none, one made for the purpose.
cd "$(dirname "$0")/.."
if ! git rev-parse --quiet --verify HEAD~1 >/dev/null 2>&1; then
    mkdir "$TEKTON_HOME/example"
    cd "$TEKTON_HOME/example"
    commit() { git add . && git -c user.name=demo -c user.email=demo -c commit.gpgsign=false \
        commit --quiet --no-verify --message "$1"; }
    git init --quiet
    printf 'def mean(numbers):\n    return sum(numbers) / len(numbers)\n' >mean.py
    commit "Add mean"
    printf 'def mean(numbers):\n    return sum(numbers) / max(len(numbers), 1)\n' >mean.py
    commit "Let the mean of nothing be 0"
fi

say 'Start the hub; it lists its services and CIs (Companion Intelligences).'
show 'tekton up'

has_model=yes
if aish list 2>/dev/null | grep -q '^apollo .* none$'; then has_model=no; fi

if [ $has_model = yes ]; then
    say 'A real diff goes through a pipe to athena, who reviews it, and on to hephaestus.'
    show 'git diff HEAD~1 --stat | tail -n 3'
    show 'git diff HEAD~1 | head -n 60 | aish athena "Review this in two sentences." | aish hephaestus "What is the first thing to do? One sentence."'
    say 'A team, asked at the same time; numa answers from live facts.'
    show 'aish apollo,numa "In one sentence: is this machine busy?"'
    turns=4
else
    say 'No model answers here, so this runs on the CIs that need none: numa answers from live' \
        'facts, mirror with its input. CIs with a model take the same pipes.'
    show 'git diff HEAD~1 --stat | tail -n 3 | aish mirror "This changed:"'
    say "One CI's answer is the next one's input."
    show 'echo "how are memory and disk?" | aish numa | aish mirror "Numa says:"'
    say 'A team, asked at the same time.'
    show 'aish numa,mirror "are there errors?"'
    turns=5
fi

say 'Every turn is stored.'
show 'aish history'
# A shell tells only how the last command of a pipe ended; the history knows of all.
complete=$(aish history --json | grep -c '"status": "complete"') || true
[ "$complete" = $turns ] || fail "$complete of $turns answers are complete"

say 'Terminals with names, which no window holds: one with a shell, one with a program.'
show 'terma new alice --role coding --shell bash'
show "terma new bob -- sh -c 'echo bob is here; exec cat'"
say 'What is typed into alice here, you would type yourself after `terma attach alice`.'
show "terma send alice --enter 'echo \$((6 * 7)); terma message bob,user \"the answer is 42\"'"
tries=0
until terma inbox user --json | grep -q '"text"'; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail 'nothing came from alice'
    sleep 0.1
done
show 'terma inbox'
show 'terma list'
say 'The hub may come and go; terminals, and what they have shown, stay.'
show 'tekton restart -q'
show 'terma log alice --grep "^42"'
say 'What alice has put out is played again; `terma replay alice` takes its time for it.'
show 'terma replay alice --speed 0'

echo
show 'tekton down --all'

if [ $has_model = no ]; then
    if command -v ollama >/dev/null; then
        say 'This command adds a model (Ollama has to run):'
    else
        say 'Once Ollama is installed (https://ollama.com/download), this command adds a model:'
    fi
    printf '\n    ollama pull llama3.2\n'
    say 'Other ways are in docs/how-to/. Then run this again.'
fi
