"""Facts in words: what Numa says."""

from __future__ import annotations

from collections.abc import Callable

from backends.protocol.messages import Directory, Facts, Health, ServiceInfo


def report(question: str, facts: Facts, directory: Directory) -> str:
    """Tell the facts that the question asks for; all of them where it names none.

    Returns:
        Markdown, one `**Name**: …` paragraph or list for each topic.
    """
    asked = set(question.lower().replace("?", " ").replace(",", " ").replace(".", " ").split())
    topics = [topic for topic in _TOPICS if topic.words & asked] or _TOPICS
    return "\n\n".join(topic.tell(facts, directory) for topic in topics)


class _Topic:
    def __init__(self, words: str, tell: Callable[[Facts, Directory], str]) -> None:
        self.words = set(words.split())
        self.tell = tell


def _services(facts: Facts, directory: Directory) -> str:
    return _named("Services", [entry for entry in directory.entries if entry.is_service])


def _cis(facts: Facts, directory: Directory) -> str:
    return _named("CIs", [entry for entry in directory.entries if entry.is_ci])


def _named(title: str, entries: list[ServiceInfo]) -> str:
    alive = [entry for entry in entries if entry.health is Health.ALIVE]
    busy = [f"{entry.name} ({entry.answering})" for entry in alive if entry.answering]
    lines = [f"**{title}**: {len(alive)} of {len(entries)} alive"]
    lines += [
        f"- {entry.name} is {entry.health.value}: {entry.reason}"
        for entry in entries
        if entry not in alive
    ]
    if busy:
        lines.append(f"- answering now: {', '.join(busy)}")
    return "\n".join(lines)


def _models(facts: Facts, directory: Directory) -> str:
    behind: dict[str, list[str]] = {}
    for entry in directory.entries:
        if entry.is_ci:
            behind.setdefault(entry.model or "no model", []).append(entry.name)
    lines = [f"- {model}: {', '.join(names)}" for model, names in behind.items()]
    return "\n".join(["**Models**:", *lines])


def _load(facts: Facts, directory: Directory) -> str:
    load = ", ".join(f"{value:g}" for value in facts.load)
    share = f"the hub used {facts.hub_cpu_share:.1%} of one"
    return f"**Load**: {load} (1, 5, 15 minutes) on {facts.cpus} CPUs; {share}"


def _memory(facts: Facts, directory: Directory) -> str:
    free = _size(facts.memory_available)
    held = f"the hub holds {_size(facts.hub_memory)}"
    return f"**Memory**: {free} of {_size(facts.memory_total)} available; {held}"


def _disk(facts: Facts, directory: Directory) -> str:
    share = facts.disk_free / max(facts.disk_total, 1)  # some file systems tell no size
    return f"**Disk**: {_size(facts.disk_free)} of {_size(facts.disk_total)} free ({share:.0%})"


def _errors(facts: Facts, directory: Directory) -> str:
    lines = [
        f"- {entry.name}: {entry.last_error}" for entry in directory.entries if entry.last_error
    ]
    return "\n".join(["**Recent errors**:", *lines]) if lines else "**Recent errors**: none"


_TOPICS = [
    _Topic("services service running status up", _services),
    _Topic("cis ci who team alive busy answering", _cis),
    _Topic("models model llm", _models),
    _Topic("load cpu cpus busy processor slow", _load),
    _Topic("memory ram rss", _memory),
    _Topic("disk space storage", _disk),
    _Topic("errors error failed failures wrong problem problems", _errors),
]


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
