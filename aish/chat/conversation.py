"""What a chat knows: whom it talks to, where each conversation stands, what goes next.

Rules only: nothing here reads, writes or waits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from aish.chat.input import as_typed
from aish.export import path_to, title_of
from backends.protocol.conversations import SessionInfo, SessionTurns, Turn, TurnStatus
from backends.protocol.messages import Answer, Attachment, Chat

KEPT_OUTPUT = 100_000
"""Most characters of a command's output that go with a prompt; of more, the middle is left out."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked: the text, what goes with it, and whether it replaces the last turn."""

    text: str
    typed: str = ""
    input: str | None = None
    attachments: tuple[Attachment, ...] = ()
    branches: bool = False
    model: str | None = None


@dataclass(frozen=True)
class Lost:
    """A prompt whose answer has no end: as which turn it is stored is still to be learnt.

    `after` is the turn that it was to follow, and `text` what came of the answer, which may not be
    stored.
    """

    prompt: str
    after: str | None
    sent_at: float
    text: str


@dataclass
class Thread:
    """A conversation with one CI, as far as this chat knows it.

    `session` is an id or, of one that has not begun, its name; `None` begins a new one. `head` is
    the turn that the next one follows, unless prompts are `lost`.
    """

    ci: str
    session: str | None = None
    head: str | None = None
    info: SessionInfo | None = None
    turns: dict[str, Turn] = field(default_factory=dict)
    model: str | None = None
    lost: list[Lost] = field(default_factory=list)

    @property
    def path(self) -> list[Turn]:
        """The turns that lead to where the conversation stands, oldest first."""
        return path_to(list(self.turns.values()), self.head) if self.head in self.turns else []

    @property
    def last(self) -> Turn | None:
        """The turn that the next one follows."""
        return self.turns.get(self.head or "")

    @property
    def title(self) -> str:
        """What the conversation is called; empty as long as it has not begun."""
        if self.info and (self.info.title or self.info.name):
            return title_of(self.info)
        return "" if self.info else self.session or ""

    def begin(self, session: str | None = None) -> None:
        """Leave the conversation for a new one."""
        self.session, self.head, self.info = session, None, None
        self.turns, self.lost = {}, []

    def resume(self, found: SessionTurns) -> None:
        """Go on with a stored conversation."""
        self.info = found.session
        self.session = found.session.id
        self.turns = {turn.id: turn for turn in found.turns}
        self.head = found.session.head or (found.turns[-1].id if found.turns else None)
        self.lost = []

    def lose(self, chat: Chat, sent_at: float, text: str) -> None:
        """Note a prompt whose answer has no end."""
        self.lost.append(Lost(chat.prompt, chat.after or None, sent_at, text))

    def catch_up(self, found: SessionTurns) -> bool:
        """Find what was lost among the turns that were stored meanwhile, and go on from there.

        Args:
            found: The conversation, with the turns that are not known here.

        Returns:
            Whether something of this chat's is in it; where not, nothing has changed.
        """
        turns = {turn.id: turn for turn in found.turns}
        head = None
        for lost in self.lost:
            for turn in found.turns:
                if turn.parent == lost.after and turn.prompt.startswith(lost.prompt):
                    turns[turn.id] = dataclasses.replace(turn, answer=turn.answer or lost.text)
                    head = turn.id
        if head is None:
            return False
        self.info, self.session, self.head = found.session, found.session.id, head
        self.turns |= turns
        return True

    def request(self, prompt: Prompt, system: str | None, terminal: str | None) -> Chat:
        """Return the request for a prompt; it names the turn that it follows."""
        after = self.head
        if prompt.branches and self.last:
            after = self.last.parent or ""
        return Chat(
            ci=self.ci,
            prompt=prompt.text,
            input=prompt.input,
            model=prompt.model,
            system=system,
            attachments=prompt.attachments,
            session=self.session,
            after=(after or "") if self.session else None,
            terminal=terminal,
        )

    def answered(self, chat: Chat, text: str, answer: Answer, now: float) -> None:
        """Note an answer that is complete: it is what the next turn follows."""
        self.model = answer.model
        self.lost = []  # the conversation has gone on
        if answer.turn is None:
            return  # it could not be stored; a notice has told so
        self.session = answer.session or self.session
        self.head = answer.turn
        self.turns[answer.turn] = Turn(
            id=answer.turn,
            session=self.session or "",
            ci=self.ci,
            status=TurnStatus.COMPLETE,
            prompt=chat.prompt,
            parent=chat.after or None,
            answer=text,
            model=answer.model,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            cost_usd=answer.cost_usd,
            elapsed_s=answer.elapsed_s,
            started_at=now - answer.elapsed_s,
            ended_at=now,
        )
        title = self.info.title if self.info else " ".join(chat.prompt.split())[:60]
        name = self.info.name if self.info else chat.session
        if self.info is None:
            name = None if chat.session == self.session else chat.session
        base = self.info or SessionInfo(id=self.session or "", ci=self.ci, started_at=now)
        self.info = dataclasses.replace(
            base, title=title, name=name, head=answer.turn, turns=len(self.turns), updated_at=now
        )


