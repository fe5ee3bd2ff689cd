"""`tekton ci`: CIs of the user's own, and what a running hub makes of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.client.blocking import BlockingTekton
from backends.commands import persona_file
from backends.commands.cis import app
from backends.commands.persona_file import PersonaFile, written
from backends.errors import ConfigError, NotFound, StorageError, UsageError
from backends.hub_record import hub_lock
from backends.paths import find_paths, private_folder
from backends.personas import Persona, built_in_personas, load_personas, read_persona
from backends.protocol.messages import Health, ListAll, ServiceInfo
from backends.runtime import RESERVED
from tests.backends.commands.running import done, failed, mode, run, script
from tests.scenarios.tekton_process import TektonProcess

BUILT_IN = built_in_personas()["apollo"]


@pytest.fixture(autouse=True)
def no_drafts_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def file_of(name: str) -> Path:
    return find_paths().personas / f"{name}.toml"


def write(name: str, text: str) -> Path:
    file = file_of(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def personas() -> dict[str, Persona]:
    return load_personas(find_paths().personas)


# -- add -------------------------------------------------------------------------------------


def test_add_writes_what_was_given() -> None:
    ran = done(
        app, "add", "zeus", "--role", "judge", "--description", "Decides.", "--capability", "law",
        "--capability", "order", "--model", "echo/echo", "--system", "You decide.\nAlways.",
        "--temperature", "0.5", "--max-tokens", "100", "--max-prompt-bytes", "1000",
    )  # fmt: skip
    assert personas()["zeus"] == Persona(
        role="judge", description="Decides.", capabilities=("law", "order"), model="echo/echo",
        system="You decide.\nAlways.", temperature=0.5, max_tokens=100, max_prompt_bytes=1000,
    )  # fmt: skip
    assert mode(file_of("zeus")) == 0o600
    assert ran.out == ""
    assert "from the next `tekton up`" in ran.err


def test_a_ci_needs_no_settings() -> None:
    done(app, "add", "zeus")
    assert personas()["zeus"] == Persona()


def test_a_system_prompt_comes_from_a_file(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt"
    prompt.write_bytes('Say "é"\r\n\\ and """ too\n'.encode())
    done(app, "add", "zeus", "--system-file", str(prompt))
    assert personas()["zeus"].system == 'Say "é"\n\\ and """ too\n'


