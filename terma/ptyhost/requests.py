"""What the arguments of a request may be."""

from __future__ import annotations

import binascii
import json
import os
import re
import signal

from terma.ptyhost.failure import Failure
from terma.ptyhost.processes import VARIABLE
from terma.ptyhost.terminal import Opening

Fields = dict[str, object]

_ID = re.compile(r"[a-z0-9-]{1,64}")
_MAX_OFFSET = 2**64
_MAX_META = 64 << 10
_MAX_PREFACE = 64 << 10
_MAX_DEPTH = 32


def text_of(fields: Fields, name: str) -> str:
    """Return a text without a NUL."""
    value = fields.get(name)
    try:
        if isinstance(value, str) and b"\0" not in os.fsencode(value):
            return value
    except UnicodeEncodeError:
        pass  # half a character
    raise Failure("usage", f"{name} must be a text")


def bytes_of(fields: Fields, name: str) -> bytes:
    """Return what a text has in base64."""
    try:
        return binascii.a2b_base64(text_of(fields, name), strict_mode=True)
    except ValueError as error:
        raise Failure("usage", f"{name}: {error}") from error


def number_of(fields: Fields, name: str, default: int = 0) -> int:
    """Return a whole number from 0 on."""
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_OFFSET:
        raise Failure("usage", f"{name} must be a whole number from 0 on")
    return value


def amount_of(fields: Fields, name: str, default: float) -> float:
    """Return a number from 0 on."""
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise Failure("usage", f"{name} must be a number from 0 on")
    return float(value)


def flag_of(fields: Fields, name: str) -> bool:
    """Return whether something is asked for."""
    return fields.get(name) is True


def size_of(fields: Fields, name: str) -> int:
    """Return columns or rows."""
    value = number_of(fields, name)
    if not 1 <= value <= 0xFFFF:
        raise Failure("usage", f"{name} must be from 1 to 65535")
    return value


def signal_of(fields: Fields) -> int:
    """Return the number of a signal by its name, with or without `SIG`."""
    name = "SIG" + text_of(fields, "signal").upper().removeprefix("SIG")
    if name not in signal.Signals.__members__:
        raise Failure("usage", f"no signal {name}")
    return signal.Signals[name].value


def meta_of(fields: Fields) -> object:
    """Return what is kept beside a terminal; `list` must be able to send that of all."""
    meta = fields.get("meta")
    if _is_deeper(meta, _MAX_DEPTH) or len(json.dumps(meta)) > _MAX_META:
        raise Failure("usage", f"meta takes {_MAX_META} bytes of JSON, {_MAX_DEPTH} levels deep")
    return meta


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deeper(one, levels - 1) for one in inner)


def preface_of(fields: Fields) -> bytes:
    """Return what is to be put out before anything that a program writes."""
    if fields.get("preface") is None:
        return b""
    preface = bytes_of(fields, "preface")
    if len(preface) > _MAX_PREFACE:
        raise Failure("usage", f"preface takes {_MAX_PREFACE} bytes")
    return preface


def opening_of(fields: Fields) -> Opening:
    """Return what `open` asks for.

    Raises:
        Failure: An argument is missing or wrong.
    """
    command = fields.get("command")
    if not isinstance(command, list) or not command:
        raise Failure("usage", "command must be a list of texts")
    words = [text_of({"command": word}, "command") for word in command]
    opening = Opening(text_of(fields, "terminal"), words, text_of(fields, "folder"))
    if not _ID.fullmatch(opening.terminal):
        raise Failure("usage", "terminal must be 1 to 64 of a-z0-9-")
    if not words[0]:
        raise Failure("no_program", "no program is named")
    opening.environment = _environment_of(fields)
    opening.environment[VARIABLE] = opening.terminal.encode()
    opening.columns, opening.rows = size_of(fields, "columns"), size_of(fields, "rows")
    if fields.get("log") is not None:
        opening.log = text_of(fields, "log")
    opening.log_bytes = number_of(fields, "log_bytes", opening.log_bytes)
    if fields.get("exit_file") is not None:
        opening.exit_file = text_of(fields, "exit_file")
    opening.preface = preface_of(fields)
    opening.meta = meta_of(fields)
    return opening


def _environment_of(fields: Fields) -> dict[bytes, bytes]:
    packed = bytes_of(fields, "environment")
    pairs = (entry.partition(b"=") for entry in packed.split(b"\0"))
    return {name: value for name, equals, value in pairs if name and equals}
