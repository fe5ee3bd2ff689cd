"""The CIs that this Tekton has, as data: the built-in ones and the user's own."""

from __future__ import annotations

import dataclasses
import importlib.resources
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.config import parse_toml, read_text
from backends.errors import ConfigError, InvalidMessage, UsageError
from backends.protocol import schema
from backends.runtime import check_name as check_any_name


@dataclass(frozen=True, kw_only=True)
class Persona:
    """What makes one CI differ from another; `None` means that nothing is set.

    `temperature`, from 0 to 2, and `max_tokens` go to the model as they are; `max_prompt_bytes`
    bounds a prompt with all that is attached.
    """

    role: str = ""
    description: str = ""
    capabilities: tuple[str, ...] = ()
    system: str = ""
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_prompt_bytes: int | None = None
    is_enabled: bool = True

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InvalidMessage(f"temperature must be from 0 to 2, not {self.temperature:g}")
        for name in ("max_tokens", "max_prompt_bytes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InvalidMessage(f"{name} must be more than 0, not {value}")


def load_personas(
    folder: Path, on_error: Callable[[str, ConfigError], object] | None = None
) -> dict[str, Persona]:
    """Read the built-in personas and those of the user's folder, by name, enabled ones only.

    A user's file with a built-in name changes only what it sets.

    Args:
        folder: The user's files.
        on_error: Told of each file that cannot be used, with the name of its CI, which is left
            out; without it the first such file is raised.

    Raises:
        ConfigError: With file, line and what is wrong.
    """
    personas = built_in_personas()
    for file in sorted(folder.glob("*.toml")):
        try:
            personas[file.stem] = _read_named(file, personas.get(file.stem, Persona()))
        except ConfigError as error:
            if on_error is None:
                raise
            personas.pop(file.stem, None)  # without what its file says it would be another CI
            on_error(file.stem, error)
    return {name: persona for name, persona in personas.items() if persona.is_enabled}


def _read_named(file: Path, base: Persona) -> Persona:
    try:
        check_name(file.stem)
    except UsageError as error:
        raise ConfigError(f"{file}: {error.message}", error.hint) from error
    return read_persona(file, base)


def read_persona(file: Path, base: Persona) -> Persona:
    """Read a user's file: it changes what it sets of the persona below it.

    Raises:
        ConfigError: With file, line and what is wrong.
    """
    mend = f"tekton ci edit {file.stem}"
    text = read_text(file, mend)  # once: it may be changed or removed meanwhile
    own = parse_toml(text, Persona, file, mend)
    set_here = tomllib.loads(text).keys()
    return dataclasses.replace(base, **{key: getattr(own, key) for key in set_here})


def built_in_personas() -> dict[str, Persona]:
    """Read the personas that come with Tekton."""
    text = (
        importlib.resources.files("backends").joinpath("personas.toml").read_text(encoding="utf-8")
    )
    return {
        name: schema.decode(Persona, table, is_strict=True)
        for name, table in tomllib.loads(text).items()
    }


def check_name(name: str) -> str:
    """Return the name if a CI with a persona may have it.

    Raises:
        UsageError: No CI can have it, or one that needs no persona; the message says which.
    """
    if name == "numa":
        raise UsageError(
            "numa is a CI of its own: it answers from live facts and has no persona",
            '`aish numa "how is the machine?"` asks it',
        )
    return check_any_name(name)
