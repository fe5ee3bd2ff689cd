"""`tekton config`: what counts and why, and a file that no editing makes invalid."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.commands.settings import HIDDEN, app, effective, hide
from backends.commands.template import template
from backends.config import Config, load_config
from backends.errors import ConfigError, NotFound, StorageError, TektonError, UsageError
from backends.hub_record import hub_lock
from backends.paths import find_paths, private_folder
from backends.protocol import schema
from tests.backends.commands.running import done, failed, mode, run, script
from tests.scenarios.tekton_process import BIN
from tests.scenarios.terminal import Terminal

KEY = "sk-very-secret"

EditWith = Callable[[str], None]


@pytest.fixture
def edit_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EditWith:
    """Make a shell script the user's editor."""

    def edit_with(text: str) -> None:
        path = script(tmp_path / "an editor", text)
        monkeypatch.setenv("EDITOR", f"'{path}' --some-option")

    return edit_with


@pytest.fixture(autouse=True)
def no_editor_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def write(text: str) -> Path:
    file = find_paths().config_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def sources() -> dict[str, str]:
    shown = json.loads(done(app, "show", "--json").out)["settings"]
    return {name: setting["source"] for name, setting in shown.items()}


def test_path_is_where_the_settings_are(tekton_home: Path) -> None:
    assert done(app, "path").out == f"{tekton_home}/config/config.toml\n"


def test_show_is_a_valid_file_of_what_counts() -> None:
    write('[tcp]\nhost = "::1"\nports = {numa = 0}\n[providers.mine]\ntype = "openai"\n')
    shown = tomllib.loads(done(app, "show").out)
    assert {"ollama", "mine"} <= shown["providers"].keys()
    expected = load_config(find_paths().config_file, {})
    again = schema.decode(Config, shown, is_strict=True)
    assert dataclasses.replace(again, providers={}) == dataclasses.replace(expected, providers={})
    assert again.providers["mine"] == {"type": "openai"}


def test_show_tells_where_a_setting_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(sources().values()) == {"default"}
    write('[tcp]\nhost = "::1"\n[logs]\nlevel = "error"\n[providers.ollama]\nmodel = "m"\n')
    monkeypatch.setenv("TEKTON_LOGS_LEVEL", "debug")
    found = sources()
    assert found.pop("tcp.host") == "file"
    assert found.pop("logs.level") == "TEKTON_LOGS_LEVEL"
    assert found.pop("providers.ollama.model") == "file"
    assert set(found.values()) == {"default"}
    assert re.search(r'^level = "debug" +# TEKTON_LOGS_LEVEL$', done(app, "show").out, re.M)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TEKTON_TCP_ENABLED", "true"), ("TEKTON_TCP_PORTS", "1"), ("TEKTON_MODELS_ORDER", "echo")],
)
def test_a_variable_is_a_source_only_where_it_counts(variable: str, value: str) -> None:
    file = find_paths().config_file
    is_counted = load_config(file, {variable: value}) != load_config(file, {})
    is_source = variable in {one.source for one in effective(file, {variable: value})}
    assert is_source == is_counted


def test_show_never_prints_a_secret() -> None:
    write(f"""
[providers.mine]
url = "https://me:{KEY}@host/v1?api_key={KEY}&page=2"
api_key = "{KEY}"
Authorization = "Bearer {KEY}"
key_command = "echo {KEY}"
max_tokens = 5
headers = {{ "X-Token" = "{KEY}", accept = "text" }}
backups = ["https://{KEY}@host"]
since = 2025-01-02
""")
    for words in (["show"], ["show", "--json"]):
        out = done(app, *words).out
        assert KEY not in out
        assert HIDDEN in out
        assert "page=2" in out
        assert "2025-01-02" in out
    shown = tomllib.loads(done(app, "show").out)["providers"]["mine"]
    assert shown["max_tokens"] == 5
    assert shown["headers"] == {"X-Token": HIDDEN, "accept": "text"}


@pytest.mark.parametrize(
    "name", ["key", "api_key", "APIKEY", "token", "access-token", "secret", "password", "tokens"]
)
def test_a_setting_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    assert hide(name, KEY) == HIDDEN
    assert hide(name, [KEY]) == HIDDEN
    assert hide("more", {name: KEY}) == {name: HIDDEN}


