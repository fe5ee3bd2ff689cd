"""What goes to the CI, and where a conversation stands afterwards."""

from __future__ import annotations

import dataclasses

import pytest

from aish.chat.actions import place
from aish.chat.conversation import KEPT_OUTPUT, Conversation, Prompt, Spent, Thread, bounded
from backends.protocol.conversations import SessionInfo, SessionTurns, Turn, TurnStatus
from backends.protocol.messages import Answer, Attachment, Usage


def turn(name: str, parent: str | None = None, **fields: object) -> Turn:
    made = Turn(
        id=name, session="s", ci="apollo", status=TurnStatus.COMPLETE, prompt=f"ask {name}",
        parent=parent, answer=f"answer {name}",
    )  # fmt: skip
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def resumed(*turns: Turn, head: str | None = None) -> Thread:
    thread = Thread("apollo")
    info = SessionInfo(id="s", ci="apollo", title="a title", turns=len(turns), head=head)
    thread.resume(SessionTurns(session=info, turns=turns))
    return thread


def answered(thread: Thread, text: str, name: str, **fields: object) -> None:
    chat = thread.request(Prompt(text=text), None, "here")
    answer = Answer(ci="apollo", model="p/m", session="s", turn=name)
    thread.answered(chat, f"answer {name}", dataclasses.replace(answer, **fields), 100.0)  # type: ignore[arg-type]


def test_a_first_prompt_begins_a_conversation() -> None:
    chat = Thread("apollo").request(Prompt(text="hi"), "be brief", "here")
    assert (chat.ci, chat.prompt, chat.session, chat.after) == ("apollo", "hi", None, None)
    assert (chat.system, chat.terminal) == ("be brief", "here")


def test_each_prompt_follows_the_last_turn_that_this_chat_has_seen() -> None:
    thread = Thread("apollo")
    answered(thread, "first", "t1")
    answered(thread, "second", "t2")
    chat = thread.request(Prompt(text="third"), None, None)
    assert (chat.session, chat.after) == ("s", "t2")
    assert [it.id for it in thread.path] == ["t1", "t2"]
    assert thread.title == "first"


def test_a_turn_that_is_not_stored_is_not_followed() -> None:
    thread = Thread("apollo")
    answered(thread, "first", "t1")
    answered(thread, "second", "", turn=None)
    assert thread.head == "t1"
    unstored = Thread("apollo")
    answered(unstored, "first", "", turn=None)
    assert unstored.request(Prompt(text="again"), None, None).session is None


def test_a_name_stays_with_the_conversation_that_it_begins() -> None:
    thread = Thread("apollo")
    thread.begin("plan")
    assert thread.request(Prompt(text="hi"), None, None).session == "plan"
    answered(thread, "hi", "t1", session="id")
    assert thread.session == "id"
    assert thread.info is not None
    assert thread.info.name == "plan"


def test_to_retry_follows_what_the_last_turn_followed() -> None:
    thread = resumed(turn("t1"), turn("t2", "t1"), head="t2")
    talk = Conversation("apollo", [thread])
    prompt = talk.again("other/model")
    assert prompt is not None
    chat = thread.request(prompt, None, None)
    assert (chat.prompt, chat.after, chat.model) == ("ask t2", "t1", "other/model")


def test_to_retry_the_first_turn_follows_none() -> None:
    thread = resumed(turn("t1"), head="t1")
    prompt = Conversation("apollo", [thread]).again()
    assert prompt is not None
    assert thread.request(prompt, None, None).after == ""


def test_to_retry_what_failed_does_not_branch() -> None:
    thread = resumed(turn("t1"), head="t1")
    talk = Conversation("apollo", [thread])
    talk.compose("it fails", "it fails")
    prompt = talk.again()
    assert prompt is not None
    assert thread.request(prompt, None, None).after == "t1"


def test_nothing_is_asked_again_before_something_was_asked() -> None:
    assert Conversation("apollo", [Thread("apollo")]).again() is None
    assert Conversation("apollo", [Thread("apollo")]).edit() is None


def test_what_is_edited_takes_the_place_of_the_last_turn_once() -> None:
    thread = resumed(turn("t1"), turn("t2", "t1"), head="t2")
    talk = Conversation("apollo", [thread])
    assert talk.edit() == "ask t2"
    assert thread.request(talk.compose("ask better", "ask better"), None, None).after == "t1"
    assert thread.request(talk.compose("next", "next"), None, None).after == "t2"


def test_other_branches_stay_and_the_path_leads_to_the_head() -> None:
    thread = resumed(turn("t1"), turn("t2", "t1"), turn("t3", "t1"), head="t3")
    assert [it.id for it in thread.path] == ["t1", "t3"]
    assert len(thread.turns) == 3


