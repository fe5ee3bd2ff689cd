"""Asking for what comes as it comes, over the deaths of the hub."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from backends.console import say
from backends.errors import CannotConnect, ConnectionLost, NotFound, Unauthorized

T = TypeVar("T")

_TRY_EVERY_S = 0.1
_SETTLING_S = 5.0
"""How long what was there before may be missing after the hub has come back."""


def patiently(ask: Callable[[], Iterator[T]], what: str) -> Iterator[T]:
    """Yield what is asked for; where the hub goes, wait for it and ask again.

    Args:
        ask: Asks anew at each call, and may then yield again what was yielded before.
        what: What is waited for, to be told once each time the hub goes.

    Raises:
        TektonError: What was answered, or that nobody could be asked to begin with.
    """
    was_there = False
    back_at = 0.0
    while True:
        try:
            for item in ask():
                was_there = True
                back_at = 0.0
                yield item
            return
        except Unauthorized:
            raise
        except CannotConnect as error:
            was_there = was_there or isinstance(error, ConnectionLost)
            if not was_there:
                raise
            if not back_at:
                say(f"the hub is gone; waiting for it, and for {what} (`tekton up` starts it)")
            back_at = time.monotonic()
        except NotFound:
            if not back_at or time.monotonic() - back_at > _SETTLING_S:
                raise
        time.sleep(_TRY_EVERY_S)
