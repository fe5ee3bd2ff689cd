"""The dangers of a command, found in its own text: never in what a model says about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from aish.do.forms import is_evaluated, is_fed_as_code, kinds_of_form
from aish.do.kinds import Danger, Kind
from aish.do.programs import (
    BUILTINS,
    DOWNLOADERS,
    INTERPRETERS,
    SHELLS,
    deletes_records,
    git,
    kinds_of,
)
from aish.do.script import KEYWORDS, read_script
from aish.do.words import MAX_DEPTH, Command, Redirection, Script, Unreadable, Word

_MAX_PART = 60
_MAX_LOOKS = 500

_WRAPPERS = frozenset(
    "sudo doas pkexec run0 please su runuser env nohup time nice ionice chrt taskset timeout "
    "gtimeout stdbuf setsid exec command builtin noglob nocorrect - xargs gxargs watch strace "
    "ltrace unshare nsenter chroot flock systemd-run caffeinate script busybox toybox fakeroot "
    "firejail numactl setpriv valgrind perf rlwrap unbuffer arch repeat eatmydata torsocks "
    "proxychains ssh-agent dbus-run-session xvfb-run prlimit coproc gnome-terminal xterm".split()
)
"""Programs that run another one, named by their arguments."""

_ONE_BEFORE = frozenset("chroot flock su script runuser perf taskset chrt repeat arch".split())
"""Of these the ones with an argument of their own before it."""

_SCRIPT_OPTIONS = {
    "su": "-c --command", "runuser": "-c --command", "script": "-c --command", "flock": "-c",
    "env": "-S --split-string", "watch": "", "xterm": "-e", "nix-shell": "--run --command",
    "git": "-x --exec", "parallel": "", "hyperfine": "", "entr": "-s",
}  # fmt: skip

_NO_VERB = frozenset("bwrap parallel entr hyperfine watchexec nodemon screen wsl".split())
_LOOSE = _NO_VERB | frozenset(
    "docker podman nerdctl docker-compose kubectl oc vagrant lxc adb multipass machinectl "
    "systemd-nspawn tmux nix nix-shell op direnv conda mamba poetry pipenv uv npm pnpm yarn bun "
    "bundle mise".split()
)
"""Programs that may run another one, somewhere among their arguments, most behind a verb."""

_GIT_RUNS = frozenset("bisect submodule rebase filter-branch difftool mergetool".split())
_OPTIONS_DECIDE = frozenset(
    "git find gfind fd fdfind docker podman kubectl tar rsync sed systemctl dd sort".split()
)
_STEERING = re.compile(
    r"(?:BASH_(?:CMDS|ALIASES)|PS[0-4]|R?PROMPT|functions|[gs]?aliases|commands|\w+_functions|"
    r"(?:MAN)?PAGER|BROWSER|\w+_ASKPASS|PATH|LD_\w+|DYLD_\w+|IFS|BASH_ENV|ENV|ZDOTDIR|"
    r"PROMPT_COMMAND|GIT_\w+|EDITOR|"
    r"VISUAL|LESSOPEN|SHELLOPTS|PYTHON(?:PATH|STARTUP)|NODE_OPTIONS|PERL5(?:OPT|LIB)|RUBYOPT)\b"
)
_ZSH_PATH = re.compile(r"f?path\+?=")
_SETS = frozenset(
    "export declare typeset local set readonly read printf mapfile readarray integer float private "
    "getopts let for select".split()
)
_HARMLESS_TARGET = re.compile(r"/dev/(?:null|stdout|stderr|tty|fd/\d+)|\d*-?")
_BLOCK_DEVICE = re.compile(r"/dev/(?!null|stdout|stderr|tty|fd/|tcp/|udp/|shm/|full|zero|pts)")
_SYSTEM_FOLDERS = re.compile(r"/(?:usr/(?:local/)?)?s?bin/[^/]+|/opt/homebrew/bin/[^/]+")
_SKIPPED = re.compile(r"\d+(?:\.\d+)?[smhd]?|[^=]*=.*", re.DOTALL)
_LINE_OPTION = re.compile(r"-[A-Za-z]*c[A-Za-z]*|--command")


def dangers_of(command: str, shell: str, is_program: Callable[[str], bool]) -> tuple[Danger, ...]:
    """Return what is dangerous about a command, the grave first; never raises.

    Args:
        command: As it would run.
        shell: Who would run it: `bash`, `zsh`, `fish`, or another.
        is_program: Tells whether there is a program of that name.
    """
    analysis = _Analysis(shell, is_program)
    analysis.look(command)
    return tuple(sorted(analysis.finish(), key=lambda danger: not danger.is_grave))


class _Analysis:
    """Collects the dangers of everything that a command might run."""

    def __init__(self, shell: str, is_program: Callable[[str], bool]) -> None:
        self._shell = shell
        self._is_program = is_program
        self._found: dict[Danger, None] = {}
        self._functions: set[str] = set()
        self._downloads = ""
        self._runs = ""
        self._seen: set[tuple[object, ...]] = set()
        self._has_input = False

    def finish(self) -> list[Danger]:
        """Return what was found."""
        if self._downloads and self._runs:
            self._add(Kind.RUNS_DOWNLOAD, f"{self._downloads} … {self._runs}")
        return list(self._found)

    def look(self, command: str) -> None:
        """Look through the whole command."""
        self._has_input = "|" in command or "<" in command
        self.text(command, 0)

    def text(self, text: str, depth: int, is_certain: bool = True) -> None:
        """Look through the text of a script."""
        if ("text", text, is_certain) in self._seen:
            return
        self._seen.add(("text", text, is_certain))
        try:
            script = read_script(text, self._shell, depth)
        except Unreadable as error:
            self._add(Kind.UNREADABLE, str(error))
            return
        self._functions |= script.functions
        self._script(script, depth, is_certain)

    def _script(self, script: Script, depth: int, is_certain: bool) -> None:
        if depth > MAX_DEPTH:
            self._add(Kind.UNREADABLE, "too many scripts lie within each other")
            return
        for doubt in script.doubts:
            self._add(Kind.UNREADABLE, doubt)
        for command in script.commands:
            self._command(command, depth, is_certain and not command.is_pattern)

    def _command(self, command: Command, depth: int, is_certain: bool) -> None:
        words = [
            *command.assignments,
            *command.words,
            *(one.target for one in command.redirections),
        ]
        inner = [*command.scripts, *(script for word in words for script in word.scripts)]
        for script in {id(one): one for one in inner}.values():
            self._script(script, depth + 1, is_certain)
        if command.is_background:
            self._add(Kind.BACKGROUND, _part(command.words) or "…")
        for word in command.assignments:
            if _STEERING.match(word.text) or (self._shell == "zsh" and _ZSH_PATH.match(word.text)):
                self._add(Kind.HIDDEN, f"{_short(word.text)} decides what programs do")
            elif (word.hides_code and "[" in word.text) or is_evaluated("", [word]):
                self._hide(f"a command within a value: {_short(word.text)}")
        for redirection in command.redirections:
            self._redirection(redirection)
        if any(deletes_records(word.text) for word in command.input):
            self._add(Kind.DELETES, _part([*command.words, *command.input]))
        if command.words:
            self._words(command.words, command, depth, is_certain)

    def _redirection(self, redirection: Redirection) -> None:
        target = redirection.target.text
        part = _short(f"{redirection.operator} {target}")
        if re.match(r"/dev/(?:tcp|udp)/", target):
            self._add(Kind.NETWORK, part)
        elif ">" not in redirection.operator or redirection.target.is_command_file:
            return
        elif _BLOCK_DEVICE.match(target):
            self._add(Kind.DEVICE, part)
        elif redirection.operator in (">>", "&>>", "<>") or _HARMLESS_TARGET.fullmatch(target):
            return
        else:
            self._add(Kind.OVERWRITES, part)

    # -- one command -----------------------------------------------------------------------

    def _words(self, words: Sequence[Word], command: Command, depth: int, is_certain: bool) -> None:
        """Look at a program and its arguments, and at what it runs in its turn."""
        key = (id(command), is_certain, *(word.text for word in words))
        if not words or key in self._seen or self._is_too_much(depth):
            return
        self._seen.add(key)
        first, *arguments = words
        if first.text in KEYWORDS and not first.is_quoted:
            self._words(arguments, command, depth + 1, is_certain)
            return
        name = first.text.rpartition("/")[2].lower()
        part = _part(words)
        if not first.is_fixed:
            if is_certain:
                self._hide(f"what {_short(first.text)} runs")
            return
        args = [word.text for word in arguments]
        before = command.before.words[1:] if command.before else []
        given = [*args, *(word.text for word in [*command.input, *before])]
        kinds = dict.fromkeys([*kinds_of(name, args), *kinds_of_form(name, given)])
        for kind in kinds:
            self._add(kind, part)
        if name in DOWNLOADERS or (name == "git" and Kind.NETWORK in kinds):
            self._downloads = self._downloads or part
        if Kind.RUNS_FILE in kinds:
            self._runs = self._runs or part
        if name in _OPTIONS_DECIDE and any(word.splits for word in arguments):
            self._add(Kind.HIDDEN, f"arguments that are only known when it runs: {part}")
        if first.hides_code or is_evaluated(name, arguments) or is_fed_as_code(name, arguments):
            self._hide(f"a command within an argument: {part}")
        if is_certain:
            self._whereabouts(first.text, command, part)
        self._inner(name, words, command, depth, is_certain)

    def _is_too_much(self, depth: int) -> bool:
        if depth <= MAX_DEPTH and len(self._seen) < _MAX_LOOKS:
            return False
        self._add(Kind.UNREADABLE, "too many commands run each other")
        return True

    def _whereabouts(self, program: str, command: Command, part: str) -> None:
        """Tell of a program that is unknown, a file, or a function that starts itself."""
        if program in self._functions:
            before = command.before.words[0].text if command.before and command.before.words else ""
            if command.is_background or before == program:
                self._add(Kind.FORK_BOMB, part)
        elif "/" in program:
            if not _SYSTEM_FOLDERS.fullmatch(program):
                self._runs = self._runs or part
                self._add(Kind.RUNS_FILE, program)
        elif program not in BUILTINS and program[:1] != "-" and not self._is_program(program):
            self._add(Kind.UNKNOWN, program)

    def _inner(
        self, name: str, words: Sequence[Word], command: Command, depth: int, is_certain: bool
    ) -> None:
        """Look at what a program runs in its turn."""
        args = words[1:]
        if name == "command" and any(word.text in ("-v", "-V") for word in args):
            return
        if name in INTERPRETERS:
            self._interpreter(name, args, command, depth)
        for index, word in enumerate(args):
            if word.text == "{" and not word.is_quoted:  # as in zsh's `repeat 3 { … }`
                self._words(args[index + 1 :], command, depth + 1, False)
        self._builtin(name, words, command, depth)
        for run in _executed(name, args):
            self._words(run, command, depth + 1, is_certain)
        if name in _WRAPPERS:
            for run, is_sure in _wrapped(name, words):
                if is_certain and not run[0].is_fixed:
                    self._hide(f"what {_short(run[0].text)} runs")
                self._words(run, command, depth + 1, is_certain and is_sure)
        if name in _SCRIPT_OPTIONS:
            self._option_scripts(name, args, depth)
        if name in _LOOSE or (name == "git" and git([word.text for word in args])[0] in _GIT_RUNS):
            self._loose(args if name in _NO_VERB else _behind_verb(args), command, depth)

    def _loose(self, args: Sequence[Word], command: Command, depth: int) -> None:
        """Look at each argument as if a command began there."""
        for index, word in enumerate(args):
            self._words(args[index:], command, depth + 1, False)
            if re.search(r"\s", word.text):
                self._line(word, depth, is_certain=False)

    def _interpreter(self, name: str, args: Sequence[Word], command: Command, depth: int) -> None:
        part = _part([Word(name), *args])
        texts = [word.text for word in args]
        operands = [word for word in args if not word.text.startswith("-")]
        lines = [n for n, text in enumerate(texts) if _LINE_OPTION.fullmatch(text)]
        ends = [n for n, word in enumerate(args) if word.is_fixed and word in operands]
        if any(word.splits for word in args[: ends[0] if ends else None]):
            self._hide(f"arguments that are only known when it runs: {part}")
        if name in SHELLS and lines:
            after = [word for word in args[lines[0] + 1 :] if not word.text.startswith("-")]
            if after:
                self._line(after[0], depth)
        elif name not in SHELLS and any(_is_code(text) for text in texts):
            self._hide(f"code of another language: {part}")
        elif operands and "-s" not in texts and "-m" not in texts:
            self._add(Kind.RUNS_FILE, part)
            self._runs = self._runs or part
        elif "-m" not in texts:
            self._standard_input(name, command, part, depth)

    def _standard_input(self, name: str, command: Command, part: str, depth: int) -> None:
        """Look at what an interpreter reads from its input."""
        before = command.before.words if command.before else []
        if before and before[0].text in ("echo", "printf") and name in SHELLS:
            text = " ".join(word.text for word in before[1:])
            is_plain = all(word.is_fixed for word in before) and not re.search(r"[\\%]", text)
            self._line(Word(text, is_plain), depth)
        elif (
            self._has_input and not command.input
        ):  # it may be that of a script or bracket around it
            self._hide(f"what {part} is given to run")
        given = command.before.input if command.before else []
        for word in [*command.input, *given]:
            if name in SHELLS:
                self._line(word, depth)
            else:
                self._hide(f"code of another language: {part}")

    def _builtin(self, name: str, words: Sequence[Word], command: Command, depth: int) -> None:
        """Look at what some commands of the shell, and `ssh`, do with their arguments."""
        args = words[1:]
        if name == "eval":
            text = " ".join(word.text for word in args)
            self._line(Word(text, all(word.is_fixed for word in args)), depth)
        elif name == "trap":
            for word in args[:2]:
                if not re.fullmatch(r"-\w*|[A-Z0-9]*", word.text):
                    self._line(word, depth)
        elif name in ("alias", "abbr"):
            for word in args:
                meant = word.text.partition("=")[2] or word.text
                self._line(Word(meant, word.is_fixed), depth, is_certain=False)
        elif name in _SETS:
            for word in filter(lambda word: _STEERING.match(word.text), args):
                self._add(Kind.HIDDEN, f"{_short(word.text)} decides what programs do")
        elif name in ("ssh", "mosh"):
            self._elsewhere(args, depth)
        elif name == "fc":
            self._hide("a command of the history")
        elif name == "[[" and "]]" in (texts := [word.text for word in words]):
            # in zsh, what it decides about may follow at once
            self._words(words[texts.index("]]") + 1 :], command, depth + 1, True)

    def _elsewhere(self, args: Sequence[Word], depth: int) -> None:
        """Look at what would run on another machine: all that follows its name."""
        operands = [n for n, word in enumerate(args) if not word.text.startswith("-")]
        options = sum(word.text.startswith("-") for word in args[: (operands or [0])[-1]])
        for index in operands[: 1 + options]:
            rest = args[index + 1 :]
            if rest:
                text = " ".join(word.text for word in rest)
                self._line(Word(text, all(w.is_fixed for w in rest)), depth, is_certain=False)

    def _option_scripts(self, name: str, args: Sequence[Word], depth: int) -> None:
        """Look at scripts that are given as an option's value, or as one argument."""
        options = _SCRIPT_OPTIONS[name].split()
        for index, word in enumerate(args):
            option, _, value = word.text.partition("=")
            if option in options and value and option.startswith("--"):
                self._line(Word(value, word.is_fixed), depth, is_certain=False)
            elif index and args[index - 1].text in options:
                self._line(word, depth, is_certain=False)
            elif options and word.text.startswith(options[0]) and len(options[0]) == 2:
                self._line(Word(word.text[2:], word.is_fixed), depth, is_certain=False)
        if not options:
            operands = [word for word in args if not word.text.startswith("-")]
            joined = " ".join(word.text for word in operands)
            self._line(Word(joined, all(w.is_fixed for w in operands)), depth, is_certain=False)

    def _line(self, word: Word, depth: int, is_certain: bool = True) -> None:
        """Look through a word that is run as a script."""
        if not word.is_fixed:
            self._hide(f"what it becomes when it runs: {_short(word.text)}")
        self.text(word.text, depth + 1, is_certain and word.is_fixed)

    def _hide(self, part: str) -> None:
        self._runs = self._runs or part
        self._add(Kind.HIDDEN, part)

    def _add(self, kind: Kind, part: str) -> None:
        self._found.setdefault(Danger(kind, part))


