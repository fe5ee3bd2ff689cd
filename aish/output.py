"""Where answers go: a pipe, a terminal, JSON; and several at once without mixing them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Protocol

from backends.console import BOLD, RED, complain, has_color, paint, say
from backends.errors import AnswerTruncated, TektonError
from backends.fast import Failed, write_answer
from backends.protocol import schema
from backends.protocol.messages import Answer, Piece

_REFRESH_S = 0.05


class Output(Protocol):
    """Takes one answer: its pieces, then its end."""

    def take(self, piece: Piece) -> None:
        """Show the next piece."""

    def end(self, name: str, answer: Answer | None, failure: TektonError | None) -> None:
        """Show how it ended; exactly one of `answer` and `failure` is there."""


class PlainSink:
    """Text as it is, byte for byte and at once, for a pipe or a file.

    A newline is added at the end where there is none.
    """

    def __init__(self, is_quiet: bool, is_verbose: bool, prefix: str = "") -> None:
        self._is_quiet = is_quiet
        self._is_verbose = is_verbose
        self._prefix = prefix
        self._last = "\n"

    def take(self, piece: Piece) -> None:
        """Write a piece of text, or say a notice on stderr."""
        if piece.notice and not self._is_quiet:
            say(f"notice: {self._prefix}{piece.notice}")
        if piece.text:
            self._write(piece.text)

    def end(self, name: str, answer: Answer | None, failure: TektonError | None) -> None:
        """Finish the text, then tell the failure or, where asked for, the figures."""
        if self._last != "\n":  # an error stands on a line of its own
            self._write("\n")
        _tell_end(answer, failure, self._is_verbose, self._prefix)

    def _write(self, text: str) -> None:
        self._last = text[-1]
        write_bytes(text.encode("utf-8", "replace"))


class TerminalSink:
    """Markdown, rendered as it comes, for a person at a terminal."""

    def __init__(self, is_quiet: bool, is_verbose: bool, prefix: str = "") -> None:
        from aish.render import MarkdownWriter, terminal_width

        self._is_quiet = is_quiet
        self._is_verbose = is_verbose
        self._prefix = prefix
        self._refresh: asyncio.TimerHandle | None = None
        is_live = os.environ.get("TERM") != "dumb"
        self._writer = MarkdownWriter(
            sys.stdout, terminal_width, color=has_color(sys.stdout), live=is_live
        )

    def take(self, piece: Piece) -> None:
        """Render a piece, or say a notice on stderr."""
        if piece.notice and not self._is_quiet:
            self._writer.hide()
            say(f"notice: {self._prefix}{piece.notice}")
        if piece.text:
            self._writer.feed(piece.text)
            if self._refresh is None:
                loop = asyncio.get_running_loop()
                self._refresh = loop.call_later(_REFRESH_S, self._draw)

    def end(self, name: str, answer: Answer | None, failure: TektonError | None) -> None:
        """Finish what is open, then tell the failure or, where asked for, the figures."""
        if self._refresh:
            self._refresh.cancel()
        self._writer.finish()
        _tell_end(answer, failure, self._is_verbose, self._prefix)

    def _draw(self) -> None:
        self._refresh = None
        self._writer.refresh()


class JsonSink:
    """One JSON object for each answer, on one line, when it is complete or has failed."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._notices: list[str] = []

    def take(self, piece: Piece) -> None:
        """Keep a piece."""
        if piece.text:
            self._texts.append(piece.text)
        if piece.notice:
            self._notices.append(piece.notice)

    def end(self, name: str, answer: Answer | None, failure: TektonError | None) -> None:
        """Print the object; `status` is `complete`, `truncated` or `failed`."""
        found: dict[str, object] = {
            "ci": name,
            "status": _status(answer, failure),
            "text": "".join(self._texts),
        }
        if answer:
            found |= schema.encode(answer)
            found["cost_usd"] = "unknown" if answer.cost_usd is None else answer.cost_usd
        if self._notices:
            found["notices"] = self._notices
        if failure:
            found["error"] = {
                "kind": failure.kind,
                "message": failure.message,
                "hint": failure.hint,
            }
        line = json.dumps(found, ensure_ascii=sys.stdout.isatty())
        write_bytes(line.encode("utf-8", "replace") + b"\n")


