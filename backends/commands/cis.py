"""`tekton ci`: CIs of the user's own, and changes to those that come with Tekton."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from backends.commands.options import Debug, Json, group
from backends.commands.persona_file import PersonaFile, persona_files, written
from backends.console import table
from backends.errors import NotFound, UsageError
from backends.paths import find_paths

app = group("ci", "tekton ci add zeus --role judge: your own CIs, and changes.")

_NUMA = {"name": "numa", "origin": "monitor", "file": None}
"""It has no persona: it answers from live facts."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The CI.")]
Role = Annotated[
    str | None,
    typer.Option("--role", metavar="WORD", help="`aish @WORD` asks every CI with that role."),
]
Description = Annotated[
    str | None,
    typer.Option("--description", metavar="TEXT", help="What it does, in one line."),
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option("--capability", metavar="WORD", help="What it can do; may be repeated."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="provider/model, a provider, a model, or auto."),
]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help="Its system prompt."),
]
SystemFile = Annotated[
    Path | None,
    typer.Option("--system-file", metavar="FILE", help="File with its system prompt."),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", metavar="NUMBER", min=0, max=2, help="Passed to the model as it is."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="NUMBER", min=1, help="Longest answer, in tokens."),
]
MaxPromptBytes = Annotated[
    int | None,
    typer.Option(
        "--max-prompt-bytes", metavar="NUMBER", min=1, help="Longest prompt, with what is attached."
    ),
]


@app.command()
def add(
    name: Name,
    role: Role = None,
    description: Description = None,
    capability: Capabilities = None,
    model: Model = None,
    system: System = None,
    system_file: SystemFile = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    max_prompt_bytes: MaxPromptBytes = None,
    debug: Debug = False,
) -> None:
    """tekton ci add zeus --role judge: make a CI of your own."""
    file = PersonaFile(name, find_paths())
    if file.exists or file.built_in:
        if file.origin == "removed":
            back = f"`tekton ci edit {name} --enable` brings it back"
            raise UsageError(f"the CI {name!r} is there, but removed", back)
        raise UsageError(f"there is a CI named {name!r} already", f"`tekton ci edit {name}`")
    file.change(
        _changes(
            role=role, description=description, capabilities=capability, model=model,
            system=_system(system, system_file), temperature=temperature,
            max_tokens=max_tokens, max_prompt_bytes=max_prompt_bytes,
        )
    )  # fmt: skip


@app.command()
def edit(
    name: Name,
    role: Role = None,
    description: Description = None,
    capability: Capabilities = None,
    model: Model = None,
    system: System = None,
    system_file: SystemFile = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    max_prompt_bytes: MaxPromptBytes = None,
    enable: Annotated[bool, typer.Option("--enable", help="Bring a removed CI back.")] = False,
    debug: Debug = False,
) -> None:
    """tekton ci edit apollo --model anthropic: change a CI.

    Without options it opens in an editor.
    """
    file = _existing(name)
    changes = _changes(
        role=role, description=description, capabilities=capability, model=model,
        system=_system(system, system_file), temperature=temperature,
        max_tokens=max_tokens, max_prompt_bytes=max_prompt_bytes,
        is_enabled=True if enable else None,
    )  # fmt: skip
    if changes:
        file.persona()  # which tells what is not there, or wrong in the file
        file.change(changes)
    else:
        file.edit()


@app.command()
def show(name: Name, as_json: Json = False, debug: Debug = False) -> None:
    """tekton ci show apollo: what makes a CI what it is, and its file."""
    from backends.cleaning import clean

    file = _existing(name)
    persona = file.persona()
    if as_json:
        print(json.dumps(_about(file) | dataclasses.asdict(persona), indent=1))
        return
    print(f"# {file.name}: {file.origin}" + (f", {file.path}" if file.exists else ""))
    print(clean(written(persona)), end="")


@app.command("list")
def list_cis(as_json: Json = False, debug: Debug = False) -> None:
    """tekton ci list: every CI, and where it comes from."""
    found = [*map(_about, persona_files(find_paths())), _NUMA]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    rows = [(entry["name"], entry["origin"], entry["file"] or "") for entry in found]
    print(table([("NAME", "ORIGIN", "FILE"), *rows]))


@app.command()
def remove(name: Name, debug: Debug = False) -> None:
    """tekton ci remove zeus: end a CI, and delete its file.

    A built-in one is only switched off: `tekton ci edit apollo --enable` brings it back.
    """
    _existing(name).remove()


@app.command()
def reset(name: Name, debug: Debug = False) -> None:
    """tekton ci reset apollo: back to how it was built in.

    The file with your changes goes.
    """
    _existing(name).reset()


def _existing(name: str) -> PersonaFile:
    """Return the file of a CI by any of its names: `Apollo` and `apollo-ci` are `apollo`."""
    from backends.runtime import canonical

    return PersonaFile(canonical(name), find_paths())


def _about(file: PersonaFile) -> dict[str, Any]:
    path = str(file.path) if file.exists else None
    return {"name": file.name, "origin": file.origin, "file": path}


def _system(text: str | None, file: Path | None) -> str | None:
    if file is None:
        return text
    if text is not None:
        raise UsageError("--system and --system-file were both given", "give one of them")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"cannot read the system prompt in {file}: {error}") from error


def _changes(**given: Any) -> dict[str, Any]:
    """Return what was given, fit to be written."""
    from backends.fast import to_unicode

    changes = {name: value for name, value in given.items() if value not in (None, [])}
    for name, value in changes.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name} must be a number, not {value}")
        if isinstance(value, str):
            changes[name] = to_unicode(value)
        elif isinstance(value, list):
            changes[name] = [to_unicode(item) for item in value]
    return changes
