"""Values as TOML has them, each on one line unless it is a text of several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import String


def key_text(key: str) -> str:
    """Write a key, with quotation marks where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else value_text(key)


def value_text(value: Any) -> str:
    """Write a value on one line, tables as inline ones."""
    if isinstance(value, Mapping):
        items = (f"{key_text(key)} = {value_text(item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    written: str = tomlkit.item(value).as_string()
    return written


def text_item(text: str) -> String:
    """Write a text over several lines where it has several and can be read back so."""
    # A carriage return in a text of several lines would be read as the end of a line.
    return tomlkit.string(text, multiline="\n" in text and "\r" not in text)
