"""The configuration: one TOML file becomes frozen dataclasses.

Defaults, then the file, then the environment: `TEKTON_TCP_ENABLED=true` stands for `enabled` under
`[tcp]`. A flag of a command comes last, where the command has one.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from backends.errors import ConfigError, InvalidMessage
from backends.protocol import schema

T = TypeVar("T")

SERVICES = ("hermes", "engram", "rhetor", "numa", "terma")
"""The services of every Tekton, in the order of their starts."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine that no other machine can mean."""

PORTS: Mapping[str, int] = {
    "hermes": 8001, "engram": 8002, "rhetor": 8003, "numa": 8004,
    "athena": 9001, "apollo": 9002, "dionysus": 9003, "hephaestus": 9004,
}  # fmt: skip
"""The ports that services and CIs have where TCP is switched on."""

_MAX_DAYS = 36_500

_TERMA_RANGES = (
    ("log_bytes", 1_000_000, 2**40),
    ("keep_days", 0, _MAX_DAYS),
    ("scrollback", 0, 100_000),
    ("workers", 1, 16),
)

LEVELS = ("debug", "info", "warning", "error")
"""What `level` under `[logs]` may be."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """Which model answers where a CI does not name one.

    `default` is `auto` or `provider/model`; `order` lists the providers that `auto` tries: none
    means Ollama and then an OpenAI-compatible server, only where they cost nothing.
    """

    default: str = "auto"
    order: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tcp:
    """Listening off the Unix socket; a port of 0 takes any free one.

    `legacy` answers the original lines without a token: for old clients on a machine of one user.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    legacy: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    """Names, besides loopback, that a request's Host header may have."""
    origins: tuple[str, ...] = ()
    """Origins of web pages that may connect; none by default."""


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The hub's log; `level` is debug, info, warning or error."""

    level: str = "info"
    max_bytes: int = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Engram:
    """The store of turns; conversations not used for `keep_days` are deleted, 0 keeps all."""

    enabled: bool = True
    keep_days: int = 0


NOTICES = ("none", "bell", "osc9", "desktop")
"""What `notify` under `[terma]` may be."""


@dataclass(frozen=True, kw_only=True)
class Terma:
    """Terminals.

    Of each one's output the last `log_bytes` are kept, and `keep_days` after it was closed (0
    keeps all). `scrollback` counts rows of a screen. `shell` is the program of `terma new`, by
    default the user's own. `notify` says how an attached person hears that another terminal
    wants them: none, bell, osc9 or desktop.
    """

    record: bool = True
    log_bytes: int = 64_000_000
    keep_days: int = 30
    scrollback: int = 5_000
    workers: int = 2
    shell: str = ""
    notify: str = "bell"


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices by `provider/model`, as of a date; a model that is not here costs "unknown"."""

    as_of: str = "2025-10-01"
    models: Mapping[str, Price] = field(
        default_factory=lambda: {
            "anthropic/claude-opus-4-1": Price(input=15.0, output=75.0),
            "anthropic/claude-sonnet-4-5": Price(input=3.0, output=15.0),
            "anthropic/claude-haiku-4-5": Price(input=1.0, output=5.0),
        }
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be set."""

    models: Models = field(default_factory=Models)
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tcp: Tcp = field(default_factory=Tcp)
    logs: Logs = field(default_factory=Logs)
    engram: Engram = field(default_factory=Engram)
    terma: Terma = field(default_factory=Terma)
    prices: Prices = field(default_factory=Prices)


BUILT_IN_PROVIDERS: Mapping[str, Any] = {
    "ollama": {}, "openai": {}, "anthropic": {}, "claude": {}, "codex": {}, "echo": {},
}  # fmt: skip


def load_config(file: Path, environment: Mapping[str, str]) -> Config:
    """Read the configuration; a file that is not there means the defaults.

    Raises:
        ConfigError: With file, line and what is wrong.
    """
    config = read_toml(file, Config) if file.exists() else Config()
    config = _with_environment(config, environment)
    try:
        _check(config)
    except InvalidMessage as error:
        variable = variable_of(*_path_of(error).split(".")[:2])
        raise ConfigError(f"{variable}: {error.message}") from error
    return config


def read_toml(file: Path, kind: type[T], mend: str = "tekton config edit") -> T:
    """Read a TOML file into a dataclass, strictly.

    Args:
        file: The file.
        kind: The dataclass.
        mend: The command that opens the file, for the hint.

    Raises:
        ConfigError: With file, line and what is wrong.
    """
    return parse_toml(read_text(file, mend), kind, file, mend)


