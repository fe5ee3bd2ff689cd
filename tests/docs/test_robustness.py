"""The table of robustness names the tests that hold it."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "reference" / "robustness.md"
TESTS = ROOT / "tests" / "scenarios" / "test_robustness_table.py"


def test_each_row_has_its_test_and_each_test_its_row() -> None:
    named = re.findall(r"^\| (\d) \|.*`(test_\w+)` \|$", PAGE.read_text(), re.MULTILINE)
    tests = [
        one.name
        for one in ast.parse(TESTS.read_text(encoding="utf-8")).body
        if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
    ]
    assert [name for _, name in named] == tests
    assert [number for number, _ in named] == [str(number) for number in range(1, 9)]
