"""`tekton config`: where the settings are, what counts and why, and how to change them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backends.commands.options import Debug, Json, group
from backends.config import (
    BUILT_IN_PROVIDERS,
    Config,
    load_config,
    parse_toml,
    read_toml,
    variable_of,
)
from backends.console import DIM, paint, say
from backends.errors import ConfigError, NotFound, UsageError
from backends.paths import Paths, find_paths

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

app = group("config", "tekton config show: the settings, and commands that change them.")

_SHOW = "`tekton config show` shows all settings"

HIDDEN = "***"

_SECRET = re.compile("key|token|secret|passw|passphrase|credential|auth|cookie", re.IGNORECASE)
_URL_SECRETS = re.compile(
    r"(?<=//)[^/@\s]*(?=@)|(?<=[?&])(\w*(?:key|token|secret|sig|auth)\w*)=[^&#\s]*", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting that counts; `source` is `default`, `file` or a variable of the environment."""

    table: str
    name: str
    value: Any
    source: str


@app.command()
def path(debug: Debug = False) -> None:
    """tekton config path: where the file of settings is, or would be."""
    print(find_paths().config_file)


@app.command()
def show(as_json: Json = False, debug: Debug = False) -> None:
    """tekton config show: every setting as it counts now, and why."""
    from backends.cleaning import clean_line
    from backends.commands.toml import key_text, value_text

    file = find_paths().config_file
    settings = list(effective(file, os.environ))
    if as_json:
        found = {
            f"{setting.table}.{setting.name}": {"value": setting.value, "source": setting.source}
            for setting in settings
        }
        known = {"file": str(file), "exists": file.exists(), "settings": found}
        print(json.dumps(known, indent=1, default=str))
        return
    lines = [f"{key_text(one.name)} = {value_text(one.value)}" for one in settings]
    width = min(max(map(len, lines)), 48)
    table = None
    for setting, line in zip(settings, lines, strict=True):
        if setting.table != table:
            print(("\n" if table else "") + f"[{clean_line(setting.table)}]")
            table = setting.table
        print(f"{clean_line(line):{width}}  {paint(f'# {setting.source}', DIM)}")


@app.command()
def edit(debug: Debug = False) -> None:
    """tekton config edit: change the settings in $VISUAL or $EDITOR.

    What you write is checked before it takes effect. The settings that it replaces stay in
    config.toml.bak.
    """
    from backends.commands import editor
    from backends.commands.change import tell_hub_is_older
    from backends.commands.template import template

    paths = find_paths()
    file = paths.config_file
    before = editor.read_file(file)
    if before is None:
        before = template().encode()
        editor.write_file(file, before)
        say(f"{file} is new; it shows every default, as a comment")
    after = editor.edit(file, before, lambda draft: read_toml(draft, Config))
    if after == before:
        say("nothing was changed")
        return
    if _is_valid(file):
        editor.write_file(file.with_name(f"{file.name}.bak"), before)
    editor.write_file(file, after)
    tell_hub_is_older(paths)


@app.command("set")
def set_value(
    key: Annotated[str, typer.Argument(metavar="TABLE.NAME", help="The setting: models.default.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As TOML has it, or plain text.")],
    debug: Debug = False,
) -> None:
    """tekton config set models.default anthropic: change one setting.

    All else in the file stays as it is, comments too.
    """
    import tomlkit

    from backends.commands.change import doubts, refusal, write_document

    paths = find_paths()
    *tables, name = _parts(key)
    document = _document(paths)
    table: Any = document
    for part in tables:
        table = table.setdefault(part, tomlkit.table())
        if not isinstance(table, Mapping):
            hint = f"nothing was changed; {_SHOW}"
            raise UsageError(f"{'.'.join(tables)} is not a table of settings", hint)
    table[name] = _value(value)
    try:
        config = parse_toml(tomlkit.dumps(document), Config, paths.config_file)
    except ConfigError as error:
        raise refusal(key, value, error) from error
    write_document(paths, document)
    for doubt in doubts(key, config, paths):
        say(f"warning: {doubt}")


@app.command()
def unset(
    key: Annotated[str, typer.Argument(metavar="TABLE.NAME", help="The setting: models.default.")],
    debug: Debug = False,
) -> None:
    """tekton config unset models.default: back to the default."""
    from backends.commands.change import write_document

    paths = find_paths()
    *tables, name = _parts(key)
    document = _document(paths)
    table: Any = document
    for part in tables:
        table = table.get(part) if isinstance(table, Mapping) else None
    if not isinstance(table, MutableMapping) or name not in table:
        raise NotFound(f"{key} is not set in {paths.config_file}", _SHOW)
    del table[name]
    write_document(paths, document)


def _parts(key: str) -> list[str]:
    parts = key.split(".")
    if len(parts) < 2 or not all(parts):
        raise UsageError(f"{key!r} names no setting", f"{_SHOW}: TABLE.NAME")
    return parts


def _document(paths: Paths) -> TOMLDocument:
    """Read the file so that it can be written again with all that is in it."""
    import tomlkit

    from backends.commands import editor

    before = editor.read_file(paths.config_file)
    if before is not None:
        read_toml(paths.config_file, Config)  # what is broken already is told as it stands there
    return tomlkit.parse(before or b"")


def _value(text: str) -> Any:
    """Read a value as TOML, or as the text that it is."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _is_valid(file: Path) -> bool:
    try:
        read_toml(file, Config)
    except ConfigError:
        return False
    return True


def effective(file: Path, environment: Mapping[str, str]) -> Iterator[Setting]:
    """Yield every setting in the order of the configuration, secrets hidden.

    Raises:
        ConfigError: With file, line and what is wrong.
    """
    from backends.protocol import schema

    config = load_config(file, environment)
    in_file = _tables(file)
    for section in dataclasses.fields(Config):
        if section.name == "providers":
            yield from _providers(config)
            continue
        values = getattr(config, section.name)
        for setting in dataclasses.fields(values):
            value = getattr(values, setting.name)
            source = "file" if setting.name in in_file.get(section.name, {}) else "default"
            variable = variable_of(section.name, setting.name)
            if variable in environment and not isinstance(value, Mapping):
                source = variable
            yield Setting(section.name, setting.name, schema.encode(value), source)


def _tables(file: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _providers(config: Config) -> Iterator[Setting]:
    known = {**BUILT_IN_PROVIDERS, **config.providers}
    for name in known:
        if not known[name]:
            # An empty table sets nothing of a provider that is built in.
            is_default = name in BUILT_IN_PROVIDERS
            yield Setting("providers", name, {}, "default" if is_default else "file")
    for name, settings in config.providers.items():
        for key, value in settings.items():
            yield Setting(f"providers.{name}", key, hide(key, value), "file")


def hide(name: str, value: Any) -> Any:
    """Return a provider's setting as it may be shown: what its name calls secret is hidden."""
    is_limit = name.endswith("tokens") and isinstance(value, int)
    if _SECRET.search(name) and not is_limit:
        return HIDDEN
    if isinstance(value, dict):
        return {key: hide(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide("", item) for item in value]
    if isinstance(value, str):
        return _URL_SECRETS.sub(lambda found: f"{found[1]}={HIDDEN}" if found[1] else HIDDEN, value)
    return value