def _executed(name: str, args: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Yield the commands that `find` and its like run."""
    if name not in ("find", "gfind", "fd", "fdfind", "bfs"):
        return
    starts = ("-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch")
    texts = [word.text for word in args]
    for index, text in enumerate(texts):
        if text in starts:
            ends = [n for n in range(index, len(texts)) if texts[n] in (";", "+")]
            yield args[index + 1 : ends[0] if ends else None]


def _wrapped(name: str, words: Sequence[Word]) -> Iterator[tuple[Sequence[Word], bool]]:
    """Yield what may be the command that a program runs, and whether it surely is.

    An option may have a value, which looks like the command: as many words more as there are
    options before it are looked at.
    """
    left = 1 + (name in _ONE_BEFORE)
    is_sure = left == 1
    has_begun = False
    for index, word in enumerate(words):
        if index == 0 or (word.is_fixed and _SKIPPED.fullmatch(word.text)):
            continue
        if word.text.startswith("-") and word.text != "-":
            if not has_begun and "=" not in word.text and word.text != "--":
                left += 1
                is_sure = False
            continue
        has_begun = True
        yield words[index:], is_sure
        left -= 1
        if not left:
            return


def _behind_verb(args: Sequence[Word]) -> Sequence[Word]:
    operands = (n for n, word in enumerate(args) if not word.text.startswith("-"))
    return args[next(operands, len(args)) + 1 :]


def _is_code(option: str) -> bool:
    return bool(re.match(r"-[a-zA-Z]*[ceErpn]|--(?:eval|print|execute|command)", option))


def _part(words: Sequence[Word]) -> str:
    return _short(" ".join(word.text for word in words))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_PART else f"{line[: _MAX_PART - 1]}…"
