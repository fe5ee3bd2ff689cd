"""What the hub says of failures that nobody catches."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from backends.hub import _Complaints


def test_listeners_without_files_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    complaints = _Complaints()
    full = OSError(errno.EMFILE, "Too many open files")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(50):
            complaints.handle(loop, {"message": "out of system resource", "exception": full})
        complaints.handle(loop, {"message": "another", "exception": ValueError("a bug")})

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "no connection can be accepted: Too many open files"
    assert [line for line in told[1:] if "accepted" in line] == []
    assert "another" in told[1]
