"""The code that the how-to pages show: packages installed offline and used, programs run."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, files
from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess

PROVIDER = DOCS / "how-to" / "your-own-provider.md"
SCRIPTS = DOCS / "how-to" / "scripts.md"
SERVICE = DOCS / "how-to" / "your-own-service.md"


def install(page: Path, folder: Path) -> dict[str, str]:
    """Put a page's package where Python finds it, with what an installer notes of it.

    Returns:
        The variables of the environment with which it is found.
    """
    made = files(page)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    project = tomllib.loads(made["pyproject.toml"])["project"]
    notes = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    notes.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (notes / "METADATA").write_text(metadata, encoding="utf-8")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (notes / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("page", "name"), [(PROVIDER, "tekton_shout.py"), (SERVICE, "tekton_oracle.py")]
)
def test_the_code_is_short(page: Path, name: str) -> None:
    lines = [line for line in files(page)[name].splitlines() if line.strip()]
    assert len(lines) <= 25


def test_the_provider_answers_for_every_ci(tmp_path: Path) -> None:
    variables = install(PROVIDER, tmp_path)
    config = files(PROVIDER)["config.toml"]
    with TektonProcess(config, variables=variables) as tekton:
        tekton.start()
        ran = tekton.aish("apollo", "-m", "shout", "hello there")
        assert (ran.status, ran.out, ran.err) == (0, b"HELLO THERE !!\n", "")
        told = tekton.aish("apollo", "-m", "shout", "--json", "hello there").json
        assert told["model"] == "shout/loud"
        assert told["usage"] == {"output_tokens": 2}
        refused = tekton.aish("apollo", "-m", "shout", input=b" \n")
        assert refused.status == 6
        assert refused.err == "error: there is nothing to shout\nhint: give it a word\n"
        assert "shout " in tekton.tekton("doctor").text
        tekton.stop()


def test_the_service_answers_in_the_hub(tmp_path: Path) -> None:
    with TektonProcess(variables=install(SERVICE, tmp_path)) as tekton:
        tekton.start()
        ran = tekton.run([sys.executable, str(tmp_path / "roll.py")])
        assert (ran.status, ran.err) == (0, "")
        *throws, total = [line.split() for line in ran.text.splitlines()]
        assert [word for word, _ in throws] == ["threw"] * 3
        assert total == ["total", str(sum(int(points) for _, points in throws))]
        assert "Rolls dice." in str(tekton.tekton("status", "--json").json["services"])
        tekton.stop()


def test_the_service_answers_alone(tmp_path: Path) -> None:
    with TektonProcess(variables=install(SERVICE, tmp_path)) as tekton:
        tekton.start("--only", "dice")
        ran = tekton.run([sys.executable, str(tmp_path / "roll.py")])
        assert (ran.status, ran.err) == (0, "")
        assert ran.text.count("threw") == 3
        assert tekton.hub
        tekton.hub.terminate()
        assert tekton.hub.wait(PATIENCE_S) == 0
        tekton.hub = None  # what runs alone leaves its record, to say when it ended


def test_a_program_is_a_ci(tmp_path: Path) -> None:
    with TektonProcess(variables=install(SERVICE, tmp_path)) as tekton:
        tekton.start()
        ran = tekton.aish("oracle", "shall we?")
        assert (ran.status, ran.out, ran.err) == (0, b"yes\n", "")
        assert tekton.wait_turn("shall we?", "complete")["model"] == "oracle/letters"
        tekton.stop()


def test_the_program_prompts_a_ci(tmp_path: Path) -> None:
    file = tmp_path / "ask.py"
    file.write_text(files(SCRIPTS)["ask.py"], encoding="utf-8")
    with TektonProcess() as tekton:
        tekton.start()
        ran = tekton.run([sys.executable, str(file)])
        assert (ran.status, ran.out, ran.err) == (0, b"hello\necho/echo\n", "")
        tekton.stop()
