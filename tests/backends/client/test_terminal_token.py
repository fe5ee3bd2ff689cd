"""The token of the terminal around a program: shown to terma, and to nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.client.blocking import BlockingTekton
from backends.client.tekton import Tekton
from backends.protocol.messages import Facts, Measure
from backends.protocol.terminals import Identity, WhoAmI
from backends.service.base import CALLER, Service, handles
from tests.backends.services import StageContext, elsewhere, running

FACTS = Facts(
    cpus=2, load=(0.0,), memory_total=1, memory_available=1, disk_total=1, disk_free=1,
    hub_memory=1, hub_cpu_share=0.0, uptime_s=1.0,
)  # fmt: skip


class Doorkeeper(Service):
    """Answers who asks with the token that it was shown."""

    name = "terma"

    @handles(WhoAmI)
    async def whoami(self, request: WhoAmI) -> Identity:
        caller = CALLER.get()
        assert caller is not None
        return Identity(name=caller.token or "nobody")


class Numa(Service):
    """Notes the tokens that it was shown: it should be none."""

    name = "numa"
    is_ci = True

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.seen: list[str | None] = []

    @handles(Measure)
    async def measure(self, request: Measure) -> Facts:
        caller = CALLER.get()
        assert caller is not None
        self.seen.append(caller.token)
        return FACTS


async def asked() -> str:
    async with Tekton() as tekton:
        first, second = await tekton.call(WhoAmI()), await tekton.call(WhoAmI())
        assert first == second
        return first.name


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "token"
    file.write_text("secret\n")
    monkeypatch.setenv("TERMA_TOKEN_FILE", str(file))
    return file


def names() -> list[str]:
    """Who each client says it is."""
    with elsewhere(lambda: running(StageContext(), Doorkeeper(StageContext()))):
        with BlockingTekton() as tekton:
            return [tekton.call(WhoAmI()).name, asyncio.run(asked())]


def test_it_is_shown_with_the_first_request(token_file: Path) -> None:
    assert names() == ["secret", "secret"]


def test_without_one_the_service_has_to_look_for_itself(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_file.write_bytes(b"\xff")
    assert names() == ["nobody", "nobody"]
    token_file.unlink()
    assert names() == ["nobody", "nobody"]
    monkeypatch.delenv("TERMA_TOKEN_FILE")
    assert names() == ["nobody", "nobody"]


def test_no_other_service_gets_it(token_file: Path) -> None:
    async def ask() -> None:
        async with Tekton() as tekton:
            assert await tekton.call(Measure()) == FACTS

    numa = Numa(StageContext())
    with elsewhere(lambda: running(StageContext(), numa)):
        asyncio.run(ask())
        with BlockingTekton() as tekton:
            assert tekton.call(Measure()) == FACTS
    assert numa.seen == [None, None]
