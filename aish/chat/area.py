"""The input area: the line that is typed, what completes it, what waits, and the status line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, HSplit, Layout, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import AppendAutoSuggestion
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import SearchToolbar

from aish.chat.completion import ChatCompleter
from aish.chat.hidden import ShowHidden

if TYPE_CHECKING:
    from aish.chat.history import ChatHistory

_MENU_ROWS = 6
_QUEUE_ROWS = 3
_COMPLETES = re.compile(r"^/(?!/)|(?:^|\s)@\S*$")
_COLORS = {
    "mark": "bold",
    "status": "dim",
    "queue": "dim",
    "auto-suggestion": "fg:ansibrightblack",
    "completion-menu": "noreverse bg:default fg:default",
    "completion-menu.completion": "bg:default fg:default",
    "completion-menu.completion.current": "reverse bg:default fg:default",
    "completion-menu.meta.completion": "bg:default fg:ansibrightblack",
    "completion-menu.meta.completion.current": "bg:default fg:ansibrightblack",
    "scrollbar.background": "bg:default",
    "scrollbar.button": "bg:ansibrightblack",
}
_PLAIN = {
    **dict.fromkeys(_COLORS, "noreverse bg:default fg:default nobold"),
    "completion-menu.completion.current": "reverse bg:default fg:default",
    "auto-suggestion": "fg:default",
}


class Shown(Protocol):
    """What the area shows beside what is typed."""

    @property
    def mark(self) -> str:
        """What stands before the input."""

    @property
    def queued(self) -> list[str]:
        """What waits to be asked, each on a line."""

    @property
    def status_line(self) -> str:
        """The last line."""

    @property
    def shows_status(self) -> bool:
        """Whether there is room for it."""

    @property
    def rows(self) -> int:
        """Rows of the terminal."""

    def typed(self, line: str) -> None:
        """Take a line that is sent."""

    def changed(self, text: str) -> None:
        """Look at what is typed so far."""


class InputArea:
    """Buffer and layout of the input."""

    def __init__(
        self, shown: Shown, completer: ChatCompleter, history: ChatHistory, has_color: bool
    ) -> None:
        self._shown = shown
        self.buffer = Buffer(
            completer=completer,
            complete_while_typing=Condition(self._completes),
            history=history,
            auto_suggest=AutoSuggestFromHistory(),
            multiline=True,
            tempfile_suffix=".md",
            accept_handler=self._accept,
            on_text_changed=lambda buffer: shown.changed(buffer.text),
        )
        self.style = Style.from_dict(_COLORS if has_color else _PLAIN)
        self.layout = Layout(self._container(SearchToolbar()))

    def _container(self, search: SearchToolbar) -> HSplit:
        search.control.input_processors = [*(search.control.input_processors or []), ShowHidden()]
        control = BufferControl(
            self.buffer,
            input_processors=[
                AppendAutoSuggestion(style="class:auto-suggestion"),
                ShowHidden(),
            ],
            search_buffer_control=search.control,
            preview_search=True,
        )
        line = Window(
            control, height=self._height, wrap_lines=True, dont_extend_height=True,
            get_line_prefix=self._prefix,
        )  # fmt: skip
        queue = Window(
            FormattedTextControl(self._queue), dont_extend_height=True, style="class:queue"
        )
        status = Window(
            FormattedTextControl(lambda: [("class:status", self._shown.status_line)]),
            height=1, dont_extend_height=True,
        )  # fmt: skip
        return HSplit(
            [
                ConditionalContainer(queue, Condition(lambda: bool(self._shown.queued))),
                line,
                search,
                CompletionsMenu(max_height=_MENU_ROWS),
                ConditionalContainer(status, Condition(lambda: self._shown.shows_status)),
            ]
        )

    def _accept(self, buffer: Buffer) -> bool:
        self._shown.typed(buffer.text)
        return False

    def _completes(self) -> bool:
        return bool(_COMPLETES.search(self.buffer.document.text_before_cursor))

    def _height(self) -> Dimension:
        return Dimension(min=1, max=max(self._shown.rows // 3, 1))

    def _prefix(self, line: int, wrapped: int) -> StyleAndTextTuples:
        mark = self._shown.mark
        return [("class:mark", mark)] if line == wrapped == 0 else [("", " " * len(mark))]

    def _queue(self) -> StyleAndTextTuples:
        lines = self._shown.queued
        more = len(lines) - _QUEUE_ROWS
        shown = (
            lines[:_QUEUE_ROWS]
            if more <= 0
            else [*lines[: _QUEUE_ROWS - 1], f"  and {more + 1} more"]
        )
        return [("class:queue", "\n".join(shown))]


def editing_mode() -> EditingMode:
    """Return the mode that the user's readline has (readline(3), `editing-mode`)."""
    file = os.environ.get("INPUTRC") or "~/.inputrc"
    try:
        text = Path(file).expanduser().read_text(errors="replace")
    except (OSError, RuntimeError):
        return EditingMode.EMACS
    is_vi = re.search(r"(?m)^\s*set\s+editing-mode\s+vi\b", text)
    return EditingMode.VI if is_vi else EditingMode.EMACS
