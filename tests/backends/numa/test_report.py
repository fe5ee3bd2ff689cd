"""What Numa says: the facts that a question names, in words."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.numa.report import report
from backends.protocol.messages import Directory, Facts, Health, ServiceInfo

FACTS = Facts(
    cpus=4,
    load=(0.5, 1.25, 2.0),
    memory_total=16_000_000_000,
    memory_available=4_500_000_000,
    disk_total=500_000_000_000,
    disk_free=125_000_000_000,
    hub_memory=61_400_000,
    hub_cpu_share=0.0123,
    uptime_s=60.0,
)
DIRECTORY = Directory(
    entries=(
        ServiceInfo(name="hermes", is_service=True),
        ServiceInfo(name="engram", is_service=True, health=Health.DEAD, reason="it was killed"),
        ServiceInfo(name="apollo", is_ci=True, model="ollama/phi4", answering=2),
        ServiceInfo(name="athena", is_ci=True, model="ollama/phi4", last_error="401"),
        ServiceInfo(name="numa", is_ci=True, is_service=True, model="numa/live-facts"),
        ServiceInfo(name="zeus", is_ci=True, health=Health.ENDED, reason="it was stopped"),
    )
)

SERVICES = "**Services**: 2 of 3 alive\n- engram is dead: it was killed"
CIS = "**CIs**: 3 of 4 alive\n- zeus is ended: it was stopped\n- answering now: apollo (2)"
MODELS = "**Models**:\n- ollama/phi4: apollo, athena\n- numa/live-facts: numa\n- no model: zeus"
LOAD = "**Load**: 0.5, 1.25, 2 (1, 5, 15 minutes) on 4 CPUs; the hub used 1.2% of one"
MEMORY = "**Memory**: 4.5 GB of 16.0 GB available; the hub holds 61.4 MB"
DISK = "**Disk**: 125.0 GB of 500.0 GB free (25%)"
ERRORS = "**Recent errors**:\n- athena: 401"
ALL = [SERVICES, CIS, MODELS, LOAD, MEMORY, DISK, ERRORS]


@pytest.mark.parametrize(
    ("question", "topics"),
    [
        ("", ALL),
        ("hello", ALL),
        ("which services are up?", [SERVICES]),
        ("who is busy?", [CIS, LOAD]),
        ("Memory?", [MEMORY]),
        ("RAM, disk.", [MEMORY, DISK]),
        ("any ERRORS or problems", [ERRORS]),
        ("what models do the CIs have", [CIS, MODELS]),
        ("is the cpu slow", [LOAD]),
        ("free space", [DISK]),
        ("memorable discs", ALL),
    ],
)
def test_a_question_gets_the_facts_that_it_names(question: str, topics: list[str]) -> None:
    assert report(question, FACTS, DIRECTORY) == "\n\n".join(topics)


def test_without_errors_there_are_none() -> None:
    assert report("errors", FACTS, Directory(entries=())) == "**Recent errors**: none"


def test_an_empty_directory_has_nobody() -> None:
    found = report("services cis models", FACTS, Directory(entries=()))
    assert found == "**Services**: 0 of 0 alive\n\n**CIs**: 0 of 0 alive\n\n**Models**:"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (1_000_000, "1.0 MB"),
        (2_340_000_000, "2.3 GB"),
        (5_100_000_000_000, "5.1 TB"),
        (7_000_000_000_000_000, "7000.0 TB"),
    ],
)
def test_a_size_is_told_in_its_unit(size: int, text: str) -> None:
    facts = dataclasses.replace(FACTS, memory_available=size)
    assert report("memory", facts, DIRECTORY).startswith(f"**Memory**: {text} of ")


def test_a_disk_without_a_size_is_no_division_by_zero() -> None:
    facts = dataclasses.replace(FACTS, disk_total=0, disk_free=0)
    assert report("disk", facts, DIRECTORY) == "**Disk**: 0 B of 0 B free (0%)"


@given(st.text())
def test_any_question_gets_facts(question: str) -> None:
    found = report(question, FACTS, DIRECTORY).split("\n\n")
    assert found
    assert [topic for topic in ALL if topic in found] == found