@dataclass(frozen=True)
class Spent:
    """Tokens and cost of turns; `unknown` counts those whose cost nobody knows."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unknown: int = 0

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> Spent:
        """Add up turns."""
        return cls(
            len(turns),
            sum(turn.input_tokens or 0 for turn in turns),
            sum(turn.output_tokens or 0 for turn in turns),
            sum(turn.cost_usd or 0.0 for turn in turns),
            sum(turn.cost_usd is None for turn in turns),
        )

    @property
    def cost(self) -> str:
        """The cost as it is shown."""
        if self.unknown == self.turns:
            return "cost unknown"
        more = f" and {count_of(self.unknown)} of unknown cost" if self.unknown else ""
        return f"{money(self.cost_usd)}{more}"


@dataclass
class Conversation:
    """One chat: its CIs, what was set for them, and what goes with the next prompt."""

    target: str
    threads: list[Thread] = field(default_factory=list)
    model: str | None = None
    system: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    is_editing: bool = False
    last: Prompt | None = None

    @property
    def spent(self) -> Spent:
        """Tokens and cost of all branches of the conversations."""
        return Spent.of([turn for thread in self.threads for turn in thread.turns.values()])

    @property
    def models(self) -> list[str]:
        """The models that have really answered or would answer, each once."""
        found = [thread.model for thread in self.threads if thread.model]
        return list(dict.fromkeys([self.model] if self.model and not found else found))

    def compose(self, text: str, typed: str, attachments: Sequence[Attachment] = ()) -> Prompt:
        """Return the next prompt with all that was put aside for it, which is used up by this."""
        outputs = [f"output of `{command}`:\n\n{output}" for command, output in self.outputs]
        prompt = Prompt(
            text=text,
            typed=typed,
            input="\n\n".join(outputs) or None,
            attachments=(*self.attachments, *attachments),
            branches=self.is_editing,
            model=self.model,
        )
        self.attachments, self.outputs = [], []
        self.is_editing = False
        self.last = prompt
        return prompt

    def again(self, model: str | None = None) -> Prompt | None:
        """Return the last prompt, to be asked once more instead of the turn that it became."""
        prompt = self.last
        if prompt is None:
            turn = next((thread.last for thread in self.threads if thread.last), None)
            if turn is None:
                return None
            prompt = Prompt(text=turn.prompt, typed=as_typed(turn.prompt))
        has_turn = any(self._became(thread, prompt) for thread in self.threads)
        self.last = dataclasses.replace(prompt, branches=has_turn, model=model or self.model)
        return self.last

    def edit(self) -> str | None:
        """Return the last prompt as it was typed; what is sent next takes its place."""
        prompt = self.again()
        if prompt is None:
            return None
        self.is_editing = prompt.branches
        return prompt.typed or prompt.text

    def answer(self, number: int) -> list[str]:
        """Return each CI's last answer, or the one so many before it, where it has one."""
        told = [[turn.answer for turn in it.path if turn.answer] for it in self.threads]
        return [answers[-number] for answers in told if len(answers) >= number]

    def leave(self) -> None:
        """Forget what belongs to the conversation that is left."""
        self.is_editing = False
        self.last = None

    @staticmethod
    def _became(thread: Thread, prompt: Prompt) -> bool:
        return thread.last is not None and thread.last.prompt.startswith(prompt.text)


def money(dollars: float) -> str:
    """Say a number of dollars."""
    return f"${dollars:.4f}" if dollars else "$0"


def count_of(turns: int) -> str:
    """Say a number of turns."""
    return f"{turns} turn{'' if turns == 1 else 's'}"


def bounded(output: str) -> str:
    """Return a command's output, without its middle if it is too long."""
    if len(output) <= KEPT_OUTPUT:
        return output
    half = KEPT_OUTPUT // 2
    left_out = len(output) - 2 * half
    return f"{output[:half]}\n… {left_out} characters left out …\n{output[-half:]}"


def size_of(count: int) -> str:
    """Say a number of bytes."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"
