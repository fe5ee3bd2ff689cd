"""What the providers behind HTTP have in common: how an answer streams, ends and fails."""

from __future__ import annotations

import asyncio
import base64
import binascii
import gc
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, Generic, TypeVar

from backends.errors import ConfigError, ModelError
from backends.protocol.messages import Attachment, Usage
from backends.providers.address import Address, get_json
from backends.providers.base import CONTEXT_TOKENS, Finish, KeySource, Prompt, Settings
from backends.providers.faults import CONNECT_S, Answer, Faults, Refusal, reason_of

LINGER_S = 1.0
"""How long the end of a stream is waited for once the answer is known to be complete."""

log = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")
ClientT = TypeVar("ClientT")
PartT = TypeVar("PartT")


class Once(Generic[ValueT]):
    """A value made in a thread by the first who asks for it; all others wait for that one."""

    def __init__(self, make: Callable[[], ValueT]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._made: tuple[ValueT] | None = None

    async def get(self) -> ValueT:
        """Return the value; what its making raised is raised, and the next who asks tries again."""
        if self._made is None:
            async with self._lock:
                if self._made is None:
                    self._made = (await asyncio.to_thread(self._make),)
                    # A vendor's package stays for good; a full collection that looked at all of
                    # its objects would hold up every answer for 0.1 s.
                    gc.freeze()
        return self._made[0]

    def forget(self) -> ValueT | None:
        """Have the value made anew when it is next asked for; return the one that was there."""
        made, self._made = self._made, None
        return made[0] if made else None


class RemoteProvider(ABC, Generic[ClientT, PartT]):
    """A provider that asks a server: `ClientT` sends the prompt, `PartT` is what streams back."""

    MALFORMED = (ValueError, LookupError, TypeError, AttributeError)
    """What reading a stream raises that does not have the form it should have."""

    CONTEXT_TOKENS = CONTEXT_TOKENS
    """What one request may hold where `context_tokens` is not set."""

    def __init__(
        self, name: str, settings: Settings, get_key: KeySource, address: Address, faults: Faults
    ) -> None:
        self.name = name
        self._settings = settings
        self._model = self._text("model")
        self._read_timeout_s = self._seconds("read_timeout_s")
        self.context_tokens = self._count("context_tokens") or self.CONTEXT_TOKENS
        self.is_context_set = "context_tokens" in settings
        self._address = address
        self._faults = faults
        self._key = Once(get_key)
        self._client = Once(self._load)
        self._http: ModuleType
        self._expected: tuple[type[Exception], ...] = ()
        """What the vendor's package raises for the server's faults; known once it is loaded."""

    @abstractmethod
    def _load(self) -> ClientT:
        """Import the package and make a client; called in a thread."""

    @abstractmethod
    def _ask(
        self, client: ClientT, prompt: Prompt, answer: Answer
    ) -> AbstractAsyncContextManager[AsyncIterator[PartT]]:
        """Send a prompt; leaving the context closes the request at once."""

    @abstractmethod
    def _read(self, part: PartT, answer: Answer) -> str:
        """Take the text out of a part; note the model, the usage and the finish reason."""

    @abstractmethod
    def _explain(self, error: Exception, answer: Answer) -> ModelError:
        """Turn an expected exception into an error for people."""

    @abstractmethod
    async def _close(self, client: ClientT) -> None:
        """Close a client's connections."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Finish, None]:
        """Send a prompt; yield pieces of text as they come, then exactly one `Finish`."""
        check(prompt)
        answer = Answer(prompt.model)
        client = await self._client.get()
        try:
            async with self._ask(client, prompt, answer) as parts:
                async for part in parts:
                    answer.begun = True
                    text = self._read(part, answer)
                    if text:
                        answer.characters += len(text)
                        yield text
                    if answer.reason is not None:
                        break
                if answer.reason is not None and (text := await self._linger(parts, answer)):
                    yield text
        except self._expected as error:
            raise self._explain(error, answer) from error
        if answer.reason is None:
            answer.begun = True
            raise self._faults.broken("it ended without its finish marker", answer)
        usage = Usage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
        yield Finish(reason=answer.reason, model=answer.model, usage=usage)

    async def close(self) -> None:
        """Close the connections; the provider is not used again."""
        client = self._client.forget()
        if client is not None:
            await self._close(client)

    async def _linger(self, parts: AsyncIterator[PartT], answer: Answer) -> str:
        """Read on to the end, which frees the connection; some servers send the usage last.

        The model has said that its answer is complete: a server that then breaks off, or stays
        silent, has cost nothing but the usage.
        """
        texts: list[str] = []
        harmless: tuple[type[Exception], ...] = (TimeoutError, ModelError, *self._expected)
        try:
            async with asyncio.timeout(LINGER_S):
                async for part in parts:
                    texts.append(self._read(part, answer))
        except harmless as error:
            log.debug("%s: after the end of an answer: %r", self.name, error)
        return "".join(texts)

    async def _look(self, path: str, timeout_s: float) -> Any:
        """Fetch a list of models.

        Raises:
            ModelError: There is none; the message says why.
            ConfigError: The key cannot be used.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await get_json(self._address, path, timeout_s, await self._headers())
        except Refusal as error:
            raise self._refused(error) from error
        except TimeoutError as error:
            raise self._faults.unreachable(f"no answer within {timeout_s:g} s") from error
        except OSError as error:
            raise self._faults.unreachable(reason_of(error)) from error
        except ValueError as error:
            raise self._faults.stranger() from error

    async def _headers(self) -> dict[str, str]:
        """Return the headers that show the key; none where there is no key."""
        key = await self._find_key()
        return {"authorization": f"Bearer {key}"} if key else {}

    def _refused(self, refusal: Refusal, model: str = "") -> ModelError:
        """Explain an error status; a key that was refused is looked up anew the next time."""
        if refusal.status in (401, 403):
            self._key.forget()
        return self._faults.refused(refusal, model)

    async def _find_key(self) -> str | None:
        """Return the key, found once and kept until the server refuses it."""
        key = await self._key.get()
        self._faults.key = key
        return key

    def _http_options(self, http: ModuleType) -> dict[str, Any]:
        """Options of an HTTP client; `http` is `httpx` or its successor."""
        options: dict[str, Any] = {
            "timeout": http.Timeout(self._read_timeout_s, connect=CONNECT_S),
            "limits": http.Limits(max_connections=None, max_keepalive_connections=20),
            "headers": {"accept-encoding": "identity"},  # packed streams arrive in lumps
            "follow_redirects": False,  # a key goes to the host that it was meant for
            "trust_env": not self._address.is_loopback,
        }
        if self._address.is_loopback and self._address.url.startswith("http:"):
            # Reading the certificates of the world takes 20 ms; this one trusts nobody.
            options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return options

    def _text(self, key: str) -> str | None:
        """Read a setting that is a text."""
        found = self._settings.get(key)
        if found is None or (isinstance(found, str) and found):
            return found
        raise self._bad_setting(key, found, "a text")

    def _count(self, key: str) -> int | None:
        """Read a setting that is a number above zero."""
        found = self._settings.get(key)
        if found is None or (type(found) is int and found > 0):
            return found
        raise self._bad_setting(key, found, "a number above 0")

    def _seconds(self, key: str) -> float | None:
        """Read a setting that is a time."""
        found = self._settings.get(key)
        if found is None or (type(found) in (int, float) and found > 0):
            return found
        raise self._bad_setting(key, found, "a number of seconds above 0")

    def _bad_setting(self, key: str, found: object, wanted: str) -> ConfigError:
        return ConfigError(
            f"[providers.{self.name}] {key} is {found!r}, not {wanted}",
            "`tekton config edit` opens the settings",
        )


def check(prompt: Prompt) -> None:
    """Refuse a prompt that no server could be sent.

    Raises:
        ModelError: Half of a surrogate pair in a text.
    """
    for text in (prompt.text, prompt.system or ""):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ModelError(
                f"the prompt holds half a character (U+{ord(text[error.start]):04X}) "
                f"at position {error.start}, which cannot be sent"
            ) from error


def count(found: object) -> int | None:
    """Return a number of tokens if that is what a server sent."""
    return found if type(found) is int and found >= 0 else None


def image_bytes(image: Attachment) -> bytes:
    """Decode an attached image.

    Raises:
        ModelError: It is not base64.
    """
    try:
        return base64.b64decode(image.data or "", validate=True)
    except binascii.Error as error:
        raise ModelError(f"the image {image.name!r} is not base64 ({error})") from error