def test_show_prints_no_escape_sequence() -> None:
    write('[providers."x\\u001b[31m"]\nmodel = "a\\u001b]0;title\\u0007\\u202eb"\n')
    out = done(app, "show").out
    assert out.replace("\n", "").isprintable()
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[tcp]\n\nenabled = 3\n", "line 3: tcp.enabled must be true or false"),
        ("[tcp\n", "line 1"),
        ("[tpc]\n", "did you mean 'tcp'"),
        ("[providers]\nollama = 3\n", "line 2: providers.ollama must be an object"),
    ],
)
def test_a_file_that_is_not_valid_is_told_with_its_line(text: str, where: str) -> None:
    file = write(text)
    error = failed(app, "show")
    assert isinstance(error, ConfigError)
    assert error.message.startswith(str(file))
    assert where in error.message


def test_the_template_changes_nothing() -> None:
    load = schema.decode(Config, tomllib.loads(template()), is_strict=True)
    assert {name: dict(values) for name, values in load.providers.items() if values} == {}
    assert dataclasses.replace(load, providers={}) == Config()


def test_the_template_shows_every_setting_with_its_default() -> None:
    lines = [re.sub(r"^# (?=[\w.]+\S* = )", "", line) for line in template().splitlines()]
    shown = tomllib.loads("\n".join(lines))
    assert schema.decode(Config, {**shown, "providers": {}}, is_strict=True) == Config()
    for section in dataclasses.fields(Config):
        if section.name != "providers":
            expected = {one.name for one in dataclasses.fields(getattr(Config(), section.name))}
            assert {name for name in expected if name not in shown[section.name]} == set()
    assert {"ollama", "openai", "anthropic"} <= shown["providers"].keys()


def test_the_template_has_the_documentation() -> None:
    text = " ".join(template().replace("#", "").split())
    assert "Origins of web pages that may connect; none by default." in text
    assert "`OLLAMA_HOST` tells where it is" in text
    assert max(map(len, template().splitlines())) <= 100


def test_edit_makes_the_file_from_the_template(edit_with: EditWith) -> None:
    edit_with("true")
    ran = done(app, "edit")
    file = find_paths().config_file
    assert file.read_text() == template()
    assert mode(file) == 0o600
    assert "nothing was changed" in ran.err
    assert ran.out == ""


def test_edit_keeps_what_was_valid(edit_with: EditWith) -> None:
    file = write("# mine\n[tcp]\nenabled = true\n")
    edit_with('echo "legacy = true" >> "$file"')
    done(app, "edit")
    assert file.read_text() == "# mine\n[tcp]\nenabled = true\nlegacy = true\n"
    assert file.with_name("config.toml.bak").read_text() == "# mine\n[tcp]\nenabled = true\n"


def test_edit_takes_nothing_that_is_not_valid(edit_with: EditWith) -> None:
    file = write("[tcp]\n")
    edit_with('echo "enabled = 3" >> "$file"')
    error = failed(app, "edit")
    assert isinstance(error, ConfigError)
    assert "config.toml, line 2: tcp.enabled must be true or false" in error.message
    assert file.read_text() == "[tcp]\n"
    assert not file.with_name("config.toml.bak").exists()
    assert error.hint is not None
    draft = Path(error.hint.rpartition(" ")[2])
    assert draft.read_text() == "[tcp]\nenabled = 3\n"


def test_edit_mends_a_file_and_keeps_the_last_valid_one(edit_with: EditWith) -> None:
    file = write("[tcp\xe9")
    file.with_name("config.toml.bak").write_text("# valid")
    edit_with('echo "[tcp]" > "$file"')
    done(app, "edit")
    assert file.read_text() == "[tcp]\n"
    assert file.with_name("config.toml.bak").read_text() == "# valid"


