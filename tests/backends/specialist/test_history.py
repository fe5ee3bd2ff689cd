"""What of a conversation goes to the model with a prompt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backends.protocol.conversations import Turn, TurnStatus
from backends.providers.base import Exchange, Prompt
from backends.specialist.history import tokens, with_history


def turn(number: int, prompt: str = "why?", answer: str = "so") -> Turn:
    return Turn(
        id=str(number), session="s", ci="apollo", status=TurnStatus.COMPLETE,
        prompt=prompt, answer=answer,
    )  # fmt: skip


def prompt(text: str = "hi", **more: object) -> Prompt:
    return Prompt(text=text, model="m", **more)  # type: ignore[arg-type]


def test_all_that_fits_is_sent_oldest_first() -> None:
    turns = [turn(1, "one?", "1"), turn(2, "two?", "2")]
    found, left_out = with_history(prompt(), turns, 1000)
    assert found.history == (
        Exchange(prompt="one?", answer="1"),
        Exchange(prompt="two?", answer="2"),
    )
    assert left_out == 0


def test_the_oldest_exchanges_are_left_out_whole() -> None:
    turns = [turn(n, "x" * 300, "y" * 300) for n in range(10)]
    found, left_out = with_history(prompt(), turns, 1000)
    assert left_out == 7
    assert found.history == tuple(Exchange(prompt="x" * 300, answer="y" * 300) for _ in range(3))


def test_a_long_exchange_is_not_jumped_over() -> None:
    turns = [turn(1), turn(2, "x" * 9000), turn(3)]
    found, left_out = with_history(prompt(), turns, 1000)
    assert (len(found.history), left_out) == (1, 2)


def test_a_prompt_that_fills_the_room_goes_alone() -> None:
    found, left_out = with_history(prompt("x" * 9000), [turn(1)], 1000)
    assert (found.history, left_out) == ((), 1)
    assert found.text == "x" * 9000


def test_turns_without_an_answer_are_passed_over_and_not_missed() -> None:
    found, left_out = with_history(prompt(), [turn(1, answer=""), turn(2)], 1000)
    assert (len(found.history), left_out) == (1, 0)


def test_system_prompt_schema_and_answer_take_room_too() -> None:
    turns = [turn(n, "x" * 300, "y" * 300) for n in range(3)]
    assert with_history(prompt(), turns, 1000)[1] == 0
    assert with_history(prompt(system="s" * 900), turns, 1000)[1] == 1
    assert with_history(prompt(schema={"const": "s" * 600}), turns, 1000)[1] == 1
    assert with_history(prompt(max_tokens=10), [*turns, turn(3)], 1000)[1] == 0


@given(
    st.lists(st.tuples(st.text(max_size=50), st.text(max_size=50)), max_size=20),
    st.integers(0, 500),
)
def test_what_is_sent_fits_and_is_the_end_of_what_was_said(
    said: list[tuple[str, str]], room: int
) -> None:
    turns = [turn(n, *texts) for n, texts in enumerate(said)]
    found, left_out = with_history(prompt(), turns, room)
    whole = [Exchange(prompt=p, answer=a) for p, a in said if p and a]
    assert found.history == tuple(whole[left_out:])
    used = sum(tokens(one.prompt) + tokens(one.answer) for one in found.history)
    assert not found.history or used + tokens("hi") <= room - room // 4