def test_a_stopped_answer_is_followed_by_the_next_turn() -> None:
    thread = resumed(turn("t1"), head="t1")
    info = SessionInfo(id="s", ci="apollo", head="t3")
    others = turn("t2", "t1", prompt="somebody else's")
    ours = turn("t3", "t1", prompt="go on\n\nFile a:", answer="", status=TurnStatus.RUNNING)
    thread.lose(thread.request(Prompt(text="go on"), None, None), 100.0, "so far")
    assert thread.catch_up(SessionTurns(session=info, turns=(others, ours)))
    assert thread.head == "t3"
    assert thread.path[-1].answer == "so far"


def test_a_prompt_that_never_arrived_does_not_hide_an_answer_that_was_lost_before() -> None:
    thread = resumed(turn("t1"), head="t1")
    thread.lose(thread.request(Prompt(text="broken off"), None, None), 100.0, "half")
    thread.lose(thread.request(Prompt(text="never sent"), None, None), 101.0, "")
    info = SessionInfo(id="s", ci="apollo", head="t2")
    stored = turn("t2", "t1", prompt="broken off", status=TurnStatus.INTERRUPTED)
    assert thread.catch_up(SessionTurns(session=info, turns=(stored,)))
    assert thread.request(Prompt(text="next"), None, None).after == "t2"


def test_another_conversation_is_not_taken_for_ours() -> None:
    thread = Thread("apollo")
    thread.lose(thread.request(Prompt(text="ours"), None, None), 100.0, "")
    info = SessionInfo(id="other", ci="apollo", head="t9")
    assert not thread.catch_up(SessionTurns(session=info, turns=(turn("t9"),)))
    assert (thread.session, thread.head, thread.turns) == (None, None, {})


def test_an_answer_that_never_came_is_not_counted_among_the_answers() -> None:
    failed = turn("t2", "t1", answer="", status=TurnStatus.FAILED)
    talk = Conversation("apollo", [resumed(turn("t1"), failed, head="t2")])
    assert talk.answer(1) == ["answer t1"]
    assert talk.answer(2) == []


@pytest.mark.parametrize(
    ("head", "said"), [("t2", "2 turns"), ("t3", "turn 2 of this branch, 3 in all")]
)
def test_where_a_conversation_stands_is_said_in_words(head: str, said: str) -> None:
    turns = [turn("t1"), turn("t2", "t1"), turn("t3", "t1")]
    kept = turns if head == "t3" else turns[:2]
    assert place(resumed(*kept, head=head)) == said


def test_one_turn_is_one() -> None:
    assert place(resumed(turn("t1"), head="t1")) == "1 turn"


def test_what_was_put_aside_goes_with_one_prompt() -> None:
    talk = Conversation("apollo", [Thread("apollo")])
    talk.outputs.append(("git diff", "+ line"))
    talk.attachments.append(Attachment(name="a", media_type="text/plain", text="A"))
    prompt = talk.compose("look", "look", [Attachment(name="b", media_type="text/plain")])
    assert prompt.input == "output of `git diff`:\n\n+ line"
    assert [it.name for it in prompt.attachments] == ["a", "b"]
    after = talk.compose("again", "again")
    assert (after.input, after.attachments) == (None, ())


def test_cost_is_told_as_far_as_it_is_known() -> None:
    turns = [turn("a", cost_usd=0.5, input_tokens=3, output_tokens=4), turn("b")]
    spent = Spent.of(turns)
    assert (spent.input_tokens, spent.output_tokens) == (3, 4)
    assert spent.cost == "$0.5000 and 1 turn of unknown cost"
    assert Spent.of([turn("b")]).cost == "cost unknown"
    assert Spent.of([turn("b", cost_usd=0.0)]).cost == "$0"


def test_tokens_of_all_branches_count() -> None:
    thread = Thread("apollo")
    answered(thread, "first", "t1", usage=Usage(input_tokens=1, output_tokens=2))
    talk = Conversation("apollo", [thread])
    prompt = talk.again()
    assert prompt is not None
    chat = thread.request(prompt, None, None)
    thread.answered(chat, "x", Answer(ci="apollo", model="m", session="s", turn="t2"), 1.0)
    assert talk.spent.turns == 2


def test_of_a_long_output_the_middle_is_left_out() -> None:
    short = bounded("a" * KEPT_OUTPUT + "b" * KEPT_OUTPUT)
    assert len(short) < KEPT_OUTPUT + 100
    assert short.startswith("a")
    assert short.endswith("b")
    assert f"{KEPT_OUTPUT} characters left out" in short
    assert bounded("x" * KEPT_OUTPUT) == "x" * KEPT_OUTPUT
