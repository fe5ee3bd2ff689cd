"""Plug-ins by entry point; the built-in ones are found in the same way as a third party's."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

from backends.errors import ConfigError


def plugin_names(group: str) -> list[str]:
    """Return the names of a group's plug-ins."""
    return list(_points(group))


def load_plugin(group: str, name: str) -> Any:
    """Import a plug-in and return the object that its entry point names.

    Raises:
        ConfigError: Nothing is installed under that name, or it cannot be imported.
    """
    point = _points(group).get(name)
    if point is None:
        raise ConfigError(
            f"no plug-in {name!r} in {group}",
            f"installed are: {', '.join(_points(group)) or 'none'}",
        )
    try:
        return point.load()
    except Exception as error:  # whatever a plug-in does when it is imported
        raise ConfigError(
            f"plug-in {name!r} ({point.value}) cannot be loaded: {error}",
            "mend it, or uninstall its package",
        ) from error


@functools.cache
def _points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}