def read_text(file: Path, mend: str = "tekton config edit") -> str:
    """Read a file of TOML as text.

    Raises:
        ConfigError: It cannot be read, or is not UTF-8.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = f"mend it with `{mend}`, or any editor: {file}"
        raise ConfigError(f"{file}, line {line}: this is not UTF-8", hint) from error


def parse_toml(text: str, kind: type[T], file: Path, mend: str = "tekton config edit") -> T:
    """Read TOML as `read_toml` does; `file` is where it stands, or is going to."""
    hint = f"mend it with `{mend}`, or any editor: {file}"
    try:
        found = schema.decode(kind, tomllib.loads(text), is_strict=True)
        if isinstance(found, Config):
            _check(found)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}, {_readable(error, text)}", hint) from error
    except InvalidMessage as error:
        line = _line_of(text, _path_of(error))
        raise ConfigError(f"{file}, line {line}: {error.message}", hint) from error
    return found


def _check(config: Config) -> None:
    """Refuse values that have the right type and cannot be."""
    if config.logs.level not in LEVELS:
        raise InvalidMessage(f"logs.level must be one of {list(LEVELS)}, not {config.logs.level!r}")
    if config.tcp.host not in LOOPBACK:
        raise InvalidMessage(
            f"tcp.host must be one of {sorted(LOOPBACK)}, not {config.tcp.host!r}: nothing is "
            "encrypted here; reach it from elsewhere through an SSH tunnel"
        )
    if not 0 <= config.engram.keep_days <= _MAX_DAYS:
        raise InvalidMessage(
            f"engram.keep_days must be from 0 to {_MAX_DAYS}, not {config.engram.keep_days}"
        )
    if config.terma.notify not in NOTICES:
        raise InvalidMessage(
            f"terma.notify must be one of {list(NOTICES)}, not {config.terma.notify!r}"
        )
    for setting, least, most in _TERMA_RANGES:
        value = getattr(config.terma, setting)
        if not least <= value <= most:
            raise InvalidMessage(f"terma.{setting} must be from {least} to {most}, not {value}")
    for name, port in config.tcp.ports.items():
        if not 0 <= port <= 65535:
            raise InvalidMessage(f"tcp.ports.{name} must be from 0 to 65535, not {port}")


def variable_of(section: str, setting: str) -> str:
    """Name the variable of the environment that stands for a setting."""
    return f"TEKTON_{section}_{setting}".upper()


def _readable(error: tomllib.TOMLDecodeError, text: str) -> str:
    reason, _, place = str(error).rpartition(" (at ")
    end = f"line {len(text.splitlines())}, at its end"
    return f"{place.rstrip(')').replace('end of document', end)}: {reason}"


def _path_of(error: InvalidMessage) -> str:
    return re.split(" must be | is missing$| is not a setting| is nested", error.message)[0]


def _line_of(text: str, path: str) -> int:
    """Find the line where a setting begins, or else the table that should have it.

    The parser tells no lines, so it is asked from which line on the setting is there: that holds
    for every way of TOML to write one.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    begin = 1
    for number in range(1, len(lines) + 1):
        try:
            known = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # within a value of several lines
        if path in _paths(known):
            return begin
        begin = number + 1
    return _line_of(text, path.rpartition(".")[0]) if "." in path else 1


def _paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of a value and of all within it, as the schema names them."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _paths(item, f"{path}[{number}]")


def _with_environment(config: Config, environment: Mapping[str, str]) -> Config:
    changed: dict[str, Any] = {}
    for section in dataclasses.fields(Config):
        values = getattr(config, section.name)
        if not dataclasses.is_dataclass(values):
            continue
        found = {}
        for setting in dataclasses.fields(values):
            name = variable_of(section.name, setting.name)
            current = getattr(values, setting.name)
            if name in environment and isinstance(current, (str, bool, int, tuple)):
                found[setting.name] = _parse(name, environment[name], current)
        if found:
            changed[section.name] = dataclasses.replace(values, **found)  # type: ignore[type-var]
    return dataclasses.replace(config, **changed)


def _parse(name: str, text: str, current: object) -> object:
    if isinstance(current, bool):
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return words[text.lower()]
    if isinstance(current, int):
        if not text.isdecimal():
            raise ConfigError(f"{name} must be a whole number, not {text!r}")
        return int(text)
    if isinstance(current, tuple):
        return tuple(item.strip() for item in text.split(",") if item.strip())
    return text
