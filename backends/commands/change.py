"""Changing one setting: what is refused, what is doubtful, and what a running hub makes of it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from backends.commands.toml import value_text
from backends.config import BUILT_IN_PROVIDERS, PORTS, SERVICES, Config
from backends.console import say
from backends.errors import InvalidMessage, TektonError, UsageError
from backends.hub_record import is_locked
from backends.paths import Paths

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_AUTO = "auto"
_UNCHANGED = "nothing was changed"


def write_document(paths: Paths, document: TOMLDocument) -> None:
    """Write the settings, and tell where a hub does not have them yet."""
    import tomlkit

    from backends.commands import editor

    editor.write_file(paths.config_file, tomlkit.dumps(document).encode())
    tell_hub_is_older(paths)


def tell_hub_is_older(paths: Paths) -> None:
    """Say that a running hub has the settings from before."""
    if is_locked(paths):
        say("the hub goes on with its old settings until `tekton restart`")


def refusal(key: str, value: str, error: TektonError) -> TektonError:
    """Say of the setting itself why it cannot be so: no file has the line that was tried."""
    reason = error.__cause__
    if not isinstance(reason, InvalidMessage):
        return error
    if " is not a setting" in reason.message:
        close = difflib.get_close_matches(key, _defaults(), n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        hint = f"{_UNCHANGED}; `tekton config show` shows all settings"
        return UsageError(f"{key} is not a setting{meant}", hint)
    if " must be one of " in reason.message or key not in _defaults():
        return UsageError(reason.message, _UNCHANGED)
    example = _example(_defaults()[key], value)
    return UsageError(reason.message, f"{_UNCHANGED}; `tekton config set {key} {example}`")


def _defaults() -> dict[str, Any]:
    """Return every setting that has a default, by its whole name."""
    config = Config()
    return {
        f"{section.name}.{setting.name}": getattr(getattr(config, section.name), setting.name)
        for section in dataclasses.fields(Config)
        if section.name != "providers"
        for setting in dataclasses.fields(getattr(config, section.name))
    }


def _example(default: Any, value: str) -> str:
    """Write a value of the right kind as the shell takes it."""
    if isinstance(default, bool):
        return "true"
    if isinstance(default, tuple):
        return f"'{value_text([value])}'" if "'" not in value else """'["NAME"]'"""
    return str(default) if isinstance(default, int) else "VALUE"


def doubts(key: str, config: Config, paths: Paths) -> Iterator[str]:
    """Yield what is odd about a setting that can be as it is."""
    known = {**BUILT_IN_PROVIDERS, **config.providers}
    names = f"there are: {', '.join(known)}"
    if key == "models.default" and config.models.default != _AUTO:
        provider, slash, _ = config.models.default.partition("/")
        if provider not in known:
            model = "" if slash else ", so it has to be a model's"
            yield f"no provider is named {provider!r}{model}; {names}"
    elif key == "models.order":
        for name in config.models.order:
            if name not in known:
                yield f"no provider is named {name!r}; {names}"
    elif key.startswith("tcp.ports."):
        name = key.removeprefix("tcp.ports.")
        if name not in _names_with_ports(paths):
            yield f"nothing is named {name!r} yet; `tekton status` shows what is"


def _names_with_ports(paths: Paths) -> set[str]:
    from backends.personas import load_personas
    from backends.plugins import plugin_names

    cis = load_personas(paths.personas, lambda *_: None).keys()
    shadowed = {f"{name}-ci" for name in cis if name in SERVICES}
    return {*PORTS, *SERVICES, *plugin_names("tekton.services"), *cis} | shadowed
