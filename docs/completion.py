"""Completion scripts for bash, zsh and fish: the tree of commands put into each one's template.

Nothing but the shell itself runs on TAB, except where conversations or terminals are completed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from docs.commands import (
    FILE,
    ONE_CI,
    ONE_TERMINAL,
    SESSION,
    SOME_CIS,
    SOME_TERMINALS,
    Argument,
    Command,
    Option,
    Values,
    aish_commands,
    aish_prompt,
    tekton_commands,
    terma_commands,
)

_TEMPLATES = Path(__file__).parent / "shells"
_HELP = Option(names=("-h", "--help"), shows="", about="Show this help.")


def scripts() -> Iterator[tuple[str, str]]:
    """Yield each script with the name of its file."""
    for program in (
        _with_prompt(aish_commands(), aish_prompt()),
        tekton_commands(),
        terma_commands(),
    ):
        name = program.words[0]
        yield f"{name}.bash", _bash(program)
        yield f"{name}.zsh", _zsh(program)
        yield f"{name}.fish", _fish(program)


def _with_prompt(program: Command, prompt: Command) -> Command:
    """Let a program whose first word may be a CI take the options and arguments of a prompt."""
    known = {name for option in prompt.options for name in option.names}
    own = [option for option in program.options if known.isdisjoint(option.names)]
    shell = [one for one in program.commands if one.words[-1] == "shell"]
    own += [option for one in shell for option in one.options if option.names == ("-c",)]
    return replace(program, options=(*prompt.options, *own), arguments=prompt.arguments)


def _filled(shell: str, program: str, **parts: str) -> str:
    text = (_TEMPLATES / f"{shell}.template").read_text(encoding="utf-8")
    for name, part in {"program": program, **parts}.items():
        text = text.replace(f"{{{name}}}", part)
    return text.rstrip("\n") + "\n"


def _options(command: Command) -> tuple[Option, ...]:
    return (*command.options, _HELP)


def _path(command: Command) -> str:
    return " ".join(command.words[1:])


def _quoted(text: str) -> str:
    """Quote for bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


# -- bash ------------------------------------------------------------------------------------


def _bash(program: Command) -> str:
    more = _BASH_LAUNCHERS if program.arguments else ""
    cases = "\n".join(_bash_case(command) for command in program.nodes())
    return _filled("bash", program.words[0], cases=cases, more=more)


def _bash_case(command: Command) -> str:
    options = _options(command)
    fields = {
        "commands": [one.words[-1] for one in command.commands],
        "options": [name for option in options for name in option.names],
        "valued": [
            f"{name}={'|'.join(option.values)}"
            for option in options
            for name in option.names
            if option.shows
        ],
        "arguments": [
            "|".join(one.values or ("",)) + ("..." if one.repeats else "")
            for one in command.arguments
        ],
    }
    told = [f"{name}={_quoted(' '.join(words))}" for name, words in fields.items() if any(words)]
    body = "\n".join(f"            {one}" for one in told)
    return f"        {_quoted(_path(command))})\n{body}\n            ;;"


_BASH_LAUNCHERS = """
# Completion of a launcher, a CI's own command: `complete -o default -F _aish_complete_ci apollo`.
_aish_complete_ci() {
    local replaced=$2 IFS=$' \\t\\n'
    local -a words
    COMPREPLY=()
    _aish_split
    words=(aish "${words[@]}")
    _aish_complete
}
"""

# -- zsh -------------------------------------------------------------------------------------


def _zsh(program: Command) -> str:
    functions = [_zsh_function(command) for command in program.nodes()]
    if program.arguments:
        functions.append(_zsh_launchers(program))
    return _filled("zsh", program.words[0], functions="\n".join(functions))


def _zsh_function(command: Command) -> str:
    program, specs = command.words[0], [_zsh_option(command, one) for one in _options(command)]
    if not command.commands:
        specs += [_zsh_argument(program, one) for one in command.arguments]
        return f"_{'-'.join(command.words)}() {{\n{_zsh_arguments('', specs)}\n}}\n"
    name = f"_{program}-{'-'.join(command.words[1:])}"
    prefix = f"{name}-" if command.words[1:] else name
    commands = "\n".join(
        f"        {_quoted(f'{one.words[-1]}:{one.summary}')}" for one in command.commands
    )
    others, default = "", ":"
    if command.arguments:
        others = f"\n            _{program}_cis && found=0\n            (( found )) && _files"
        default = f"_{program}_complete_ci"
    return f"""{name}() {{
    local curcontext=$curcontext state found=1
    local -a line commands
    local -A opt_args
    commands=(
{commands}
    )
{_zsh_arguments("-C -A '-*' ", [*specs, "'1: :->command'", "'*:: :->rest'"])} && return
    case $state in
        command)
            _describe -t commands command commands && found=0{others}
            return found
            ;;
        rest)
            if (( $+functions[{prefix}$words[1]] )); then
                {prefix}$words[1]
            else
                {default}
            fi
            ;;
    esac
}}
"""


