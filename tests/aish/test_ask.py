"""Whom a target means, and what becomes of the answers."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from aish import ask as asking
from aish.ask import Options, ask, die_of_interrupt, members
from backends.client.tekton import Tekton
from backends.errors import NotFound, TimedOut, UsageError
from backends.fast import silence_notice
from backends.protocol.messages import Chat, Directory, Health, ListAll, ServiceInfo
from tests.scenarios.replay import HANG_UP, ReplayedCI, Step, chunk, error, result


class Listing:
    """Stands where the directory answers; counts how often it is asked."""

    def __init__(self, *entries: ServiceInfo) -> None:
        self.entries = entries
        self.asked = 0

    async def call(self, request: ListAll) -> Directory:
        assert isinstance(request, ListAll)
        self.asked += 1
        return Directory(entries=self.entries)


@pytest.fixture
def listing() -> Listing:
    return Listing(
        ServiceInfo(name="rhetor", is_service=True),
        ServiceInfo(name="apollo", is_ci=True, role="vision"),
        ServiceInfo(name="hephaestus", is_ci=True, role="builder"),
        ServiceInfo(name="numa", is_ci=True, is_service=True, role="resource monitor"),
        ServiceInfo(name="ghost", is_ci=True, role="builder", health=Health.DEAD),
        ServiceInfo(name="retired", is_ci=True, role="builder", health=Health.ENDED),
    )


def meant(listing: Listing, target: str) -> list[str]:
    return asyncio.run(members(cast(Tekton, listing), target))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("apollo", ["apollo"]),
        ("Apollo-CI", ["apollo"]),
        ("apollo,athena", ["apollo", "athena"]),
        (" apollo , athena-ci,,apollo", ["apollo", "athena"]),
    ],
)
def test_names_mean_themselves_and_nobody_is_asked(
    listing: Listing, target: str, names: list[str]
) -> None:
    assert meant(listing, target) == names
    assert listing.asked == 0


@pytest.mark.parametrize("target", ["@all", "team-chat"])
def test_everyone_means_each_ci_but_those_that_were_stopped(listing: Listing, target: str) -> None:
    assert meant(listing, target) == ["apollo", "hephaestus", "numa", "ghost"]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("@vision", ["apollo"]),
        ("@Builder", ["hephaestus", "ghost"]),
        ("@resource-monitor", ["numa"]),
        ("@monitor", ["numa"]),
        ("@vision,@builder,athena,apollo", ["apollo", "hephaestus", "ghost", "athena"]),
    ],
)
def test_a_role_means_all_who_have_it(listing: Listing, target: str, names: list[str]) -> None:
    assert meant(listing, target) == names
    assert listing.asked == 1


def test_a_role_that_nobody_has_is_told_with_those_there_are(listing: Listing) -> None:
    with pytest.raises(NotFound, match="'juggler'") as caught:
        meant(listing, "@juggler")
    assert caught.value.hint == "there are: @all, @builder, @resource-monitor, @vision"


@pytest.mark.parametrize("target", ["", ",", " , "])
def test_a_target_that_names_nobody_is_refused(listing: Listing, target: str) -> None:
    with pytest.raises(UsageError):
        meant(listing, target)


# -- asking ----------------------------------------------------------------------------------

EXCHANGES: dict[str, list[Step]] = {
    "": [chunk("Hello "), chunk(notice="hm"), chunk("world"), result()],
    "fail": [chunk("so far"), error("model_failed", "it broke", "mend it")],
    "hang up": [chunk("so far"), HANG_UP],
    "silence": [chunk("so far")],
    "never": [],
}


@pytest.fixture
def cis(tekton_home: Path) -> Iterator[None]:
    """The CIs `one` and `two`, which replay the same exchanges."""
    with ReplayedCI(tekton_home, EXCHANGES, "one"), ReplayedCI(tekton_home, EXCHANGES, "two"):
        yield


def say(target: str, prompt: str = "hello", **options: Any) -> int:
    return asyncio.run(ask(target, Chat(prompt=prompt), Options(**options)))


def test_an_answer_is_printed_and_its_notice_told(
    cis: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert say("one") == 0
    assert capfd.readouterr() == ("Hello world\n", "notice: hm\n")


@pytest.mark.parametrize(
    ("prompt", "status", "err"),
    [
        ("fail", 6, "error: it broke\nhint: mend it\n"),
        ("hang up", 4, "error: the connection was lost before the answer was complete\n"),
        ("silence", 5, "error: one did not finish within 0.2 s\nhint: --timeout allows more\n"),
    ],
)
def test_a_failure_is_the_status(
    cis: None, capfd: pytest.CaptureFixture[str], prompt: str, status: int, err: str
) -> None:
    assert say("one", prompt, timeout_s=0.2) == status
    assert capfd.readouterr() == ("so far\n", err)


def test_an_answer_held_back_is_printed_once_it_is_complete(
    cis: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert say("one", streams=False, is_quiet=True) == 0
    assert capfd.readouterr() == ("Hello world\n", "")


def test_a_team_s_status_is_that_of_the_first_who_failed(
    cis: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert say("one,two") == 0
    assert say("one,nobody") == 3
    out, err = capfd.readouterr()
    assert out.count("Hello world") == 3
    assert "== nobody: failed ==" in out
    assert "error: nobody: " in err


def test_a_team_in_json_is_a_line_for_each(cis: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert say("one,two", is_json=True) == 0
    out, err = capfd.readouterr()
    assert {json.loads(line)["ci"] for line in out.splitlines()} == {"echo"}
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["Hello world"] * 2
    assert err == ""


def test_ctrl_c_is_left_alone_where_it_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        die_of_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        for usual in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signal.SIGINT, usual)
            die_of_interrupt()
            assert signal.getsignal(signal.SIGINT) not in (usual, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGINT, before)


# -- silence ---------------------------------------------------------------------------------


def test_silence_is_told_of_once(
    cis: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.02)
    assert say("one", "never", timeout_s=0.2) == 5
    told = f"{silence_notice('one')}\nerror: one did not finish"
    assert capfd.readouterr().err.startswith(told)
    assert say("one", "never", timeout_s=0.2, is_quiet=True) == 5
    assert capfd.readouterr().err.startswith("error: one did not finish")
    assert say("one,two", "never", timeout_s=0.2) == 5
    assert capfd.readouterr().err.startswith(f"{silence_notice('one, two')}\nerror: one: one did")


def test_an_answer_that_pauses_is_not_silent(
    cis: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.05)
    assert say("one", "silence", timeout_s=0.2) == 5
    assert capfd.readouterr().err.startswith("error: one did not finish")


def test_a_directory_that_is_silent_is_not_waited_for(
    tekton_home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.05)
    (tekton_home / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tekton_home / "run" / "hermes.sock"))
        server.listen()
        with pytest.raises(TimedOut, match=r"hermes does not answer within 0\.05 s"):
            say("@all")