@pytest.mark.parametrize("name", ["zeus", "apollo"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    write("zeus", 'role = "judge"')
    error = failed(app, "add", name, "--role", "other")
    assert isinstance(error, UsageError)
    assert error.hint == f"`tekton ci edit {name}`"
    assert personas()["zeus"].role == "judge"


def test_a_name_that_was_removed_can_be_brought_back() -> None:
    done(app, "remove", "apollo")
    error = failed(app, "add", "apollo")
    assert "--enable" in (error.hint or "")


@pytest.mark.parametrize(
    "name", ["../zeus", "/tmp/zeus", "Zeus", "zeus.toml", "z us", "", "9", "zeus-ci", "z" * 33, "é"]
)
def test_a_name_that_no_ci_can_have_is_refused(name: str, tekton_home: Path) -> None:
    assert isinstance(failed(app, "add", name), UsageError)
    assert not list(tekton_home.rglob("*.toml"))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_is_refused(name: str) -> None:
    assert isinstance(failed(app, "add", name), UsageError)


@pytest.mark.parametrize("name", ["hermes", "engram", "specialists"])
def test_the_name_of_a_service_is_refused(name: str) -> None:
    error = failed(app, "add", name)
    assert isinstance(error, UsageError)
    assert "a service" in error.message


def test_the_gateway_and_its_ci_share_a_name() -> None:
    done(app, "edit", "rhetor", "--role", "speaker")
    assert personas()["rhetor"].role == "speaker"


@pytest.mark.parametrize("verb", ["add", "edit", "remove", "show"])
def test_numa_has_no_persona(verb: str) -> None:
    error = failed(app, verb, "numa")
    assert isinstance(error, UsageError)
    assert "live facts" in error.message


@pytest.mark.parametrize(
    "words",
    [
        ["--temperature", "nan"],
        ["--temperature", "inf"],
        ["--temperature", "-1"],
        ["--temperature", "warm"],
        ["--temperature", "9"],
        ["--max-tokens", "0"],
        ["--max-prompt-bytes", "0"],
        ["--max-tokens", "1.5"],
        ["--system", "x", "--system-file", "/dev/null"],
    ],
)
@pytest.mark.parametrize("verb", [["add", "zeus"], ["edit", "apollo"]])
def test_options_that_make_no_sense_change_nothing(
    verb: list[str], words: list[str], tekton_home: Path
) -> None:
    assert run(app, *verb, *words).status == 2
    assert not list(tekton_home.rglob("*.toml"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_prompt_file_that_cannot_be_read_is_told(content: bytes | None, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt"
    if content is not None:
        prompt.write_bytes(content)
    error = failed(app, "add", "zeus", "--system-file", str(prompt))
    assert isinstance(error, NotFound)
    assert str(prompt) in error.message
    assert not file_of("zeus").exists()


def test_bytes_that_are_no_text_are_replaced() -> None:
    done(app, "add", "zeus", "--system", "a\udcffb", "--capability", "\udcff")
    assert personas()["zeus"].system == "a\ufffdb"


@given(
    system=st.text(st.characters(exclude_categories=["Cs"])),
    model=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_any_text_is_read_as_it_was_given(system: str, model: str) -> None:
    file = PersonaFile("zeus", find_paths())
    file.change({"system": system, "model": model, "capabilities": [system, model]})
    expected = Persona(system=system, model=model, capabilities=(system, model))
    assert file.persona() == expected
    again = write("again", written(expected))
    assert read_persona(again, Persona()) == expected


# -- edit ------------------------------------------------------------------------------------


def test_edit_changes_only_what_is_named() -> None:
    done(app, "edit", "apollo", "--model", "echo/echo")
    assert tomllib.loads(file_of("apollo").read_text()) == {"model": "echo/echo"}
    assert personas()["apollo"].system == BUILT_IN.system


def test_edit_keeps_comments() -> None:
    text = '# why\nrole = "judge" # for now\n\nmodel = "a/b"\n'
    write("zeus", text)
    done(app, "edit", "zeus", "--role", "king")
    assert file_of("zeus").read_text() == text.replace("judge", "king")


def test_a_ci_has_several_names() -> None:
    done(app, "edit", "Apollo-ci", "--role", "seer")
    assert personas()["apollo"].role == "seer"


def test_edit_knows_only_what_is_there() -> None:
    for words in (["--role", "x"], []):
        error = failed(app, "edit", "apolo", *words)
        assert isinstance(error, NotFound)
        assert "did you mean 'apollo'?" in (error.hint or "")
        assert not file_of("apolo").exists()


def test_edit_leaves_a_file_that_is_not_valid_as_it_is() -> None:
    text = 'role = "judge"\nmax_tokens = "many"\n'
    file = write("zeus", text)
    error = failed(app, "edit", "zeus", "--role", "king")
    assert isinstance(error, ConfigError)
    assert error.message == f"{file}, line 2: max_tokens must be a whole number, not a string"
    assert error.hint == "`tekton ci edit zeus` opens it"
    assert file.read_text() == text


def test_edit_in_an_editor_begins_with_what_is_built_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDITOR", script(tmp_path / "editor", f'cp "$file" {tmp_path}/seen.toml'))
    ran = done(app, "edit", "apollo")
    assert read_persona(tmp_path / "seen.toml", Persona()) == BUILT_IN
    assert "nothing was changed" in ran.err
    assert not file_of("apollo").exists()


def test_edit_in_an_editor_writes_what_is_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDITOR", script(tmp_path / "editor", """echo 'role = "x"' > "$file" """))
    done(app, "edit", "apollo")
    assert file_of("apollo").read_text() == 'role = "x"\n'


def test_edit_in_an_editor_takes_nothing_that_is_not_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDITOR", script(tmp_path / "editor", """echo 'rule = "x"' >> "$file" """))
    file = write("zeus", 'model = "a/b"\n')
    error = failed(app, "edit", "zeus")
    assert isinstance(error, ConfigError)
    assert "line 2: rule is not a setting; did you mean 'role'?" in error.message
    assert file.read_text() == 'model = "a/b"\n'


def test_a_file_that_is_not_valid_can_be_mended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDITOR", script(tmp_path / "editor", """echo 'role = "x"' > "$file" """))
    write("zeus", "role = ")
    done(app, "edit", "zeus")
    assert personas()["zeus"].role == "x"


def test_another_file_that_is_not_valid_is_told() -> None:
    write("hera", "role = 3")
    ran = done(app, "add", "zeus")
    assert "hera.toml, line 1" in ran.err
    assert file_of("zeus").exists()


# -- show and list ---------------------------------------------------------------------------


def test_show_is_a_file_of_the_same_persona() -> None:
    write("apollo", 'model = "echo/echo"\ntemperature = 1.0')
    out = done(app, "show", "apollo").out
    assert out.startswith(f"# apollo: changed, {file_of('apollo')}\n")
    again = read_persona(write("again", out), Persona())
    assert again == personas()["apollo"]


def test_show_json_has_every_field() -> None:
    shown = json.loads(done(app, "show", "apollo", "--json").out)
    assert shown["name"] == "apollo"
    assert shown["origin"] == "built-in"
    assert shown["file"] is None
    assert shown["system"] == BUILT_IN.system
    assert shown["model"] is None


def test_show_prints_no_escape_sequence() -> None:
    write("zeus", 'system = "a\\u001b]52;c;x\\u0007\\u202e"')
    assert done(app, "show", "zeus").out.replace("\n", "").isprintable()


def test_show_knows_only_what_is_there() -> None:
    assert isinstance(failed(app, "show", "nobody"), NotFound)
    assert isinstance(failed(app, "show", "../../etc/passwd"), UsageError)


def test_list_tells_where_each_comes_from() -> None:
    write("zeus", "")
    write("hera", "role = 3")
    write("athena", 'role = "x"')
    write("Not-a-name", "")
    done(app, "remove", "sophia")
    ran = done(app, "list", "--json")
    origins = {entry["name"]: entry["origin"] for entry in json.loads(ran.out)}
    expected = {
        "zeus": "own", "hera": "broken", "athena": "changed", "sophia": "removed",
        "apollo": "built-in",
    }  # fmt: skip
    assert {name: origins[name] for name in expected} == expected
    assert "Not-a-name" not in origins
    assert "Not-a-name" in ran.err
    assert origins["numa"] == "monitor"
    assert "athena  " in done(app, "list").out


# -- remove ----------------------------------------------------------------------------------


def test_remove_deletes_a_ci_of_the_users_own() -> None:
    write("zeus", "role = ")  # even one that is not valid
    done(app, "remove", "zeus")
    assert not file_of("zeus").exists()
    assert isinstance(failed(app, "remove", "zeus"), NotFound)


def test_what_cannot_be_removed_is_told() -> None:
    file_of("zeus").mkdir(parents=True)
    assert isinstance(failed(app, "remove", "zeus"), StorageError)


def test_remove_switches_off_what_is_built_in_until_it_is_enabled() -> None:
    write("apollo", 'role = "seer" # mine\n')
    done(app, "remove", "apollo")
    assert "apollo" not in personas()
    error = failed(app, "remove", "apollo")
    assert isinstance(error, NotFound)
    assert "--enable" in (error.hint or "")
    done(app, "edit", "apollo", "--enable")
    assert personas()["apollo"].role == "seer"
    assert file_of("apollo").read_text() == 'role = "seer" # mine\n'


def test_nothing_is_left_of_a_removal_that_was_taken_back() -> None:
    done(app, "remove", "apollo")
    done(app, "edit", "apollo", "--enable")
    assert not file_of("apollo").exists()
    assert personas()["apollo"] == BUILT_IN


# -- reset -----------------------------------------------------------------------------------


def test_reset_goes_back_to_what_is_built_in() -> None:
    for text in ('role = "seer"', "role = ", "is_enabled = false"):
        write("apollo", text)
        done(app, "reset", "Apollo")
        assert personas()["apollo"] == BUILT_IN
        assert not file_of("apollo").exists()
    assert "apollo is as it was" in done(app, "reset", "apollo").err


def test_a_ci_of_the_users_own_has_nothing_to_go_back_to() -> None:
    write("zeus", "")
    error = failed(app, "reset", "zeus")
    assert isinstance(error, UsageError)
    assert error.hint == "`tekton ci remove zeus` removes it"
    assert file_of("zeus").exists()
    assert isinstance(failed(app, "reset", "nobody"), NotFound)


# -- a running hub ---------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TektonProcess]:
    with TektonProcess() as process:
        monkeypatch.setenv("TEKTON_HOME", str(process.home))
        process.start()
        yield process


def listed() -> dict[str, ServiceInfo]:
    with BlockingTekton(is_local=True) as tekton:
        entries = tekton.call(ListAll()).entries
    return {entry.name: entry for entry in entries if entry.is_ci}


def test_a_running_hub_takes_up_what_changes(hub: TektonProcess) -> None:
    ran = done(app, "add", "zeus", "--model", "echo/echo", "--role", "judge")
    assert ran.err == "zeus is up with model echo/echo\n"
    assert listed()["zeus"].health is Health.ALIVE

    ran = done(app, "edit", "zeus", "--role", "king")
    assert ran.err == "zeus is up with model echo/echo\n"
    assert listed()["zeus"].role == "king"

    ran = done(app, "edit", "zeus", "--role", "king")
    assert ran.err == "zeus is as it was\n"

    ran = done(app, "edit", "zeus", "--model", "nowhere")
    assert ran.err.startswith("zeus is up without a model: no provider has a model named 'nowhere'")

    ran = done(app, "remove", "zeus")
    assert ran.err == "zeus is gone\n"
    assert "zeus" not in listed()


def test_a_hub_that_does_not_take_it_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persona_file, "_WAIT_S", 0.1)
    paths = find_paths()
    private_folder(paths.runtime)
    with hub_lock(paths):
        assert "has not taken it up within 0.1 s" in done(app, "add", "zeus").err


@pytest.mark.parametrize(
    "words", [[], ["add"], ["edit"], ["show"], ["list"], ["remove"], ["reset"]]
)
def test_help_opens_with_an_example(words: list[str]) -> None:
    first = run(app, *words, "--help").out.strip().splitlines()[2].strip()
    assert first.startswith("tekton ci")
