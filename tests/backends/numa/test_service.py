"""Numa: a CI that answers from live facts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backends.errors import CannotConnect
from backends.numa.service import MODEL, Numa
from backends.protocol.messages import (
    Answer,
    Chat,
    Directory,
    Info,
    ListAll,
    Measure,
    Piece,
    Request,
    ServiceInfo,
)
from tests.backends.services import StageContext, client_of
from tests.backends.stage import run


async def one_ci(request: Request[Any]) -> Any:
    if isinstance(request, ListAll):
        return Directory(entries=(ServiceInfo(name="apollo", is_ci=True),))
    return None


async def ask(numa: Numa, prompt: str) -> tuple[str, Answer]:
    text = ""
    async with client_of(numa) as client:
        async for item in client.stream(Chat(prompt=prompt)):
            if isinstance(item, Piece):
                text += item.text
            else:
                answer = item
    return text, answer


def test_numa_answers_from_the_directory_and_the_machine(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext()
        context.answer = one_ci
        text, answer = await ask(Numa(context), "which cis are there, and how is the memory?")
        assert text.startswith("**CIs**: 1 of 1 alive\n\n**Memory**: ")
        assert (answer.ci, answer.model, answer.finish_reason) == ("numa", MODEL, "stop")

    run(work())


def test_without_a_directory_numa_says_so_and_tells_the_rest(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext()

        async def fail(request: Request[Any]) -> Any:
            if isinstance(request, ListAll):
                raise CannotConnect("hermes is gone")

        context.answer = fail
        text, _ = await ask(Numa(context), "disk")
        assert text.startswith("The directory does not answer: hermes is gone\n\n**Disk**: ")

    run(work())


def test_the_facts_are_those_of_this_machine(tekton_home: Path) -> None:
    async def work() -> None:
        async with client_of(Numa(StageContext())) as client:
            facts = await client.call(Measure())
        disk = os.statvfs(tekton_home)
        assert facts.disk_total == disk.f_blocks * disk.f_frsize
        assert 0 < facts.disk_free <= facts.disk_total
        assert 0 < facts.memory_available <= facts.memory_total
        assert 0 < facts.hub_memory < facts.memory_total
        assert facts.cpus == os.cpu_count()
        assert len(facts.load) == 3
        assert facts.hub_cpu_share >= 0
        assert 0 <= facts.uptime_s < 60

    run(work())


def test_the_disk_is_found_before_the_folder_is_made(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext()
        assert not context.paths.state.exists()
        async with client_of(Numa(context)) as client:
            assert (await client.call(Measure())).disk_total > 0

    run(work())


def test_numa_describes_itself_as_a_ci_and_a_service(tekton_home: Path) -> None:
    async def work() -> None:
        async with client_of(Numa(StageContext())) as client:
            found = await client.call(Info())
        assert (found.name, found.is_ci, found.is_service) == ("numa", True, True)
        assert (found.model, found.role, found.kind) == (MODEL, "resource monitor", "monitor")
        assert found.note == "answers from live facts; needs no model"

    run(work())


@pytest.mark.parametrize("prompt", ["", "x" * 100_000])
def test_any_prompt_is_answered(tekton_home: Path, prompt: str) -> None:
    async def work() -> None:
        context = StageContext()
        context.answer = one_ci
        text, _ = await ask(Numa(context), prompt)
        assert text.count("**") == 14

    run(work())
