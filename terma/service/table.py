"""The table of terminals: everyone that is not closed, by id."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from backends.errors import TektonError, UsageError
from backends.protocol.terminals import TerminalState
from backends.runtime import MAX_NAME
from terma.service.directory import NameOfClosed, find_terminal
from terma.service.terminal import Terminal


class Table:
    """Every terminal that is not closed."""

    def __init__(self) -> None:
        self._all: dict[str, Terminal] = {}
        self.opening: set[str] = set()
        """Names of terminals that are about to be here."""
        self.name_of_closed: NameOfClosed = lambda word: None

    def __iter__(self) -> Iterator[Terminal]:
        return iter(sorted(self._all.values(), key=lambda one: one.name))

    def find(self, word: str) -> Terminal:
        """Return the terminal of a name or an id.

        Raises:
            NotFound: There is none.
        """
        return find_terminal(self._all.values(), word, self.name_of_closed)

    def get(self, id_: str) -> Terminal | None:
        """Return the terminal of an id."""
        return self._all.get(id_)

    def running(self, word: str) -> Terminal:
        """Return the terminal of a name or an id in which something runs.

        Raises:
            NotFound: There is none.
            TektonError: Nothing runs in it.
        """
        terminal = self.find(word)
        if not terminal.is_running:
            seen = terminal.activity.now
            detail = f" ({seen.detail})" if seen.detail else ""
            verb = "has" if seen.state is TerminalState.EXITED else "is"
            raise TektonError(
                f"nothing runs in {terminal.name}: it {verb} {seen.state.value}{detail}",
                f"`terma restore {terminal.name}` runs it anew; `terma close {terminal.name}` "
                "frees its name",
            )
        return terminal

    def add(self, terminal: Terminal) -> Terminal:
        """Put a terminal into the table."""
        self._all[terminal.id] = terminal
        return terminal

    def remove(self, terminal: Terminal) -> None:
        """Take a terminal out, if it is in."""
        self._all.pop(terminal.id, None)

    def name_like(self, name: str) -> str:
        """Return a name, or one that begins like it and that no terminal has."""
        taken = {one.name for one in self._all.values()} | self.opening
        begin = name[: MAX_NAME - 4].rstrip("-")
        others = (f"{begin}-{number}" for number in itertools.count(2))
        return next(one for one in itertools.chain((name,), others) if one not in taken)

    def free(self, name: str) -> str:
        """Return a name if no terminal has it, or is about to.

        Raises:
            UsageError: Somebody has it.
        """
        taken = next((one for one in self._all.values() if one.name == name), None)
        if taken is not None or name in self.opening:
            is_over = taken is not None and not taken.is_running
            hint = f"`terma attach {name}` shows it; `terma close {name}` frees the name"
            if is_over:
                hint = f"`terma restore {name}` runs it anew; `terma close {name}` frees the name"
            raise UsageError(f"there is a terminal named {name!r}", hint)
        return name
