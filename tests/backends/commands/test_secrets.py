"""`tekton key` and `tekton token`: secrets that are read, kept and shown as little as possible."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from backends.commands.secrets import keys, tokens
from backends.errors import ConfigError, NotFound, StorageError, TektonError, UsageError
from backends.paths import find_paths
from backends.tokens import TokenStore
from tests.backends.commands.running import done, failed, mode, run
from tests.scenarios.tekton_process import BIN
from tests.scenarios.terminal import Terminal

KEY = "sk-very-secret"


def key_file(provider: str = "anthropic") -> Path:
    return find_paths().keys / provider


def configure(text: str) -> None:
    file = find_paths().config_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def sources() -> dict[str, str | None]:
    listed = json.loads(done(keys, "list", "--json").out)
    return {entry["provider"]: entry["source"] for entry in listed}


# -- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_key_is_read_from_standard_input(end: bytes) -> None:
    ran = done(keys, "set", "anthropic", stdin=KEY.encode() + end)
    assert key_file().read_text().strip() == KEY
    assert mode(key_file()) == 0o600
    assert mode(key_file().parent) == 0o700
    assert ran.out == ""
    assert KEY not in ran.err


def test_a_key_on_the_command_line_is_refused() -> None:
    error = failed(keys, "set", "anthropic", KEY, stdin=KEY.encode())
    assert isinstance(error, UsageError)
    assert "seen by everybody" in error.message
    assert KEY not in error.lines()
    assert not key_file().exists()


@pytest.mark.parametrize(
    "given", [b"", b"\n", b"two\nlines", b"two words", b"\xff", b"\x1b[31m", b"x" * 100_000]
)
def test_what_cannot_be_a_key_is_refused(given: bytes) -> None:
    done(keys, "set", "anthropic", stdin=b"old")
    error = failed(keys, "set", "anthropic", stdin=given)
    assert isinstance(error, ConfigError)
    assert key_file().read_text().strip() == "old"


@pytest.mark.parametrize("provider", ["antropic", "../anthropic", "", "echo"])
def test_a_key_is_for_a_provider_that_takes_one(provider: str) -> None:
    error = failed(keys, "set", provider, stdin=KEY.encode())
    assert isinstance(error, NotFound)
    assert "anthropic" in (error.hint or "")


def test_a_provider_of_the_settings_has_a_key_of_its_own() -> None:
    configure('[providers.vllm]\ntype = "openai"\n')
    done(keys, "set", "vllm", stdin=KEY.encode())
    assert sources()["vllm"] == str(key_file("vllm"))
    assert sources()["openai"] is None


def test_at_a_terminal_a_key_is_not_shown(tekton_home: Path) -> None:
    terminal = Terminal([str(BIN / "tekton"), "key", "set", "anthropic"], os.environ, tekton_home)
    try:
        terminal.wait_for(b"Key of anthropic (not shown): ")
        terminal.type(f"{KEY}\n")
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert KEY.encode() not in terminal.shown
    assert key_file().read_text().strip() == KEY


def test_at_a_terminal_no_key_changes_nothing(tekton_home: Path) -> None:
    terminal = Terminal([str(BIN / "tekton"), "key", "set", "anthropic"], os.environ, tekton_home)
    try:
        terminal.wait_for(b"Key of anthropic (not shown): ")
        terminal.type("\x04")
        assert terminal.wait() == 1
    finally:
        terminal.close()
    assert not key_file().exists()


def test_a_key_that_does_not_count_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
    ran = done(keys, "set", "anthropic", stdin=KEY.encode())
    assert "what counts is the environment variable ANTHROPIC_API_KEY" in ran.err
    ran = done(keys, "remove", "anthropic")
    assert "still has a key: the environment variable ANTHROPIC_API_KEY" in ran.err


def test_list_tells_where_each_key_is_and_never_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(f'[providers.vllm]\ntype = "openai"\nkey_command = "echo {KEY}"\n')
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    done(keys, "set", "anthropic", stdin=KEY.encode())
    assert sources() == {
        "ollama": None,
        "openai": "the environment variable OPENAI_API_KEY",
        "anthropic": str(key_file()),
        "vllm": "the key command",
    }
    for words in (["list"], ["list", "--json"]):
        assert KEY not in done(keys, *words).out
    assert "ollama     none" in done(keys, "list").out


def test_list_tells_why_a_key_is_not_used() -> None:
    configure('[providers.openai]\nkey_command = "false"\n')
    done(keys, "set", "anthropic", stdin=KEY.encode())
    key_file().chmod(0o644)
    found = sources()
    assert str(found["anthropic"]).startswith("not usable: the key in")
    assert "others may read it" in str(found["anthropic"])
    assert "failed with status 1" in str(found["openai"])


def test_remove_deletes_the_file() -> None:
    done(keys, "set", "anthropic", stdin=KEY.encode())
    ran = done(keys, "remove", "anthropic")
    assert (ran.out, ran.err) == ("", "")
    assert not key_file().exists()
    assert isinstance(failed(keys, "remove", "anthropic"), NotFound)


def test_remove_also_deletes_the_key_of_a_provider_that_is_gone() -> None:
    configure('[providers.vllm]\ntype = "openai"\n')
    done(keys, "set", "vllm", stdin=KEY.encode())
    configure("")
    done(keys, "remove", "vllm")
    assert not key_file("vllm").exists()


def test_a_key_that_cannot_be_removed_is_told() -> None:
    key_file().mkdir(parents=True)
    assert isinstance(failed(keys, "remove", "anthropic"), StorageError)


@pytest.mark.parametrize("name", ["../config.toml", "..", ".", "", "../../x"])
def test_remove_stays_in_its_folder(name: str) -> None:
    configure("")
    done(keys, "set", "anthropic", stdin=KEY.encode())
    assert isinstance(failed(keys, "remove", name), NotFound)
    assert find_paths().config_file.exists()
    assert key_file().exists()


@pytest.mark.parametrize("verb", ["set", "list", "remove"])
def test_settings_that_are_not_valid_are_told(verb: str) -> None:
    configure("[tcp")
    words = [] if verb == "list" else ["anthropic"]
    assert isinstance(failed(keys, verb, *words, stdin=KEY.encode()), ConfigError)


# -- tokens ----------------------------------------------------------------------------------


def is_valid(secret: str) -> bool:
    return asyncio.run(TokenStore(find_paths().tokens).is_valid(secret, "a test"))


def test_create_prints_the_token_alone() -> None:
    ran = done(tokens, "create", "laptop")
    secret = ran.out.removesuffix("\n")
    assert len(secret) >= 43  # 256 bits in base64
    assert is_valid(secret)
    assert secret not in ran.err
    assert secret not in find_paths().tokens.read_text()
    assert mode(find_paths().tokens) == 0o600


def test_create_tells_how_to_use_the_token() -> None:
    ran = done(tokens, "create", "laptop")
    assert "aish --url ws://127.0.0.1:8003/ws --token-file FILE apollo hi" in ran.err
    assert "`tekton config set tcp.enabled true && tekton restart`" in ran.err
    configure('[tcp]\nenabled = true\nhost = "::1"\nports = {rhetor = 9000}\n')
    ran = done(tokens, "create", "tablet")
    assert "ws://[::1]:9000/ws" in ran.err
    assert "nothing listens" not in ran.err


def test_a_name_that_is_taken_is_refused() -> None:
    secret = done(tokens, "create", "laptop").out.strip()
    assert isinstance(failed(tokens, "create", "laptop"), UsageError)
    assert is_valid(secret)


@pytest.mark.parametrize("name", ["", "a b", "-x", ".", "a\nb", "\x1b[31m", "x" * 65, "../x", "é"])
def test_a_name_that_no_token_can_have_is_refused(name: str) -> None:
    assert isinstance(failed(tokens, "create", "--", name), UsageError)
    assert not find_paths().tokens.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_token_that_nobody_received_is_revoked() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [BIN / "tekton", "token", "create", "laptop"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == "error: the token could not be written: No space left on device\n"
    assert TokenStore(find_paths().tokens).list() == ()


def test_list_has_names_and_times_and_nothing_else() -> None:
    ran = done(tokens, "list")
    assert ran.out == ""
    assert "`tekton token create NAME`" in ran.err
    assert json.loads(done(tokens, "list", "--json").out) == []
    done(tokens, "create", "laptop")
    (entry,) = json.loads(done(tokens, "list", "--json").out)
    assert entry.keys() == {"name", "created_at"}
    assert done(tokens, "list").out.splitlines()[1].startswith("laptop  20")


def test_a_token_that_is_revoked_opens_nothing() -> None:
    secret = done(tokens, "create", "laptop").out.strip()
    other = done(tokens, "create", "tablet").out.strip()
    done(tokens, "revoke", "laptop")
    assert not is_valid(secret)
    assert is_valid(other)
    assert isinstance(failed(tokens, "revoke", "laptop"), NotFound)


@pytest.mark.parametrize("verb", [["list"], ["create", "x"], ["revoke", "x"]])
def test_a_file_of_tokens_that_is_broken_is_told(verb: list[str]) -> None:
    done(tokens, "create", "laptop")
    find_paths().tokens.write_text("{")
    error = failed(tokens, *verb)
    assert isinstance(error, StorageError)
    assert find_paths().tokens.read_text() == "{"


@pytest.mark.parametrize("words", [["set"], ["list"], ["remove"], []])
def test_help_on_keys_opens_with_an_example(words: list[str]) -> None:
    first = run(keys, *words, "--help").out.strip().splitlines()[2].strip()
    assert first.startswith("tekton key")


@pytest.mark.parametrize("words", [["create"], ["list"], ["revoke"], []])
def test_help_on_tokens_opens_with_an_example(words: list[str]) -> None:
    first = run(tokens, *words, "--help").out.strip().splitlines()[2].strip()
    assert "tekton token" in first


def test_every_error_has_a_hint() -> None:
    errors: list[TektonError] = [
        failed(keys, "set", "nobody"),
        failed(keys, "set", "anthropic", "x"),
        failed(keys, "remove", "anthropic"),
        failed(tokens, "create", "a b"),
        failed(tokens, "revoke", "x"),
    ]
    assert all(error.hint for error in errors)
