"""The configuration: what a file may say, what it may not, and where exactly it went wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import logs
from backends.config import (
    LEVELS,
    PORTS,
    SERVICES,
    Config,
    Price,
    load_config,
    read_toml,
    variable_of,
)
from backends.errors import ConfigError
from backends.personas import Persona

WHOLE = """\
[models]
default = "ollama/llama3.2"
order = ["ollama", "anthropic"]

[providers.ollama]
url = "http://127.0.0.1:11434"

[providers."my server"]
type = "openai"
depth = { a = [1, 2.5, { b = true }] }

[tcp]
enabled = true
host = "127.0.0.1"
legacy = true
ports = { apollo = 0, hermes = 65535 }
hosts = ["tekton.test"]
origins = ["https://tekton.test"]

[logs]
level = "debug"
max_bytes = 1000

[engram]
enabled = false

[terma]
record = false

[prices]
as_of = "2026-01-01"
[prices.models."openai/gpt-5.1"]
input = 1
output = 2.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(file: Path, text: str, **environment: str) -> Config:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return load_config(file, environment)


def failure(file: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load(file, text, **environment)
    return raised.value.message


def test_without_a_file_everything_has_its_default(file: Path) -> None:
    assert load_config(file, {}) == Config()
    assert load(file, "") == Config()


def test_nothing_listens_off_the_unix_socket_by_default() -> None:
    tcp = Config().tcp
    assert (tcp.enabled, tcp.legacy, tcp.host, tcp.origins) == (False, False, "127.0.0.1", ())


def test_every_setting_can_be_set(file: Path) -> None:
    config = load(file, WHOLE)
    for section in dataclasses.fields(Config):
        assert getattr(config, section.name) != getattr(Config(), section.name)
    assert config.providers["my server"]["depth"] == {"a": [1, 2.5, {"b": True}]}
    assert config.prices.models == {"openai/gpt-5.1": Price(input=1.0, output=2.5)}
    assert dict(config.tcp.ports) == {"apollo": 0, "hermes": 65535}


def test_levels_are_those_of_the_log() -> None:
    assert tuple(logs.LEVELS) == LEVELS


def test_every_service_has_a_port() -> None:
    assert {*SERVICES} - {*PORTS} == {"terma"}  # which answers this user's own processes only
    assert len({*PORTS.values()}) == len(PORTS)


# -- what cannot be used -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[models\n", 1, "Expected ']'"),
        ('[tcp]\nenabled = true\nhost "x"\n', 3, "Expected '='"),
        ("[tcp]\n[tcp]\n", 2, "Cannot declare ('tcp',) twice"),
        ('[tcp]\nhost = "a"\nhost = "b"\n', 3, "Cannot overwrite a value"),
        ("[tcp]\nhosts = [\n", 2, "Invalid value"),
        ('[tcp]\n\nhost = """\nnever\nending\n', 5, "Unterminated string"),
        ("[tcp]\nhost = 'a\udcffb'\n", 2, "this is not UTF-8"),
        ("[tcp]\nenabled = 'yes'\n", 2, "tcp.enabled must be true or false, not a string"),
        ("[tcp] # remote\n\n  enabled=1", 3, "tcp.enabled must be true or false, not a whole"),
        ("tcp.enabled = 5\n", 1, "tcp.enabled must be true or false"),
        ("\ntcp = { host = 'a', enabled = 5 }\n", 2, "tcp.enabled must be true or false"),
        ("tcp = 5\n", 1, "tcp must be an object, not a whole number"),
        ("\n[tcp]\nhost = 'a'\nhots = []\n", 4, "tcp.hots is not a setting; did you mean 'host"),
        ("# hello\n[tpc]\n", 2, "tpc is not a setting; did you mean 'tcp'?"),
        ("[zzz]\n", 1, "zzz is not a setting; there are: models, providers, tcp"),
        ("[tcp]\n'a key' = 1\n", 2, "tcp.a key is not a setting; there are: enabled"),
        ("[tcp]\nhosts = [\n  'a',\n  5,\n]\n", 2, "tcp.hosts[1] must be a string, not a whole"),
        ("[tcp]\r\nhost = 'a'\r\nlegacy = 0\r\n", 3, "tcp.legacy must be true or false"),
        ("[tcp.ports]\nhermes = 1\napollo = 'x'\n", 3, "tcp.ports.apollo must be a whole number"),
        ("[tcp.ports]\nhermes = 1\napollo = 70000\n", 3, "tcp.ports.apollo must be from 0 to 65"),
        ("[tcp.ports]\napollo = -1\n", 2, "tcp.ports.apollo must be from 0 to 65535, not -1"),
        ("[logs]\nlevel = 'loud'\n", 2, "logs.level must be one of ['debug', 'info', 'warning'"),
        ("[tcp]\nenabled = true\nhost = '0.0.0.0'\n", 3, "tcp.host must be one of ['127.0.0.1', '"),
        ("[logs]\nmax_bytes = 99999999999999999999\n", 2, "logs.max_bytes must be a number of at"),
        ("[providers]\nollama = 5\n", 2, "providers.ollama must be an object"),
        ("[providers.ollama]\ntemperature = nan\n", 2, "providers.ollama.temperature must be a"),
        ('\n[prices.models."a/b-1.5"]\ninput = 1\n', 2, "prices.models.a/b-1.5.output is missing"),
        ('[prices]\nmodels."a/b-1.5".input = "1"\n', 2, "prices.models.a/b-1.5.input must be a n"),
    ],
)  # fmt: skip
def test_a_corrupt_file_is_told_with_file_line_and_reason(
    file: Path, text: str, line: int, reason: str
) -> None:
    message = failure(file, text)
    place, _, rest = message.partition(": ")
    assert place.startswith(f"{file}, line {line}")
    assert rest.startswith(reason)
    assert not place[len(f"{file}, line {line}") :][:1].isdigit()


