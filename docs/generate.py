"""Write the generated parts of the documentation: `python docs/generate.py`.

A part stands between two comments in a page; all around it is written by hand:

    <!-- generated: errors -->
    <!-- end of errors -->

The manual pages and the completion scripts are generated whole.
With `--check` nothing is written: the files that are not current are named, with exit status 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import inspect
import json
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.commands.template import template
from backends.commands.toml import value_text
from backends.config import PORTS, Config, variable_of
from backends.errors import TektonError
from backends.personas import Persona, built_in_personas
from backends.protocol.connection import Connection
from backends.protocol.messages import CI_SERVICE, Request
from backends.protocol.requests import REQUESTS
from docs.commands import (
    Command,
    Option,
    aish_commands,
    aish_prompt,
    tekton_commands,
    terma_commands,
)
from docs.completion import scripts
from docs.manual import manuals

ROOT = Path(__file__).resolve().parent.parent

_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def main() -> None:
    """Write every file anew, or tell which ones are not current."""
    parser = argparse.ArgumentParser(prog="python docs/generate.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only name what is not current")
    is_check = parser.parse_args().check
    stale = []
    for file, after in outputs():
        before = file.read_text(encoding="utf-8") if file.exists() else None
        if after == before:
            continue
        stale.append(file)
        if not is_check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(after, encoding="utf-8")
        word = "is not current; run `make docs`" if is_check else "written"
        print(f"{file.relative_to(ROOT)}: {word}", file=sys.stderr)
    if is_check and stale:
        sys.exit(1)


def outputs() -> Iterator[tuple[Path, str]]:
    """Yield every file that is generated, or has generated parts, with what it has to hold."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        yield page, renewed(page.read_text(encoding="utf-8"))
    for name, text in manuals():
        yield ROOT / "docs" / "man" / name, text
    for name, text in scripts():
        yield ROOT / "aish" / "completions" / name, text


def renewed(page: str) -> str:
    """Return a page with each of its generated parts as it has to be now."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", page)


def commands_of_aish() -> str:
    """Describe `aish`: the prompt, then the verbs."""
    program = aish_commands()
    return "\n\n".join([*_opening(program), *_command(aish_prompt()), *_commands(program)])


def commands_of_tekton() -> str:
    """Describe `tekton`: every command, those of a group after each other."""
    program = tekton_commands()
    return "\n\n".join([*_opening(program), *_commands(program)])


def commands_of_terma() -> str:
    """Describe `terma`: every verb."""
    program = terma_commands()
    return "\n\n".join([*_opening(program), *_commands(program)])


def _opening(program: Command) -> Iterator[str]:
    yield f"```text\n{textwrap.indent(program.example, '  ')}\n\n{program.does}\n```"


def _commands(program: Command) -> Iterator[str]:
    for command in program.leaves():
        yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    name = " ".join(command.words)
    usage = " ".join([name, "[OPTIONS]", *(one.shows for one in command.arguments)])
    yield f"### `{name}`" if len(command.words) > 1 else f"### `{name} NAME`"
    yield command.does
    yield f"```sh\n{command.example}\n```"
    rows = [(f"`{one.shows}`", one.about) for one in command.arguments]
    rows += [(_names(one), _about(one)) for one in command.options]
    yield f"Usage: `{usage}`\n\n" + _table(("Argument or option", "Meaning"), rows)


def _names(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names)
    return f"{names[:-1]} {option.shows}`" if option.shows else names


def _about(option: Option) -> str:
    return f"{option.about} Default: `{option.default}`." if option.default else option.about


def settings() -> str:
    """List every setting with its default and its variable of the environment."""
    rows = []
    for section in dataclasses.fields(Config):
        values = getattr(Config(), section.name)
        if not dataclasses.is_dataclass(values):
            continue
        for setting in dataclasses.fields(values):
            value = getattr(values, setting.name)
            is_table = isinstance(value, Mapping)
            default = "see below" if is_table and value else f"`{value_text(value)}`"
            variable = "" if is_table else f"`{variable_of(section.name, setting.name)}`"
            rows.append((f"`[{section.name}]`", f"`{setting.name}`", default, variable))
    return _table(("Table", "Setting", "Default", "Variable"), rows)


def settings_file() -> str:
    """Show the file as `tekton config edit` makes it."""
    return f"```toml\n{template().strip()}\n```"


def ports() -> str:
    """List the ports that are used where TCP is switched on."""
    return _table(("Name", "Port"), [(f"`{name}`", str(port)) for name, port in PORTS.items()])


def persona() -> str:
    """List the settings of a CI's own file."""
    return f"{_paragraphs(Persona)}\n\n{_fields(Persona)}"


def built_in_cis() -> str:
    """List the CIs that come with Tekton."""
    rows = [
        (f"`{name}`", one.role, one.description, ", ".join(one.capabilities))
        for name, one in sorted(built_in_personas().items())
    ]
    return _table(("CI", "Role", "What it does", "Capabilities"), rows)


