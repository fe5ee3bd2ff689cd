"""Every page can be reached, every link leads somewhere, every generated part is current."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, all_pages, anchors, blocks, links, name_of, prose

PAGES = all_pages()
SCRIPTS = list(itertools.product(("aish", "tekton", "terma"), ("bash", "zsh", "fish")))
GENERATOR = [sys.executable, str(DOCS / "generate.py")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_index_leads_to_every_page() -> None:
    index = DOCS / "index.md"
    found = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert not [name_of(page) for page in PAGES if page not in found | {index}]


def test_the_readme_leads_to_the_index() -> None:
    assert "docs/index.md" in set(links(ROOT / "README.md"))


def test_ci_is_spelled_out_where_it_is_used() -> None:
    """Once on each page for users."""
    known_elsewhere = {"CONTRIBUTING.md", "docs/explanation/performance.md"}
    texts = {name_of(page): " ".join(prose(page).split()) for page in PAGES}
    using = {name for name, text in texts.items() if re.search(r"\bCIs?\b", text)}
    telling = {name for name, text in texts.items() if "Companion Intelligence" in text}
    assert using - telling <= known_elsewhere


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_that_are_shown_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "toml":
            tomllib.loads(block.text)


@pytest.mark.parametrize("picture", sorted(DOCS.rglob("*.svg")), ids=name_of)
def test_a_picture_has_a_title_and_no_background(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title") is not None
    width, height = root.attrib["viewBox"].split()[2:]
    for shape in root.iter(f"{space}rect"):
        size = shape.attrib["width"], shape.attrib["height"]
        assert size not in ((width, height), ("100%", "100%"))


def test_what_is_generated_is_current() -> None:
    ran = subprocess.run([*GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_page_that_is_not_current_is_named_and_written_anew(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copytree(ROOT / "aish" / "completions", tmp_path / "aish" / "completions")
    shutil.copy(ROOT / "README.md", tmp_path)
    page = tmp_path / "docs" / "reference" / "errors.md"
    current = page.read_text(encoding="utf-8")
    page.write_text(current.replace("`no_model`", "`no_modell`"), encoding="utf-8")
    generator = [sys.executable, str(tmp_path / "docs" / "generate.py")]
    ran = subprocess.run([*generator, "--check"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "docs/reference/errors.md: is not current; run `make docs`\n"
    subprocess.run(generator, capture_output=True, check=True)
    assert page.read_text(encoding="utf-8") == current


def test_a_script_that_is_not_there_is_named_and_written(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "README.md", tmp_path)
    generator = [sys.executable, str(tmp_path / "docs" / "generate.py")]
    ran = subprocess.run(generator, capture_output=True, text=True, check=False)
    written = {f"aish/completions/{name}.{shell}: written" for name, shell in SCRIPTS}
    assert set(ran.stderr.splitlines()) == written
    for name, shell in SCRIPTS:
        script = Path("aish") / "completions" / f"{name}.{shell}"
        assert (tmp_path / script).read_bytes() == (ROOT / script).read_bytes()
