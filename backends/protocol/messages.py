"""The messages of the protocol: requests, their results, the chunks they stream.

A request knows its method, the service that answers it (`SERVICE`; `None` means any service),
its result and, where it streams, its chunks. Times are seconds since the epoch (`_at`) or
durations in seconds (`_s`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

PROTOCOL_VERSION = 1

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Request(Generic[ResultT]):
    """A question; `ResultT` is what its answer is made of."""

    METHOD: ClassVar[str]
    SERVICE: ClassVar[str | None] = None
    RESULT: ClassVar[type[Any]]
    CHUNK: ClassVar[type[Any] | None] = None
    IS_LOCAL: ClassVar[bool] = False
    """Answered to this user's own processes only, never to a holder of a token."""


CI_SERVICE = "ci"
"""The `SERVICE` of requests that a CI answers itself."""


@dataclass(frozen=True, kw_only=True)
class Ack:
    """Done; there is nothing more to say."""


# -- every service ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """Who answers a hello."""

    protocol: int
    server: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Hello(Request[Welcome]):
    """Name the protocol and, off the Unix socket, show the token.

    It may be sent together with the first request: nobody waits for its answer.
    """

    METHOD = "hello"
    RESULT = Welcome

    protocol: int = PROTOCOL_VERSION
    client: str = ""
    token: str | None = None


class Health(Enum):
    """How a service or CI is."""

    ALIVE = "alive"
    DEAD = "dead"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class ServiceInfo:
    """A service or CI as it describes itself and as the directory sees it.

    `model` is the model really behind a CI as `provider/model`, `None` where there is none now;
    `note` says why, or what is special (a CI that needs no model). `reason` tells why it is dead.
    """

    name: str
    is_ci: bool = False
    is_service: bool = False
    health: Health = Health.ALIVE
    reason: str | None = None
    kind: str = ""
    role: str = ""
    description: str = ""
    capabilities: tuple[str, ...] = ()
    model: str | None = None
    note: str | None = None
    pid: int = 0
    socket: str = ""
    urls: tuple[str, ...] = ()
    started_at: float = 0.0
    ended_at: float | None = None
    answering: int = 0
    last_error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Info(Request[ServiceInfo]):
    """Ask a service or CI who it is; `ci` or `service` is needed where one socket serves many."""

    METHOD = "info"
    RESULT = ServiceInfo

    ci: str | None = None
    service: str | None = None


# -- CIs -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file sent with a prompt: `text`, or `data` in base64 (RFC 4648) with its media type."""

    name: str
    media_type: str
    text: str | None = None
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The next piece of an answer's text, or a notice about it (never part of the text)."""

    text: str = ""
    notice: str | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens as the model's server counted them; `None` where it does not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is known of an answer when its text is complete.

    `cost_usd` is `None` where no price is known; `turn` where the turn could not be stored.
    """

    ci: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    time_to_first_token_s: float | None = None
    elapsed_s: float = 0.0
    session: str | None = None
    turn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chat(Request[Answer]):
    """Prompt a CI; its answer streams as pieces.

    `prompt` is the question and `input` what came through a pipe. `ci` is needed where one socket
    serves many. `model` and `system` replace the CI's own for this prompt. `schema` is a JSON
    schema that the answer should fit, for models that can be held to one.

    Without `session` and `continues` it begins a conversation of its own. `session` is an id, the
    beginning of one, or a name: a name that this CI has no conversation of begins one. `continues`
    goes on with the last conversation of this CI in `terminal`, the key of the place where it is
    asked (`backends.runtime.terminal_key`). `after` is the turn that this one follows: by default
    the newest, `""` for none; so what is asked again branches, and nothing is overwritten.
    """

    METHOD = "chat"
    SERVICE = CI_SERVICE
    RESULT = Answer
    CHUNK = Piece

    prompt: str = ""
    input: str | None = None
    ci: str | None = None
    model: str | None = None
    system: str | None = None
    attachments: tuple[Attachment, ...] = ()
    session: str | None = None
    continues: bool = False
    after: str | None = None
    terminal: str | None = None
    schema: Mapping[str, Any] | None = None


# -- hermes: directory and bus ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Directory:
    """Everything that is up or should be: services first, then CIs, each by name."""

    entries: tuple[ServiceInfo, ...]


@dataclass(frozen=True, kw_only=True)
class ListAll(Request[Directory]):
    """List every service and CI, each asked for its state now."""

    METHOD = "list"
    SERVICE = "hermes"
    RESULT = Directory


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: `ci.apollo.answer.started`."""

    subject: str
    at: float
    data: Mapping[str, Any] = field(default_factory=dict)
    dropped: int = 0
    """Events lost before this one because the subscriber was slow."""


@dataclass(frozen=True, kw_only=True)
class Subscribe(Request[Ack]):
    """Stream events whose subject matches: `*` stands for one word, `>` for all that follow."""

    METHOD = "subscribe"
    SERVICE = "hermes"
    RESULT = Ack
    CHUNK = Event

    subject: str = ">"


@dataclass(frozen=True, kw_only=True)
class Publish(Request[Ack]):
    """Put an event on the bus."""

    METHOD = "publish"
    IS_LOCAL = True
    SERVICE = "hermes"
    RESULT = Ack

    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


# -- numa: the machine -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The machine and the process as they are now; sizes in bytes, shares from 0 to 1."""

    cpus: int
    load: tuple[float, ...]
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int
    hub_memory: int
    hub_cpu_share: float
    uptime_s: float


@dataclass(frozen=True, kw_only=True)
class Measure(Request[Facts]):
    """Measure the machine now."""

    METHOD = "facts"
    SERVICE = "numa"
    RESULT = Facts
