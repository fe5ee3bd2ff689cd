"""Deleting what is left of closed terminals, once it is as old as the configuration says.

A folder is renamed before anything in it goes, so that nobody meets half a log; what a crash
leaves under the new name goes with the next cleaning.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import shutil
from pathlib import Path

from backends.paths import Paths
from terma.service.store import TerminalStore

log = logging.getLogger(__name__)

_DAY_S = 86400.0
_ID = re.compile(r"[0-9a-f]{32}")
_GONE = ".gone-"


async def clean(paths: Paths, store: TerminalStore, now: float, keep_days: int) -> None:
    """Delete the folders and rows of terminals that were closed more than so many days ago.

    Folders that belong to no terminal are left, and told in the log.

    Args:
        paths: Where the folders are.
        store: The rows.
        now: Seconds since the epoch.
        keep_days: 0 keeps all.

    Raises:
        OSError: Some of it cannot be deleted; the rest is.
        StorageError: The store cannot be used.
    """
    failure: OSError | None = None
    if keep_days:
        for terminal in await store.closed_before(now - keep_days * _DAY_S):
            try:
                await asyncio.to_thread(forget, paths.terminals / terminal.id)
            except OSError as error:
                failure = error  # its row stays, for the next time
                continue
            await store.forget(terminal.id)
            log.info("deleted what was left of %s", terminal.name, extra={"terminal": terminal.id})
    known = [*await store.open_ones(), *await store.closed_before(math.inf)]
    await asyncio.to_thread(_tidy, paths.terminals, frozenset(one.id for one in known))
    if failure is not None:
        raise failure


def forget(folder: Path) -> None:
    """Delete a terminal's folder; links in it, or one in its place, are deleted, never followed.

    Raises:
        OSError: It cannot be deleted.
        ValueError: The name is not a terminal's.
    """
    if not _ID.fullmatch(folder.name):
        raise ValueError(f"{folder.name!r} is no id of a terminal")
    gone = folder.with_name(f"{_GONE}{folder.name}")
    _delete(gone)  # from a time when this was interrupted
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    _delete(gone)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _tidy(terminals: Path, known: frozenset[str]) -> None:
    """Delete what is half gone, and tell of folders that no terminal has."""
    if not terminals.is_dir():
        return
    strangers = []
    for path in sorted(terminals.iterdir()):
        if path.name.startswith(_GONE):
            _delete(path)
        elif path.name not in known:
            strangers.append(path.name)
    if strangers:
        log.warning(
            "%s holds folders of terminals that nobody knows, which are left there: %s",
            terminals, ", ".join(strangers),
        )  # fmt: skip
