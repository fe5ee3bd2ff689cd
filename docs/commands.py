"""The commands of `aish`, `terma` and `tekton`: what pages, manuals and completions are made of.

The tree is read from the programs themselves.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer.main

import aish.cli
import backends.cli
import terma.cli
from aish.commands.completion import PROGRAMS, SHELLS
from backends.config import BUILT_IN_PROVIDERS, SERVICES, Config

ONE_CI, SOME_CIS, SESSION, FILE = "<ci>", "<cis>", "<session>", "<file>"
ONE_TERMINAL, SOME_TERMINALS = "<terminal>", "<terminals>"
"""Values that the shell finds when they are asked for; all others are words."""

Values = tuple[str, ...]
"""What may stand somewhere, the values that the shell finds last; empty where nobody can know."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """An option by all its names; `shows` names its value, and is empty where it takes none."""

    names: tuple[str, ...]
    shows: str
    about: str
    default: str = ""
    values: Values = ()
    repeats: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Argument:
    """A word that a command takes, or several."""

    shows: str
    about: str
    values: Values
    repeats: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command by its words, that of the program first; a group has commands of its own.

    `example` is one that can be run, that of a program one on each line with what it does; `does`
    says what it does, in one paragraph or several, `short` in the words of a list of commands.
    """

    words: tuple[str, ...]
    example: str
    does: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...] = ()
    commands: tuple[Command, ...] = ()
    short: str = ""

    @property
    def summary(self) -> str:
        """What it does, in one sentence without a final stop."""
        return self.short[:1].upper() + self.short[1:] or self.does.partition("\n\n")[0].replace(
            "\n", " "
        ).removesuffix(".")

    def leaves(self) -> Iterator[Command]:
        """Yield every command in it that is no group."""
        for command in self.commands:
            if command.commands:
                yield from command.leaves()
            else:
                yield command

    def nodes(self) -> Iterator[Command]:
        """Yield it and every command in it, groups too."""
        yield self
        for command in self.commands:
            yield from command.nodes()


def aish_commands() -> Command:
    """Return `aish` with its verbs."""
    program = typer.main.get_command(aish.cli.make_app(aish.cli.VERBS))
    return _command(("aish",), program)


def aish_prompt() -> Command:
    """Return the prompt: `aish NAME …`."""
    return _command(("aish",), typer.main.get_command(aish.cli.make_prompt()))


def tekton_commands() -> Command:
    """Return `tekton` with its commands."""
    return _command(("tekton",), typer.main.get_command(backends.cli.app))


def terma_commands() -> Command:
    """Return `terma` with its verbs."""
    program = typer.main.get_command(terma.cli.make_app(terma.cli.VERBS))
    return _command(("terma",), program)


def _command(words: tuple[str, ...], command: Any) -> Command:
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    is_program = hasattr(command, "commands") and len(words) == 1
    text = inspect.cleandoc((command.help or "").removeprefix("\b").replace("\b\n", ""))
    example, _, does = text.partition("\n\n" if is_program else ": ")
    return Command(
        words=words,
        example=example,
        does=does[:1].upper() + does[1:],
        options=tuple(_option(words, one) for one in shown if one.param_type_name == "option"),
        arguments=tuple(
            _argument(words, one) for one in shown if one.param_type_name == "argument"
        ),
        commands=tuple(
            _command((*words, name), one)
            for name, one in getattr(command, "commands", {}).items()
            if not one.hidden
        ),
        short=command.short_help or "",
    )


def _option(words: tuple[str, ...], option: Any) -> Option:
    default = option.default
    is_told = isinstance(default, (int, float, str)) and default is not False and default != ""
    choices = _choices(option)
    shows = "" if option.is_flag else option.metavar or "|".join(choices) or "N"
    return Option(
        names=tuple(option.opts),
        shows=shows,
        about=str(option.help),
        default=str(default) if is_told else "",
        values=choices or _values(words, option.opts, shows),
        repeats=bool(option.multiple),
    )


def _argument(words: tuple[str, ...], argument: Any) -> Argument:
    shows = str(argument.metavar)
    return Argument(
        shows=shows if argument.required or shows.startswith("[") else f"[{shows}]",
        about=str(argument.help),
        values=_choices(argument) or _values(words, (), _first_word(shows)),
        repeats=argument.nargs < 0,
    )


def _first_word(shows: str) -> str:
    """Return FILE of `[FILE [ARG]...]`."""
    found = re.search(r"[A-Z.]*[A-Z]", shows)
    return found[0] if found else shows


def _choices(parameter: Any) -> Values:
    return tuple(
        str(getattr(choice, "value", choice)) for choice in getattr(parameter.type, "choices", ())
    )


def _values(words: tuple[str, ...], names: tuple[str, ...], shows: str) -> Values:
    """Return what may stand for a value: by the command, the option, or what is shown for it."""
    command, program = " ".join(words), words[0]
    keys = [f"{place} {name}" for place in (command, f"{program} *") for name in (*names, shows)]
    keys += [*names, shows]
    return next((_VALUES[key] for key in keys if key in _VALUES), ())


def _settings() -> Values:
    config = Config()
    return tuple(
        f"{section.name}.{setting.name}"
        for section in dataclasses.fields(config)
        if dataclasses.is_dataclass(getattr(config, section.name))
        for setting in dataclasses.fields(getattr(config, section.name))
    )


_VALUES: Mapping[str, Values] = {
    "aish NAME": (SOME_CIS, FILE),
    "aish PROMPT": (FILE,),
    "aish chat NAME": (SOME_CIS,),
    "aish shellenv SHELL": (*SHELLS, "sh"),
    "tekton serve NAME": (*SERVICES, "specialists", ONE_CI),
    "tekton ci edit NAME": (ONE_CI,),
    "tekton ci show NAME": (ONE_CI,),
    "tekton ci remove NAME": (ONE_CI,),
    "tekton ci reset NAME": (ONE_CI,),
    "tekton logs --component": (*SERVICES, ONE_CI),
    "terma * NAME": (ONE_TERMINAL,),
    "terma new NAME": (),  # nothing has it yet
    "terma new CMD": (FILE,),
    "terma message NAMES": (SOME_TERMINALS,),
    "terma send --signal": ("INT", "QUIT", "TSTP", "CONT", "HUP", "TERM", "KILL"),
    "terma diff OPTION": (FILE,),
    "DIR": (FILE,),
    "--ci": (ONE_CI,),
    "--session": (SESSION,),
    "--shell": SHELLS,
    "SHELL": SHELLS,
    "PROGRAM": PROGRAMS,
    "FILE": (FILE,),
    "SCRIPT": (FILE,),
    "SESSION": (SESSION,),
    "PROVIDER": tuple(BUILT_IN_PROVIDERS),
    "TABLE.NAME": _settings(),
}
