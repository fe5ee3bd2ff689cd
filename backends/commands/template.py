"""The file of settings as it is when it is new: every setting with its default, as comments.

All of it comes from the dataclasses and their documentation.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from backends.commands.toml import key_text, value_text
from backends.config import BUILT_IN_PROVIDERS, Config
from backends.errors import ConfigError
from backends.plugins import load_plugin

_INTRODUCTION = """\
The settings of Tekton. What follows is how everything is where nothing is set: take the '#' away \
from a setting to change it. `tekton config show` tells what counts, and why.

The environment goes before this file: TEKTON_TCP_ENABLED=true stands for `enabled` under [tcp]."""

_PROVIDERS = """\
The servers that models are asked from. Each may also have `type` (which kind of provider it is, \
where its name is not that of one: a second server has a table of its own), `key_env` (the \
variable of the environment with its key) and `key_command` (a command that prints its key). \
`tekton key set NAME` keeps a key; it does not belong into this file."""


def template() -> str:
    """Write the file; without its comment signs it is a valid one that changes nothing."""
    parts = [_comment(_INTRODUCTION)]
    default = Config()
    for section in dataclasses.fields(Config):
        values = getattr(default, section.name)
        if dataclasses.is_dataclass(values):
            parts.append("\n".join(_section(section.name, values)))
        else:
            parts += [_comment(_PROVIDERS), *map(_provider, BUILT_IN_PROVIDERS)]
    return "\n\n".join(parts) + "\n"


def _section(name: str, values: Any) -> Iterator[str]:
    yield _comment(inspect.getdoc(type(values)) or "")
    yield f"[{name}]"
    notes = _notes(type(values))
    for setting in dataclasses.fields(values):
        if setting.name in notes:
            yield _comment(notes[setting.name])
        value = getattr(values, setting.name)
        if isinstance(value, Mapping) and value:
            yield _comment("Where any of these is set, only those that are set count.")
            for key, item in value.items():
                yield f"# {setting.name}.{key_text(key)} = {_plain(item)}"
        else:
            yield f"# {setting.name} = {_plain(value)}"


def _provider(name: str) -> str:
    try:
        documentation = inspect.getdoc(load_plugin("tekton.providers", name)) or ""
    except ConfigError as error:
        documentation = error.message
    return f"{_comment(documentation)}\n[providers.{key_text(name)}]"


def _plain(value: Any) -> str:
    return value_text(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value)  # type: ignore[arg-type]


def _notes(kind: type[Any]) -> dict[str, str]:
    """Read the texts below a dataclass's fields: Python keeps only that of the class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: inspect.cleandoc(str(note.value.value))
        for field, note in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
    }


def _comment(text: str) -> str:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += ["", *textwrap.wrap(" ".join(paragraph.split()), 96, break_long_words=False)]
    return "\n".join(f"# {line}".rstrip() for line in lines[1:])