def exit_codes() -> str:
    """List each exit status with the errors that lead to it."""
    by_status: dict[int, list[str]] = {}
    for error in _errors(TektonError):
        by_status.setdefault(error.exit_status, []).append(f"`{error.kind}`")
    rows = [(str(status), ", ".join(kinds)) for status, kinds in sorted(by_status.items())]
    return _table(("Status", "Kinds of error"), rows)


def errors() -> str:
    """List every kind of error."""
    rows = []
    for error in _errors(TektonError):
        sent = json.loads(Connection().error(1, error("")))["error"]
        means = _paragraphs(error) if error is not TektonError else "Any other failure."
        rows.append((f"`{error.kind}`", str(error.exit_status), str(sent["code"]), means))
    return _table(("Kind", "Exit status", "Code on the wire", "Meaning"), rows)


def _errors(base: type[TektonError]) -> Iterator[type[TektonError]]:
    yield base
    for error in base.__subclasses__():
        if error.__module__ == base.__module__:
            yield from _errors(error)


def methods() -> str:
    """Describe every method with its fields."""
    return "\n\n".join(text for request in REQUESTS.values() for text in _method(request))


def _method(request: type[Request[Any]]) -> Iterator[str]:
    who = {None: "every service and CI", CI_SERVICE: "a CI, and the gateway"}
    answered = who.get(request.SERVICE, f"`{request.SERVICE}`, and the gateway")
    facts = [f"Answered by {answered}."]
    if request.CHUNK:
        facts.append(f"Streams {_link(request.CHUNK)}.")
    facts.append(f"Result: {_link(request.RESULT)}.")
    if request.IS_LOCAL:
        facts.append("Refused off the Unix socket, token or not.")
    yield f"#### `{request.METHOD}`"
    yield f"{_paragraphs(request)} {' '.join(facts)}"
    if dataclasses.fields(request):
        yield _fields(request)


def message_types() -> str:
    """Describe every type that a method's fields, chunks and results are made of."""
    found: dict[type[Any], None] = {}
    for request in REQUESTS.values():
        for kind in (request, request.CHUNK, request.RESULT):
            _collect(kind, found)
    named = [kind for kind in found if kind not in REQUESTS.values()]
    texts = []
    for kind in named:
        texts += [f"#### {kind.__name__}", _paragraphs(kind)]
        if dataclasses.is_dataclass(kind) and dataclasses.fields(kind):
            texts.append(_fields(kind))
        elif issubclass(kind, enum.Enum):
            texts[-1] += f" One of {', '.join(f'`{one.value}`' for one in kind)}."
    return "\n\n".join(texts)


def _collect(kind: Any, found: dict[type[Any], None]) -> None:
    for part in typing.get_args(kind):
        _collect(part, found)
    is_ours = dataclasses.is_dataclass(kind) or isinstance(kind, enum.EnumMeta)
    if isinstance(kind, type) and is_ours and kind not in found:
        found[kind] = None
        for name, hint in typing.get_type_hints(kind).items():
            if not name.isupper():
                _collect(hint, found)


def _fields(kind: type[Any]) -> str:
    hints = typing.get_type_hints(kind)
    rows = [
        (f"`{field.name}`", _type_name(hints[field.name]), _default(field))
        for field in dataclasses.fields(kind)
    ]
    return _table(("Field", "Type", "If left out"), rows)


def _type_name(kind: Any) -> str:
    words = {str: "string", int: "whole number", float: "number", bool: "boolean", Any: "any value"}
    if kind in words:
        return words[kind]
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type_name(part) for part in parts if part is not type(None))
    if origin is tuple:
        return f"list of {_type_name(parts[0])}"
    if origin is not None:
        return "object"
    return _link(kind)


def _link(kind: type[Any]) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "empty"
    if field.default is dataclasses.MISSING:
        return "required"
    value = field.default.value if isinstance(field.default, enum.Enum) else field.default
    return "not set" if value is None else f"`{json.dumps(list(value) if value == () else value)}`"


def _paragraphs(kind: type[Any]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in (head, *rows))
    first, *others = (f"| {line} |" for line in lines)
    return "\n".join([first, "| --- " * len(head) + "|", *others])


PARTS: Mapping[str, Callable[[], str]] = {
    "aish": commands_of_aish,
    "tekton": commands_of_tekton,
    "terma": commands_of_terma,
    "settings": settings,
    "settings-file": settings_file,
    "ports": ports,
    "persona": persona,
    "built-in-cis": built_in_cis,
    "exit-codes": exit_codes,
    "errors": errors,
    "methods": methods,
    "types": message_types,
}
"""What writes each part, by the part's name."""

if __name__ == "__main__":
    main()