def test_edit_follows_a_link(edit_with: EditWith, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.toml"
    target.write_text("")
    file = find_paths().config_file
    file.parent.mkdir(parents=True)
    file.symlink_to(target)
    edit_with('echo "[tcp]" > "$file"')
    done(app, "edit")
    assert file.is_symlink()
    assert target.read_text() == "[tcp]\n"


def test_edit_tells_that_a_running_hub_goes_on_as_it_was(edit_with: EditWith) -> None:
    paths = find_paths()
    private_folder(paths.runtime)
    edit_with('echo "[tcp]" > "$file"')
    with hub_lock(paths):
        assert "`tekton restart`" in done(app, "edit").err


def test_visual_goes_before_editor(
    edit_with: EditWith, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edit_with('echo "[logs]" > "$file"')
    monkeypatch.setenv("VISUAL", script(tmp_path / "visual", 'echo "[tcp]" > "$file"'))
    done(app, "edit")
    assert find_paths().config_file.read_text() == "[tcp]\n"


@pytest.mark.parametrize("command", ["false", "sh -c 'exit 3'"])
def test_an_editor_that_fails_changes_nothing(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write("[tcp]\n")
    monkeypatch.setenv("EDITOR", command)
    error = failed(app, "edit")
    assert "ended with status" in error.message
    assert file.read_text() == "[tcp]\n"
    assert not list(tmp_path.glob("tekton-edit-*"))


def test_what_was_written_in_an_editor_that_fails_is_kept(edit_with: EditWith) -> None:
    write("[tcp]\n")
    edit_with('echo "[logs]" > "$file"; exit 1')
    error = failed(app, "edit")
    assert error.hint is not None
    assert Path(error.hint.rpartition(" ")[2]).read_text() == "[logs]\n"


@pytest.mark.parametrize(
    ("command", "kind"), [("/nowhere/vi", TektonError), ("vi 'open", UsageError), ("", UsageError)]
)
def test_an_editor_that_cannot_start_is_told(
    command: str, kind: type[TektonError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", command)
    error = failed(app, "edit")
    assert type(error) is kind
    assert "EDITOR" in (error.hint or "")


def test_a_file_that_cannot_be_read_is_told(edit_with: EditWith) -> None:
    find_paths().config_file.mkdir(parents=True)
    edit_with("true")
    assert isinstance(failed(app, "edit"), StorageError)


def test_an_interrupt_is_for_the_editor(edit_with: EditWith) -> None:
    # The editor dies of it unless it takes it, as it does here; tekton goes on.
    edit_with("""trap 'echo "[tcp]" > "$file"' INT; kill -INT $PPID; kill -INT $$""")
    done(app, "edit")
    assert find_paths().config_file.read_text() == "[tcp]\n"


def test_an_editor_can_be_interrupted(edit_with: EditWith) -> None:
    edit_with("kill -INT $$; exit 0")
    assert "ended with status -2" in failed(app, "edit").message


def test_at_a_terminal_an_error_can_be_mended(edit_with: EditWith, tekton_home: Path) -> None:
    file = write("")
    # Wrong the first time, right the second.
    edit_with('grep -q 3 "$file" && echo "[tcp]" > "$file" || echo "3" > "$file"')
    terminal = Terminal([str(BIN / "tekton"), "config", "edit"], os.environ, tekton_home)
    try:
        terminal.wait_for(b"line 1")
        terminal.wait_for(b"Edit again? [Y/n]")
        terminal.type("\n")
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert b"hint:" not in terminal.shown
    assert file.read_text() == "[tcp]\n"


def test_at_a_terminal_an_editor_is_found(tekton_home: Path, tmp_path: Path) -> None:
    script(tmp_path / "vi", 'echo "[tcp]" > "$file"')
    environment = {**os.environ, "PATH": f"{tmp_path}"}
    terminal = Terminal([str(BIN / "tekton"), "config", "edit"], environment, tekton_home)
    try:
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert find_paths().config_file.read_text() == "[tcp]\n"


def test_at_a_terminal_without_any_editor_that_is_told(tekton_home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{tmp_path}"}
    terminal = Terminal([str(BIN / "tekton"), "config", "edit"], environment, tekton_home)
    try:
        assert terminal.wait() == 1
    finally:
        terminal.close()
    assert b"error:\x1b[0m no editor was found" in terminal.shown


@pytest.mark.parametrize("answer", ["n\n", "\x04"])
def test_at_a_terminal_an_edit_can_be_given_up(
    answer: str, edit_with: EditWith, tekton_home: Path
) -> None:
    file = write("")
    edit_with('echo "3" > "$file"')
    terminal = Terminal([str(BIN / "tekton"), "config", "edit"], os.environ, tekton_home)
    try:
        terminal.wait_for(b"Edit again? [Y/n]")
        terminal.type(answer)
        assert terminal.wait() == 1
    finally:
        terminal.close()
    assert b"what you wrote is in" in terminal.shown
    assert file.read_text() == ""


@pytest.mark.parametrize("words", [[], ["show"], ["edit"], ["path"]])
def test_help_opens_with_an_example(words: list[str]) -> None:
    first = run(app, *words, "--help").out.strip().splitlines()[2].strip()
    assert first.startswith("tekton config")


# -- set -------------------------------------------------------------------------------------


def test_one_setting_changes_and_all_else_stays() -> None:
    file = write("# mine\n[logs]\nlevel = 'debug' # loud\n")
    done(app, "set", "models.default", "anthropic")
    text = file.read_text()
    assert text.startswith("# mine\n[logs]\nlevel = 'debug' # loud\n")
    assert load_config(file, {}).models.default == "anthropic"


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("tcp.enabled", "true", True),
        ("tcp.hosts", '["a", "b"]', ("a", "b")),
        ("logs.max_bytes", "1000", 1000),
        ("models.default", "ollama/llama3.2:1b", "ollama/llama3.2:1b"),
    ],
)
def test_a_value_is_read_as_toml_or_as_text(key: str, value: str, found: object) -> None:
    done(app, "set", key, value)
    config = load_config(find_paths().config_file, {})
    table, _, name = key.partition(".")
    assert getattr(getattr(config, table), name) == found


@pytest.mark.parametrize(
    ("key", "value", "said", "hint"),
    [
        ("models.defualt", "x", "models.defualt is not a setting; did you mean 'models.default'?",
         "`tekton config show`"),
        ("modles.default", "x", "modles.default is not a setting; did you mean 'models.default'?",
         "`tekton config show`"),
        ("tcp.enabled", "maybe", "tcp.enabled must be true or false", "tcp.enabled true`"),
        ("models.order", "ollama", "models.order must be a list",
         """`tekton config set models.order '["ollama"]'`"""),
        ("logs.max_bytes", "many", "logs.max_bytes must be a whole number", "max_bytes 5000000`"),
        ("tcp.host", "0.0.0.0", "tcp.host must be one of", "nothing was changed"),
        ("models.default.name", "x", "models.default is not a table", "`tekton config show`"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused_and_nothing_is_written(
    key: str, value: str, said: str, hint: str
) -> None:
    file = write('[models]\ndefault = "auto"\n')
    error = failed(app, "set", key, value)
    assert isinstance(error, UsageError)
    assert error.message.startswith(said)
    assert "line" not in error.message
    assert "nothing was changed" in (error.hint or "")
    assert hint in (error.hint or "")
    assert file.read_text() == '[models]\ndefault = "auto"\n'


def test_a_name_without_a_table_is_no_setting() -> None:
    assert isinstance(run(app, "set", "default", "x").error, UsageError)


@pytest.mark.parametrize("value", ["auto", "anthropic", "ollama/m", "mine/any"])
def test_a_model_whose_provider_is_known_is_set_without_a_word(value: str) -> None:
    write('[providers.mine]\ntype = "openai"\n')
    assert done(app, "set", "models.default", value).err == ""


@pytest.mark.parametrize("value", ["nope", "nope/m"])
def test_a_model_without_a_known_provider_is_set_with_a_warning(value: str) -> None:
    ran = done(app, "set", "models.default", value)
    assert "no provider is named 'nope'" in ran.err
    assert load_config(find_paths().config_file, {}).models.default == value


def test_an_unknown_provider_in_the_order_is_told() -> None:
    assert "no provider is named 'olama'" in done(app, "set", "models.order", '["olama"]').err


@pytest.mark.parametrize("name", ["hermes", "apollo", "rhetor-ci", "numa", "sophia"])
def test_a_port_of_what_is_there_is_set_without_a_word(name: str) -> None:
    assert done(app, "set", f"tcp.ports.{name}", "9999").err == ""


def test_a_port_of_what_is_not_there_is_told() -> None:
    assert "nothing is named 'nosuch' yet" in done(app, "set", "tcp.ports.nosuch", "9999").err


# -- unset -----------------------------------------------------------------------------------


def test_unset_goes_back_to_the_default_and_all_else_stays() -> None:
    file = write("# mine\n[logs]\nlevel = 'debug' # loud\nmax_bytes = 9 # few\n")
    done(app, "unset", "logs.level")
    assert file.read_text() == "# mine\n[logs]\nmax_bytes = 9 # few\n"
    done(app, "unset", "logs.max_bytes")
    assert load_config(file, {}) == Config()


@pytest.mark.parametrize("key", ["logs.level", "nothing.at.all"])
def test_what_is_not_set_cannot_be_unset(key: str) -> None:
    file = write("[tcp]\nenabled = true\n")
    error = failed(app, "unset", key)
    assert isinstance(error, NotFound)
    assert f"{key} is not set in {file}" in error.message
    assert isinstance(failed(app, "unset", "level"), UsageError)
