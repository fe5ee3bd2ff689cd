"""The log of a service process: one line an event, and DEBUG for single components."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path

from backends import config
from backends.paths import private_folder

LEVELS = {name: logging.getLevelNamesMapping()[name.upper()] for name in config.LEVELS}
_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
_TIME = "%Y-%m-%dT%H:%M:%S"


def configure_logs(file: Path | None, level: str, max_bytes: int, debug: str = "") -> None:
    """Send logs to a file that is rotated once at `max_bytes`, or to stderr where it is `None`.

    Args:
        level: A key of `LEVELS`.
        debug: Components whose DEBUG lines are wanted, joined by commas: `rhetor,terma`; `all`
            means every one.
    """
    handler: logging.Handler = logging.StreamHandler()
    if file is not None:
        private_folder(file.parent)
        handler = logging.handlers.RotatingFileHandler(file, maxBytes=max_bytes, backupCount=1)
    handler.setFormatter(logging.Formatter(_FORMAT, _TIME))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for vendor in ("httpx", "httpcore", "httpx2", "httpcore2", "anthropic", "websockets"):
        logging.getLogger(vendor).setLevel(
            logging.WARNING
        )  # they log whole requests, keys included
    for name in filter(None, (part.strip() for part in debug.split(","))):
        for logger in ["backends", "terma"] if name == "all" else [f"backends.{name}", name]:
            logging.getLogger(logger).setLevel(logging.DEBUG)
