"""What is seen of terminals while they run, and told to the bus."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from backends.service.base import Context
from terma.service.marks import Mark, MarkKind
from terma.service.screens import Screens
from terma.service.state import (
    QUIET_S,
    Activity,
    after_mark,
    after_output,
    after_person,
    after_quiet,
)
from terma.service.table import Table
from terma.service.terminal import Terminal

log = logging.getLogger(__name__)

_TELL_OUTPUT_EVERY_S = 1.0


class Observer:
    """Keeps the terminals of a table up to date with what is seen of them."""

    def __init__(self, context: Context, table: Table, screens: Screens) -> None:
        self._context = context
        self._table = table
        self._screens = screens
        self.is_stopping = False
        self.on_question: Callable[[Terminal, int, int], None] = lambda terminal, begin, end: None
        """Told of the offsets between which a program asks something that no window answers."""

    def publish(self, terminal: Terminal, word: str, **data: object) -> None:
        """Tell the bus of a terminal."""
        self._context.publish(f"terminal.{terminal.name}.{word}", **data)

    def attended(self, terminal: Terminal) -> None:
        """Note that a person types or looks: it waits for nobody any more."""
        if terminal.activity.wants:
            self._set(terminal, after_person(terminal.activity))

    def attachment_changed(self, terminal: Terminal, word: str) -> None:
        """Tell that somebody has attached, or let go."""
        if terminal.last_typist not in terminal.attachments:
            typing = [id_ for id_, one in terminal.attachments.items() if not one.is_read_only]
            terminal.last_typist = typing[-1] if typing else None
        self.publish(terminal, word, attached=len(terminal.attachments))

    # -- what ptyhost and the screens tell ---------------------------------------------------

    def on_output(self, id_: str, offset: int, data: bytes) -> None:
        """Take the next output of a terminal: this is called for every byte there is."""
        terminal = self._table.get(id_)
        if terminal is None:
            return
        is_news = offset + len(data) > terminal.known_end
        for mark in terminal.scanner.scan(data):
            self._note(terminal, mark, is_news)
        terminal.end = offset + len(data)
        terminal.feed.put(offset, data)
        if is_news and not terminal.last_typist and (asked := terminal.asking.find(data)):
            self.on_question(terminal, offset + asked[0], offset + asked[1])
        self._screens.output(id_, offset, data)
        if is_news:
            self._has_output(terminal)

    def _note(self, terminal: Terminal, mark: Mark, is_news: bool) -> None:
        """Take a mark into account; old ones tell the state, and ring no bell."""
        if mark.kind is MarkKind.TITLE:
            terminal.title = mark.text
            return
        if mark.kind in (MarkKind.BELL, MarkKind.NOTICE):
            if not is_news:
                return
            word = "bell" if mark.kind is MarkKind.BELL else "notice"
            self.publish(terminal, word, text=mark.text or None)
        at = self._context.now() if is_news else terminal.active_at
        activity = after_mark(terminal.activity, mark, at, bool(terminal.attachments))
        self._set(terminal, activity)

    def _has_output(self, terminal: Terminal) -> None:
        now = self._context.now()
        terminal.active_at = now
        self._set(terminal, after_output(terminal.activity, now))
        if not terminal.is_watched_for_quiet:
            terminal.is_watched_for_quiet = True
            self._look_later(terminal, QUIET_S)
        if now - terminal.told_output_at >= _TELL_OUTPUT_EVERY_S:
            terminal.told_output_at = now
            self.publish(terminal, "output", end=terminal.end)

    def _look_later(self, terminal: Terminal, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._look, terminal)

    def _look(self, terminal: Terminal) -> None:
        """See whether a terminal has become quiet; tell of output that was not told."""
        now = self._context.now()
        quiet_s = now - terminal.active_at
        if not terminal.is_running or self.is_stopping:
            terminal.is_watched_for_quiet = False
        elif quiet_s < QUIET_S:
            self._look_later(terminal, QUIET_S - quiet_s)
        else:
            terminal.is_watched_for_quiet = False
            self._set(terminal, after_quiet(terminal.activity, now))
            if terminal.told_output_at < terminal.active_at:
                terminal.told_output_at = now
                self.publish(terminal, "output", end=terminal.end)

    def _set(self, terminal: Terminal, activity: Activity) -> None:
        before, terminal.activity = terminal.activity.now, activity
        if activity.now != before:
            seen = activity.now
            self.publish(
                terminal, "state", state=seen.state.value, source=seen.source, detail=seen.detail
            )

    def on_size(self, id_: str, offset: int, columns: int, rows: int) -> None:
        """Take another size of a terminal."""
        terminal = self._table.get(id_)
        if terminal is not None:
            terminal.stored = dataclasses.replace(terminal.stored, columns=columns, rows=rows)
            terminal.feed.resize(offset, columns, rows)
            self._screens.resized(id_, offset, columns, rows)

    def on_trimmed(self, id_: str, oldest: int) -> None:
        """Note that output is gone which nobody here has seen."""
        terminal = self._table.get(id_)
        if terminal is not None:
            terminal.oldest = oldest
            log.warning("output of %s was not read before it went", terminal.name)

    def on_log(self, id_: str, error: str | None) -> None:
        """Note that output cannot be written down, or can be again."""
        terminal = self._table.get(id_)
        if terminal is not None:
            terminal.log_error = f"its output is not written down: {error}" if error else None
            if error:
                self.publish(terminal, "warning", text=terminal.log_error)

    def on_warning(self, id_: str, text: str) -> None:
        """Tell what a person should know of a screen."""
        terminal = self._table.get(id_)
        if terminal is not None:
            self.publish(terminal, "warning", text=text)
