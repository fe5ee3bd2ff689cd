"""What counts as a question, wherever output is cut, and what may be typed as an answer."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.service.questions import QuestionScanner, allowed

QUESTIONS = [
    b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[=c", b"\x1bZ", b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n",
    b"\x1b[?996n", b"\x1b[>q", b"\x1b[>0q", b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[?u", b"\x1b[18t",
    b"\x1bP$qm\x1b\\", b"\x1bP$q q\x1b\\", b"\x1b]4;1;?\x07", b"\x1b]11;?\x1b\\",
]  # fmt: skip
STATEMENTS = [
    b"", b"c", b"what? [6n\r\n", b"\x1b[31m", b"\x1b[u", b"\x1b[2 q", b"\x1b[?2004h", b"\x1b[>1u",
    b"\x1b]0;really?\x07", b"\x1b]11;#000000\x07", b"\x1b[2;3H", b"\x1bPnothing\x1b\\", b"\x1b\x1b",
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_found(question: bytes) -> None:
    assert QuestionScanner().find(b"ab" + question + b"cd") == (2, 2 + len(question))


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_is_none_is_not(statement: bytes) -> None:
    assert QuestionScanner().find(statement + b"x") is None


@given(
    st.lists(st.sampled_from(QUESTIONS + STATEMENTS), max_size=8),
    st.lists(st.integers(0, 100), max_size=8),
)
def test_it_does_not_matter_where_output_is_cut(texts: list[bytes], cuts: list[int]) -> None:
    data = b"x".join(texts)
    whole = QuestionScanner().find(data)
    scanner = QuestionScanner()
    places = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        if (found := scanner.find(data[start:end])) is not None:
            places.append((start + found[0], start + found[1]))
    assert (places[0][0], places[-1][1]) == whole if whole else not places


def test_a_sequence_that_never_ends_is_given_up() -> None:
    scanner = QuestionScanner()
    assert scanner.find(b"\x1b]4;" + b"1" * 100) is None
    assert scanner.find(b";?\x07") is None
    assert scanner.find(b"\x1b[6n") == (0, 4)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x1b[?62;22c", b"\x1b[3;5R", b"\x1b[0n", b"\x1b[?2004;2$y", b"\x1b[?0u", b"\x1b[8;24;80t",
        b"\x1bP1$r0;1m\x1b\\", b"\x1bP>|libghostty\x1b\\", b"\x1b]4;1;rgb:cccc/6666/6666\x07",
    ],
)  # fmt: skip
def test_an_answer_is_typed(answer: bytes) -> None:
    assert allowed(answer + answer) == answer + answer


@pytest.mark.parametrize(
    "said", [b"rm -rf ~\r", b"\x1b]lrm -rf ~\x1b\\", b"\x1bPx\rls\n\x1b\\", b"\x1b[200~ls\r", b"\r"]
)
def test_whatever_else_a_worker_says_is_not(said: bytes) -> None:
    assert allowed(said) == b""
    assert allowed(said + b"\x1b[0n") == b"\x1b[0n"


def test_a_flood_of_answers_is_cut_between_two() -> None:
    answers = allowed(b"\x1b[?62;22c" * 1000)
    assert 4000 < len(answers) <= 4096
    assert answers.replace(b"\x1b[?62;22c", b"") == b""
