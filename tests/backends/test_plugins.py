"""Plug-ins are found by entry point, and told by name where they cannot be loaded."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import plugins
from backends.errors import ConfigError, TektonError
from backends.plugins import load_plugin, plugin_names

GROUP = "tekton.providers"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a third party's package were installed."""
    points = [
        importlib.metadata.EntryPoint("good", "backends.errors:TektonError", GROUP),
        importlib.metadata.EntryPoint("no-module", "backends.nowhere:Thing", GROUP),
        importlib.metadata.EntryPoint("no-name", "backends.errors:Nothing", GROUP),
    ]
    plugins._points.cache_clear()
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [point for point in points if point.group == group],
    )
    yield
    plugins._points.cache_clear()


@pytest.mark.usefixtures("installed")
def test_a_plug_in_is_found_by_its_name() -> None:
    assert plugin_names(GROUP) == ["good", "no-module", "no-name"]
    assert load_plugin(GROUP, "good") is TektonError


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-module", r"plug-in 'no-module' \(backends\.nowhere:Thing\) cannot be loaded: No mod"),
        ("no-name", r"plug-in 'no-name' \(backends\.errors:Nothing\) cannot be loaded: .*Nothing"),
        ("missing", r"no plug-in 'missing' in tekton\.providers"),
    ],
)
def test_a_plug_in_that_cannot_be_loaded_is_named(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_plugin(GROUP, name)


@pytest.mark.usefixtures("installed")
def test_the_hint_lists_what_is_there() -> None:
    with pytest.raises(ConfigError) as raised:
        load_plugin(GROUP, "missing")
    assert raised.value.hint == "installed are: good, no-module, no-name"
    with pytest.raises(ConfigError) as raised:
        load_plugin("tekton.nothing", "missing")
    assert raised.value.hint == "installed are: none"


def test_a_plug_in_that_breaks_when_it_is_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a_broken_plug_in.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("broken", "a_broken_plug_in:Thing", GROUP)
    monkeypatch.setattr(plugins, "_points", lambda group: {"broken": point})
    with pytest.raises(ConfigError, match=r"'broken' .* cannot be loaded: division by zero"):
        load_plugin(GROUP, "broken")