class HeldOutput:
    """Holds an answer back until it has ended; notices pass."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._texts: list[str] = []

    def take(self, piece: Piece) -> None:
        """Keep the text."""
        self._texts.append(piece.text)
        if piece.notice:
            self._output.take(Piece(notice=piece.notice))

    def end(self, name: str, answer: Answer | None, failure: TektonError | None) -> None:
        """Show the text, and how it ended."""
        text = "".join(self._texts)
        if text and not text.endswith("\n"):
            text += "\n"  # in one write, so that answers of several processes do not mix
        self._output.take(Piece(text=text))
        self._output.end(name, answer, failure)


class TeamOutput:
    """Several answers at once: one at a time is shown live, the others wait their turn.

    The first to say something has the floor until it ends; then those that are complete are shown
    whole, in the order of their ends, and the next one still speaking takes the floor.
    """

    def __init__(self, make: Callable[[str], Output], is_plain: bool) -> None:
        self._make = make
        self._is_plain = is_plain
        self._speaker: _Member | None = None
        self._waiting: list[_Member] = []
        self._is_first = True
        self._is_after_failure = False
        self._failures: dict[tuple[str, str | None], list[tuple[str, TektonError]]] = {}

    def member(self, name: str) -> Output:
        """Return where the answer of one CI goes."""
        return _Member(self, name)

    def speaks(self, member: _Member) -> bool:
        """Give a member the floor if it is free; tell whether it has it."""
        if self._speaker is None:
            self._speaker = self._give_floor(member)
        elif member is not self._speaker and member not in self._waiting:
            self._waiting.append(member)
        return member is self._speaker

    def keep(self, name: str, failure: TektonError) -> None:
        """Keep a failure until `finish`."""
        self._failures.setdefault((failure.message, failure.hint), []).append((name, failure))

    def finish(self) -> None:
        """Tell the failures, those that are equal in one line."""
        if self._is_plain:
            return  # they are in the objects
        for kept in self._failures.values():
            complain(kept[0][1], f"{', '.join(name for name, _ in kept)}: ")

    def release(self) -> None:
        """Take the floor back and pass it on."""
        self._speaker = None
        ended = [member for member in self._waiting if member.ended_with is not None]
        for member in ended:
            self._give_floor(member).replay()
        self._waiting = [member for member in self._waiting if member not in ended]
        if self._waiting:
            self._speaker = self._give_floor(self._waiting.pop(0))
            self._speaker.replay()

    def _give_floor(self, member: _Member) -> _Member:
        if not self._is_plain:
            failed = member.ended_with is not None and member.ended_with[1] is not None
            line = f"== {member.name}{': failed' if failed else ''} =="
            is_bare = failed and not member.has_text
            lead = "" if self._is_first or (is_bare and self._is_after_failure) else "\n"
            line = lead + paint(line, RED if failed else BOLD) + "\n"
            write_bytes(line.encode("utf-8", "replace"))
            self._is_after_failure = is_bare
        self._is_first = False
        member.sink = self._make(f"{member.name}: ")
        return member


class _Member:
    def __init__(self, team: TeamOutput, name: str) -> None:
        self.name = name
        self.sink: Output | None = None
        self.ended_with: tuple[Answer | None, TektonError | None] | None = None
        self._team = team
        self._pieces: list[Piece] = []

    @property
    def has_text(self) -> bool:
        """Whether there is text that waits to be shown."""
        return any(piece.text for piece in self._pieces)

    def take(self, piece: Piece) -> None:
        if self._team.speaks(self) and self.sink:
            self.sink.take(piece)
        else:
            self._pieces.append(piece)

    def end(self, name: str, answer: Answer | None, failure: TektonError | None) -> None:
        self.ended_with = (answer, failure)
        if self._team.speaks(self):
            self.replay()
            self._team.release()

    def replay(self) -> None:
        """Show what was kept while somebody else had the floor."""
        assert self.sink is not None  # nosec B101
        for piece in self._pieces:
            self.sink.take(piece)
        self._pieces.clear()
        if self.ended_with:
            self.sink.end(self.name, *self.ended_with)
            if self.ended_with[1]:
                self._team.keep(self.name, self.ended_with[1])


def write_bytes(data: bytes) -> None:
    """Write to standard output as the fast path does it.

    Raises:
        TektonError: It cannot be written.
    """
    sys.stdout.flush()
    try:
        write_answer(data)
    except Failed as failure:
        raise TektonError.of_kind(*failure.args) from failure


def _status(answer: Answer | None, failure: TektonError | None) -> str:
    if failure:
        return "truncated" if isinstance(failure, AnswerTruncated) else "failed"
    return "truncated" if answer and answer.finish_reason == "length" else "complete"


def _tell_end(
    answer: Answer | None, failure: TektonError | None, is_verbose: bool, prefix: str
) -> None:
    if failure:
        if not prefix:  # a team tells its failures together
            complain(failure)
    elif answer and is_verbose:
        say(prefix + figures(answer))


def figures(answer: Answer) -> str:
    """Say in a line what is known of an answer: model, tokens, cost, times."""
    counts = [answer.usage.input_tokens, answer.usage.output_tokens]
    tokens = " → ".join("unknown" if count is None else str(count) for count in counts)
    cost = "unknown" if answer.cost_usd is None else f"${answer.cost_usd:.4f}"
    first = answer.time_to_first_token_s
    shown = "none" if first is None else f"{first:.3f} s"
    label = " (echo: answers with its input)" if answer.model.startswith("echo/") else ""
    return (
        f"{answer.ci} · {answer.model}{label} · tokens {tokens} · cost {cost}"
        f" · first token {shown} · in all {answer.elapsed_s:.3f} s"
    )
