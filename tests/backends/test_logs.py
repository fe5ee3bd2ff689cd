"""The log: where it goes, what it leaves out, and that it does not grow without end."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.logs import LEVELS, configure_logs


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Give back what every other test has."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    known = {
        logger: logger.level
        for logger in root.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
    }
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.setLevel(known.get(logger, logging.NOTSET))


def test_a_line_has_time_level_and_component(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "hub.log"
    configure_logs(file, "info", 1000)
    logging.getLogger("backends.rhetor.service").info("hello %s", "world")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} INFO    backends\.rhetor\.service: hello world\n",
        file.read_text(),
    )
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_leaves_out_what_is_below_it(tmp_path: Path, level: str) -> None:
    file = tmp_path / "hub.log"
    configure_logs(file, level, 0)
    for name, number in LEVELS.items():
        logging.getLogger("backends.x").log(number, "%s", name)
    found = [line.rsplit(" ", 1)[1] for line in file.read_text().splitlines()]
    assert found == list(LEVELS)[list(LEVELS).index(level) :]


def test_single_components_say_more(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    configure_logs(file, "warning", 0, debug=" rhetor, terma ,")
    for name in ("backends.rhetor.service", "backends.hermes.service", "terma.ptyhost"):
        logging.getLogger(name).debug("from %s", name)
    found = file.read_text()
    assert "from backends.rhetor" in found
    assert "from terma" in found
    assert "from backends.hermes" not in found


def test_all_means_every_component_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    configure_logs(file, "warning", 0, debug="all")
    logging.getLogger("backends.hermes.service").debug("ours")
    logging.getLogger("somebody.else").debug("theirs")
    assert "ours" in file.read_text()
    assert "theirs" not in file.read_text()


def test_a_vendor_never_logs_whole_requests(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    configure_logs(file, "debug", 0, debug="all")
    for vendor in ("httpx", "httpcore", "anthropic", "websockets"):
        logging.getLogger(f"{vendor}.inner").debug("x-api-key: secret")
        logging.getLogger(vendor).info("x-api-key: secret")
    assert file.read_text() == ""


def test_the_file_is_rotated_once(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    configure_logs(file, "info", 2000)
    for number in range(200):
        logging.getLogger("backends.x").info("line %d", number)
    assert {found.name for found in tmp_path.iterdir()} == {"hub.log", "hub.log.1"}
    assert sum(found.stat().st_size for found in tmp_path.iterdir()) <= 4000
    assert file.read_text().endswith("line 199\n")


def test_without_a_file_the_log_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(None, "info", 0)
    logging.getLogger("backends.x").warning("hello")
    captured = capsys.readouterr()
    assert captured.err.endswith("WARNING backends.x: hello\n")
    assert captured.out == ""
