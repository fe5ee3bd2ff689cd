"""The last line of a chat."""

from __future__ import annotations

from aish.chat.conversation import Conversation, Thread
from aish.chat.status import status_line
from backends.protocol.conversations import SessionInfo, Turn, TurnStatus


def talk(title: str = "a title", cost: float | None = 0.01) -> Conversation:
    turn = Turn(
        id="t", session="s", ci="apollo", status=TurnStatus.COMPLETE, prompt="p",
        input_tokens=3, output_tokens=4, cost_usd=cost,
    )  # fmt: skip
    info = SessionInfo(id="s", ci="apollo", title=title)
    thread = Thread("apollo", "s", "t", info, {"t": turn}, "ollama/llama3.2")
    return Conversation("apollo", [thread])


def test_it_tells_whom_with_what_about_what_and_for_how_much() -> None:
    shown = status_line(talk(), None, 100)
    assert shown == "apollo · ollama/llama3.2 · a title · 7 tokens · $0.0100"


def test_a_cost_that_is_none_or_unknown_is_not_shown() -> None:
    assert "$" not in status_line(talk(cost=None), None, 100) + status_line(talk(cost=0), None, 100)


def test_an_answer_under_way_goes_first_and_names_the_way_out() -> None:
    assert status_line(talk(), 3, 40).startswith("answering… 3 s · Ctrl-C stops · ")


def test_it_fits_and_hides_nothing_that_drives_a_terminal() -> None:
    shown = status_line(talk("\x1b]0;evil\x07 漢" * 30), None, 40)
    assert len(shown) <= 40
    assert shown.isprintable()


def test_an_edit_under_way_is_told() -> None:
    kept = talk()
    kept.is_editing = True
    assert status_line(kept, None, 100).startswith("editing · apollo")


def test_what_waits_for_the_next_prompt_is_counted() -> None:
    kept = talk()
    kept.outputs.append(("ls", "a"))
    assert "+1 with the next" in status_line(kept, None, 100)
