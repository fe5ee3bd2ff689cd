"""A conversation as Markdown and as JSON: which turns, in which order, each kept to itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from aish.export import heading, path_to, sections, title_of, to_json, to_markdown
from backends.protocol.conversations import SessionInfo, Turn, TurnStatus

SESSION = SessionInfo(id="5e55" * 8, ci="apollo", name="plan", title="The plan", head="c")


def turn(name: str, parent: str | None = None, **more: object) -> Turn:
    """A turn whose prompt and answer tell its name."""
    made = Turn(
        id=name, session=SESSION.id, ci="apollo", status=TurnStatus.COMPLETE, parent=parent,
        prompt=f"ask {name}", answer=f"say {name}", model="echo/echo",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def section(one: Turn) -> str:
    """A turn's own text."""
    [text] = sections([one], [one])
    return text


# a ─ b ─ c
#   └ d ─ e     and f, which begins anew
TREE = [turn("a"), turn("b", "a"), turn("c", "b"), turn("d", "a"), turn("e", "d"), turn("f")]


@pytest.mark.parametrize(
    ("head", "path"),
    [("c", "abc"), ("e", "ade"), ("f", "f"), ("a", "a"), (None, "f"), ("gone", "f")],
)
def test_a_path_leads_to_a_turn_or_to_the_newest(head: str | None, path: str) -> None:
    assert [one.id for one in path_to(TREE, head)] == list(path)


def test_a_path_begins_where_a_parent_is_missing() -> None:
    assert path_to([], "c") == []
    assert [one.id for one in path_to(TREE[1:], "c")] == ["b", "c"]


def test_a_circle_of_parents_ends() -> None:
    assert [one.id for one in path_to([turn("a", "b"), turn("b", "a")], "b")] == ["a", "b"]


def test_the_branches_that_are_not_shown_are_told() -> None:
    texts = list(sections(TREE, path_to(TREE, "c")))
    assert [text.split("\n")[0] for text in texts] == [
        "**you** · turn `a` · 1 other in its place",
        "**you** · turn `b` · 1 other in its place",
        "**you** · turn `c`",
    ]


def test_of_all_branches_each_turn_tells_what_it_follows() -> None:
    first = [text.split("\n")[0].partition("` · ")[2] for text in sections(TREE, TREE)]
    assert first == [
        "1 other in its place", "1 other in its place", "", "follows `a` · 1 other in its place",
        "", "a beginning of its own · 1 other in its place",
    ]  # fmt: skip


def test_what_was_asked_is_a_quotation_and_the_answer_stands_as_it_is() -> None:
    [text] = sections(TREE[:1], [turn("a", prompt="# one\n\ntwo\n", answer="# three\n")])
    assert text == "\n\n".join(
        ["**you** · turn `a`", "> # one\n>\n> two", "**apollo** · echo/echo", "# three"]
    )


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (TurnStatus.FAILED, "no model\nis there", "*failed: no model is there*"),
        (TurnStatus.INTERRUPTED, None, "*interrupted*"),
        (TurnStatus.RUNNING, None, "*running*"),
    ],
)
def test_an_answer_that_is_not_whole_is_told(
    status: TurnStatus, error: str | None, told: str
) -> None:
    one = turn("a", status=status, error=error, answer="half")
    assert section(one).endswith(f"\n\nhalf\n\n{told}")
    one = replace(one, answer="")
    assert section(one).endswith(f"echo/echo\n\n{told}")


@pytest.mark.parametrize(
    ("answer", "fence"),
    [
        ("```py\nx = 1", "\n```"),
        ("~~~~\n~~~\n```", "\n~~~~"),
        ("```\nx\n```", ""),
        ("````\n```\n````", ""),
        ("```not `a fence`", ""),
        ("- a\n\n  ```\n  x", ""),
        ("see <!-- here", ""),
        ("<!-- here", "\n-->"),
        ("<pre>\n```", "\n</pre>"),
        ("text", ""),
    ],
)
def test_a_block_of_code_that_is_left_open_is_closed(answer: str, fence: str) -> None:
    one = turn("a", answer=answer)
    assert section(one).endswith(answer + fence)


_LINES = st.lists(
    st.sampled_from(
        """\
```|~~~|  ```|- ```|> ~~~~|````x|text|- item|1. one|   |<!--|-->|<pre>|</div>|<div>|# title|
|===|    code|<?|<script>|a `b|***|[x]: y|\\""".split("|")
    ),
    max_size=8,
).map("\n".join)


@given(_LINES, _LINES)
def test_nothing_that_was_said_hides_the_next_turn(answer: str, prompt: str) -> None:
    turns = [turn("a", answer=answer, prompt=prompt), turn("b", "a")]
    tokens = MarkdownIt().parse(to_markdown(SESSION, turns, turns))
    top = [token.content for token in tokens if token.type == "inline" and token.level == 1]
    assert any("turn `b`" in text for text in top)


def test_the_heading_tells_which_conversation_it_is() -> None:
    copy = replace(SESSION, forked_from="0123456789", started_at=1e9)
    title, _, facts = heading(copy).partition("\n\n")
    assert title == "# The plan"
    assert facts.startswith("apollo · `plan` · `5e555e55` · 2001-09-0")
    assert facts.endswith(" · copied from `01234567`")


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    assert heading(replace(SESSION, started_at=1e300)).endswith("`5e555e55`")


@pytest.mark.parametrize(
    ("title", "name", "shown"),
    [("A\x1b[31m b\nc", None, "A b c"), ("", "plan", "plan"), ("\x07", None, "untitled")],
)
def test_a_title_is_one_clean_line(title: str, name: str | None, shown: str) -> None:
    assert title_of(replace(SESSION, title=title, name=name)) == shown


def test_json_has_every_turn_with_its_parent_and_its_figures() -> None:
    tree = [turn("a", input_tokens=3, output_tokens=4), turn("b", "a"), turn("c", "a")]
    found = json.loads(to_json(SESSION, tree))
    assert found["session"]["id"] == SESSION.id
    assert [(one["id"], one.get("parent")) for one in found["turns"]] == [
        ("a", None), ("b", "a"), ("c", "a"),
    ]  # fmt: skip
    assert found["turns"][0]["model"] == "echo/echo"
    assert (found["turns"][0]["input_tokens"], found["turns"][0]["output_tokens"]) == (3, 4)
