"""What went wrong at a model server, in words that a person can act on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from backends.cleaning import clean_line
from backends.errors import AnswerTruncated, ModelError

CONNECT_S = 10.0

MAX_DETAIL = 300
"""Characters of a server's own message that are shown."""


SHORTEST_SECRET = 8
"""Characters; a shorter key is a placeholder, and may be part of any word."""


@dataclass
class Answer:
    """An answer as far as it has come; it is finished once it has a `reason`.

    `begun` is true from the moment that the server accepted the prompt.
    """

    model: str
    begun: bool = False
    characters: int = 0
    reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Refusal(Exception):
    """An HTTP status other than success, with its body as it came."""

    def __init__(self, status: int, body: str, retry_after: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.retry_after = retry_after


class Faults:
    """The faults of one server, as errors.

    Args:
        name: The provider's name, as the user knows it.
        url: Its address, without anything secret.
        start: What to do where nobody answers.
        lacks: What to do where a model is missing, given its name.
    """

    def __init__(self, name: str, url: str, start: str, lacks: Callable[[str], str]) -> None:
        self._name = name
        self._url = url
        self._start = start
        self._lacks = lacks
        self.key: str | None = None
        """The key in use; it is struck out of every message."""

    def no_key(self) -> ModelError:
        """There is no key, and the server is known to want one."""
        return ModelError(f"{self._name} has no key", self._key_hint)

    def unreachable(self, reason: str) -> ModelError:
        """Nobody answers at the address."""
        message = f"cannot reach {self._name} at {self._url}: {self._tidy(reason)}"
        return ModelError(message, self._start)

    def stranger(self) -> ModelError:
        """Something answers at the address, but in no known way."""
        message = f"{self._url} answers, but not as {self._name} should"
        return ModelError(message, f"`tekton config set providers.{self._name}.url URL` mends it")

    def refused(self, refusal: Refusal, model: str = "") -> ModelError:
        """The server answered with an error status; nothing was streamed."""
        status = refusal.status
        detail = self._tidy(_own_words(refusal.body))
        said = f"({status}: {detail})" if detail else f"({status})"
        if status in (401, 403):
            what = "refuses the key" if self.key else "asks for a key"
            return ModelError(f"{self._name} {what} {said}", self._key_hint)
        if status == 404 and model:
            return ModelError(f"{self._name} has no model {model!r} {said}", self._lacks(model))
        if status == 429:
            message = f"{self._name} takes no more prompts for now {said}; nothing was retried"
            return ModelError(message, self._when(refusal.retry_after))
        if status >= 500:
            return ModelError(f"{self._name} failed {said}")
        hint = None
        if "temperature" in detail:
            hint = "this model takes no temperature: remove it with `tekton ci edit NAME`"
        return ModelError(f"{self._name} refused the request {said}", hint)

    def broken(self, reason: str, answer: Answer) -> ModelError:
        """The exchange ended before the answer's finish marker."""
        reason = self._tidy(reason)
        if not answer.begun:
            return ModelError(f"{self._name} did not answer: {reason}")
        count = f"{answer.characters:,} character{'' if answer.characters == 1 else 's'}"
        return AnswerTruncated(f"the answer of {self._name} broke off after {count}: {reason}")

    def of_http(self, error: Exception, http: ModuleType, answer: Answer) -> ModelError:
        """Explain what `httpx`, its successor or a parser raised; `http` is the one in use."""
        if isinstance(error, http.ConnectTimeout):
            return self.unreachable(f"no connection within {CONNECT_S:g} s")
        if isinstance(error, http.ConnectError | http.ProxyError):
            return self.unreachable(reason_of(error))
        if isinstance(error, http.TimeoutException):
            return self.broken("nothing came for longer than `read_timeout_s` allows", answer)
        if isinstance(error, http.HTTPError):
            return self.broken(f"the connection was lost ({reason_of(error)})", answer)
        answer.begun = True
        return self.broken(f"malformed stream ({type(error).__name__}: {error})", answer)

    @property
    def _key_hint(self) -> str:
        return f"`tekton key set {self._name}` reads a key from standard input"

    def _when(self, retry_after: str | None) -> str:
        """Tell when to try again (RFC 9110, section 10.2.3: seconds or a date)."""
        if not retry_after:
            return "try again later"
        after = clean_line(retry_after)[:40]
        return f"try again in {after} s" if after.isdecimal() else f"try again after {after}"

    def _tidy(self, text: str) -> str:
        if self.key and len(self.key) >= SHORTEST_SECRET:
            text = text.replace(self.key, "[key]")
        text = clean_line(text).strip()
        return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"


def reason_of(error: BaseException) -> str:
    """Find the system's own words for a failed connection in a chain of exceptions."""
    said = str(error)
    for found in _chain(error):
        if isinstance(found, OSError) and found.strerror:
            # Other modules' errors (gaierror, SSLError) are numbered in their own way.
            if found.errno and type(found).__module__ == "builtins":
                return os.strerror(found.errno)
            return found.strerror
        said = said or str(found)
    return said or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from an exception to those that caused it, the nearest first."""
    for _ in range(16):
        if error is None:
            return
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__


def _own_words(body: str) -> str:
    """Take the message out of an error's body: JSON of the usual shapes, or plain text."""
    try:
        found = json.loads(body)
    except ValueError:
        return "" if body.lstrip().startswith("<") else body
    for _ in range(2):
        if isinstance(found, dict):
            found = found.get("error") or found.get("message") or found.get("detail") or ""
    return found if isinstance(found, str) else json.dumps(found)
