"""The CIs as data: the built-in ones, the user's own, and the names they may have."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from backends.errors import ConfigError, UsageError
from backends.personas import Persona, built_in_personas, check_name, load_personas, read_persona
from backends.runtime import MAX_NAME, RESERVED

BUILT_IN = {
    "apollo", "athena", "dionysus", "hephaestus", "rhetor", "prometheus", "sophia", "synthesis",
    "ergon", "mirror",
}  # fmt: skip


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def test_the_built_in_personas_are_complete() -> None:
    personas = built_in_personas()
    assert set(personas) == BUILT_IN
    for name, persona in personas.items():
        assert check_name(name) == name
        assert persona.role
        assert persona.description
        assert persona.is_enabled
    assert personas["mirror"].model == "echo/echo"
    assert all(persona.model is None for name, persona in personas.items() if name != "mirror")


def test_without_a_folder_there_are_the_built_in_ones(tmp_path: Path) -> None:
    assert load_personas(tmp_path / "missing") == built_in_personas()


def test_a_file_adds_a_ci(tmp_path: Path) -> None:
    write(tmp_path, "zeus", 'role = "king"\ntemperature = 1\ncapabilities = ["thunder"]\n')
    zeus = load_personas(tmp_path)["zeus"]
    assert zeus == Persona(role="king", temperature=1.0, capabilities=("thunder",))


def test_a_file_with_a_built_in_name_changes_only_what_it_sets(tmp_path: Path) -> None:
    write(tmp_path, "apollo", 'model = "ollama/phi"\nsystem = ""\n')
    before, after = built_in_personas()["apollo"], load_personas(tmp_path)["apollo"]
    assert (after.model, after.system) == ("ollama/phi", "")
    assert (after.role, after.capabilities) == (before.role, before.capabilities)
    assert read_persona(tmp_path / "apollo.toml", Persona()).role == ""


def test_a_file_switches_a_ci_off(tmp_path: Path) -> None:
    write(tmp_path, "apollo", "is_enabled = false")
    assert set(load_personas(tmp_path)) == BUILT_IN - {"apollo"}


def test_other_files_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path, "README", "")
    (tmp_path / "README.toml").rename(tmp_path / "README.txt")
    (tmp_path / ".apollo.toml.swp").touch()
    assert set(load_personas(tmp_path)) == BUILT_IN


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("zeus", "role = 5", r"zeus\.toml, line 1: role must be a string, not a whole number"),
        ("zeus", "\nrule = 'a'", r"zeus\.toml, line 2: rule is not a setting; did you mean 'role'"),
        ("zeus", "role =", r"zeus\.toml, line 1, "),
        ("Zeus", "", r"Zeus\.toml: 'Zeus' cannot be the name of a CI"),
        ("list", "", r"list\.toml: 'list' cannot be the name of a CI: it is a word"),
        ("zeus", "\ntemperature = 9", r"line 2: temperature must be from 0 to 2, not 9"),
        ("zeus", "temperature = -1", r"temperature must be from 0 to 2"),
        ("zeus", "max_tokens = 0", r"line 1: max_tokens must be more than 0, not 0"),
        ("zeus", "max_prompt_bytes = -1", r"max_prompt_bytes must be more than 0, not -1"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    write(tmp_path, name, text)
    with pytest.raises(ConfigError, match=reason):
        load_personas(tmp_path)


def test_a_file_that_cannot_be_used_keeps_nobody_else_away(tmp_path: Path) -> None:
    write(tmp_path, "zeus", "role = 5")
    write(tmp_path, "apollo", "rule = 5")
    write(tmp_path, "all", "")
    write(tmp_path, "hera", 'role = "queen"')
    told: dict[str, str] = {}
    found = load_personas(tmp_path, lambda name, error: told.update({name: error.message}))
    assert set(found) == {*BUILT_IN, "hera"} - {"apollo"}, "half a persona is none"
    assert set(told) == {"all", "apollo", "zeus"}
    assert "zeus.toml, line 1" in told["zeus"]


@pytest.mark.parametrize("name", ["a", "apollo", "my-ci-2", "x9", "a--b", "n" * MAX_NAME, "ci"])
def test_a_slug_can_be_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "-", "9a", "-a", "a-", "A", "aB", "a b", "a_b", "a.b", "a/b", "../a", "ü", "aü"),
        *("a\n", "a\0", "²", "n" * (MAX_NAME + 1), "a" * 10_000, "@all"),
    ],
)  # fmt: skip
def test_what_is_no_slug_cannot_be_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a CI"):
        check_name(name)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_word_of_aish_cannot_be_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="it is a word of Tekton's own"):
        check_name(name)


def test_numa_is_no_persona(tmp_path: Path) -> None:
    write(tmp_path, "numa", 'role = "other"')
    with pytest.raises(ConfigError, match=r"numa\.toml: numa is a CI of its own"):
        load_personas(tmp_path)


@pytest.mark.parametrize("name", ["hermes", "engram", "specialists"])
def test_a_service_is_no_persona(name: str) -> None:
    with pytest.raises(UsageError, match="it is a service"):
        check_name(name)


def test_the_other_way_to_write_a_name_is_not_another_name() -> None:
    with pytest.raises(UsageError) as raised:
        check_name("apollo-ci")
    assert raised.value.hint == "call it 'apollo'"


def test_a_file_that_comes_and_goes_while_it_is_read_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "zeus.toml"
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            file.write_text('role = "judge"\n')
            file.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(500):
            load_personas(tmp_path, lambda name, error: None)  # raises nothing
    finally:
        over.set()
        thread.join()