def test_the_hint_says_how_to_mend_it(file: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(file, "[")
    assert raised.value.hint == f"mend it with `tekton config edit`, or any editor: {file}"


def test_what_is_no_file_is_told(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read: Is a directory"):
        load_config(file, {})


def test_text_within_a_long_value_is_not_taken_for_a_table(file: Path) -> None:
    text = 'system = """\n[models]\nmodel = 5\n"""\nmodel = 5\n'
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r", line 5: model must be a string, not a whole number"):
        read_toml(file, Persona)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    refusals = []
    try:
        load_config(file, {})
    except ConfigError as error:
        refusals.append(error.message)
    assert all(f"{file}, line " in message for message in refusals)


# -- the environment ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("TEKTON_TCP_ENABLED", "true", True),
        ("TEKTON_TCP_ENABLED", "YES", True),
        ("TEKTON_TCP_ENABLED", "1", True),
        ("TEKTON_ENGRAM_ENABLED", "0", False),
        ("TEKTON_ENGRAM_ENABLED", "no", False),
        ("TEKTON_TCP_HOST", "::1", "::1"),
        ("TEKTON_LOGS_MAX_BYTES", "0", 0),
        ("TEKTON_LOGS_LEVEL", "error", "error"),
        ("TEKTON_MODELS_DEFAULT", "anthropic", "anthropic"),
        ("TEKTON_MODELS_ORDER", "ollama, anthropic,,", ("ollama", "anthropic")),
        ("TEKTON_MODELS_ORDER", "", ()),
    ],
)
def test_the_environment_comes_before_the_file(
    file: Path, name: str, value: str, found: Any
) -> None:
    section, setting = name.removeprefix("TEKTON_").lower().split("_", 1)
    assert variable_of(section, setting) == name
    for text in ("", WHOLE):
        config = load(file, text, **{name: value})
        assert getattr(getattr(config, section), setting) == found


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("TEKTON_TCP_ENABLED", "maybe", "TEKTON_TCP_ENABLED must be true or false, not 'maybe'"),
        ("TEKTON_TCP_ENABLED", "", "TEKTON_TCP_ENABLED must be true or false, not ''"),
        ("TEKTON_LOGS_MAX_BYTES", "1e6", "TEKTON_LOGS_MAX_BYTES must be a whole number"),
        ("TEKTON_LOGS_MAX_BYTES", "-1", "TEKTON_LOGS_MAX_BYTES must be a whole number"),
        ("TEKTON_TCP_HOST", "0.0.0.0", "TEKTON_TCP_HOST: tcp.host must be one of"),
        ("TEKTON_LOGS_LEVEL", "loud", "TEKTON_LOGS_LEVEL: logs.level must be one of ['debug'"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    file: Path, name: str, value: str, reason: str
) -> None:
    assert failure(file, WHOLE, **{name: value}).startswith(reason)


def test_other_variables_change_nothing(file: Path) -> None:
    other = {"TEKTON_HOME": "/x", "TEKTON_TCP_PORTS": "1", "TEKTON_PROVIDERS": "x", "TCP": "1"}
    assert load(file, WHOLE, **other) == load(file, WHOLE)