def _zsh_launchers(program: Command) -> str:
    specs = [_zsh_option(program, option) for option in _options(program)]
    specs += [_zsh_argument(program.words[0], one) for one in program.arguments[1:]]
    return f"""# Completion of a launcher, a CI's own command: `compdef _aish_complete_ci apollo`.
_aish_complete_ci() {{
    local target=${{${{words[1]:#*[,@]*}}:t}}
{_zsh_arguments("", specs)}
}}
"""


def _zsh_arguments(flags: str, specs: list[str]) -> str:
    lines = [f"    _arguments {flags}-s -S :", *(f"        {spec}" for spec in specs)]
    return " \\\n".join(lines)


def _zsh_option(command: Command, option: Option) -> str:
    about = re.sub(r"([\[\]\\])", r"\\\1", option.about.removesuffix("."))
    value = ""
    if option.shows:
        value = f":{option.shows}:{_zsh_action(command.words[0], option.values)}"
    names = [
        name + ("" if not option.shows else "=" if name.startswith("--") else "+")
        for name in option.names
    ]
    excluded = "*" if option.repeats else f"({' '.join(option.names)})"
    if len(names) == 1:
        start = "*" if option.repeats else ""
        return _quoted(f"{start}{names[0]}[{about}]{value}")
    return f"{_quoted(excluded)}{{{','.join(names)}}}{_quoted(f'[{about}]{value}')}"


def _zsh_argument(program: str, argument: Argument) -> str:
    start = "*" if argument.repeats else ":" if argument.shows.startswith("[") else ""
    shows = argument.shows.strip("[].")
    return _quoted(f"{start}:{shows}:{_zsh_action(program, argument.values)}")


def _zsh_action(program: str, values: Values) -> str:
    actions = {
        FILE: "_files",
        ONE_CI: f"_{program}_ci",
        SOME_CIS: f"_{program}_cis",
        SESSION: f"_{program}_sessions",
        ONE_TERMINAL: f"_{program}_terminal",
        SOME_TERMINALS: f"_{program}_terminals",
    }
    found = [actions[value] for value in values if value in actions]
    words = " ".join(value for value in values if value not in actions)
    if words and found:
        others = " ".join(f'"others:CI:{action}"' for action in found)
        return f'{{_alternative "words:name:({words})" {others}}}'
    return f"({words})" if words else found[0] if found else " "


# -- fish ------------------------------------------------------------------------------------


def _fish(program: Command) -> str:
    name = program.words[0]
    nodes = list(program.nodes())
    valued = [
        f"{f' {_path(command)}'.rstrip()} {one}"
        for command in nodes
        for option in _options(command)
        for one in option.names
        if option.shows
    ]
    return _filled(
        "fish",
        name,
        commands=_fish_list(f" {_path(command)}" for command in nodes[1:]),
        valued=_fish_list(valued),
        lines="\n".join(line for command in nodes for line in _fish_lines(command)),
        more=_FISH_LAUNCHERS if program.arguments else "",
    )


_FISH_LAUNCHERS = """
# Complete a launcher, a CI's own command: `_aish_complete_ci apollo`.
function _aish_complete_ci
    for name in $argv
        complete -c $name -f -w "aish $name"
    end
end
"""


def _fish_list(words: Iterable[str]) -> str:
    return "".join(f" \\\n    '{word}'" for word in words)


def _fish_lines(command: Command) -> Iterator[str]:
    program = command.words[0]
    place = f"__{program}_at {_fish_quoted(f' {_path(command)}'.rstrip(), chr(34))}"

    def line(condition: str, *more: str) -> str:
        return " ".join([f"complete -c {program} -n {_fish_quoted(condition)}", *more])

    for one in command.commands:
        yield line(f"{place} 0", f"-a {one.words[-1]} -d {_fish_quoted(one.summary)}")
    for option in _options(command):
        names = [
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
        ]
        value = [*_fish_values(program, option.values, "-r -F", "-x")] if option.shows else []
        about = _fish_quoted(option.about.removesuffix("."))
        yield line(place, *names, *value, f"-d {about}")
    for number, argument in enumerate(command.arguments):
        at = f"{place} {number}{'+' if argument.repeats else ''}"
        values = argument.values
        if command.commands and number == 0 and FILE in values:
            yield line(f"{at}; and __{program}_is_path", "-F")
            values = tuple(value for value in values if value != FILE)
        if values:
            yield line(at, *_fish_values(program, values, "-F", ""))


def _fish_values(program: str, values: Values, file: str, other: str) -> Iterator[str]:
    found = {
        ONE_CI: f"(__{program}_ci)",
        SOME_CIS: f"(__{program}_cis)",
        SESSION: f"(__{program}_sessions)",
        ONE_TERMINAL: f"(__{program}_terminal)",
        SOME_TERMINALS: f"(__{program}_terminals)",
    }
    flags = file if FILE in values else other
    if flags:
        yield flags
    words = [found.get(value, value) for value in values if value != FILE]
    if words:
        yield f"-a {_fish_quoted(' '.join(words))}"


def _fish_quoted(text: str, mark: str = "'") -> str:
    return mark + re.sub(rf"([\\{mark}])", r"\\\1", text) + mark
