"""Attachments: a file's content tells what it is."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from aish.attachments import read_attachment
from backends.errors import MessageTooLarge, NotFound, UsageError
from backends.protocol.messages import Attachment

IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\nrest",
    "image/jpeg": b"\xff\xd8\xff\xe0rest",
    "image/gif": b"GIF89arest",
    "image/webp": b"RIFF\x04\x00\x00\x00WEBPrest",
}


@pytest.mark.parametrize("text", ["", "plain", "é日本\U0001f600\n", "GIF is not an image"])
def test_text_is_sent_as_text(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes.png"
    file.write_text(text, encoding="utf-8", newline="")
    assert read_attachment(file) == Attachment(name="notes.png", media_type="text/plain", text=text)


@pytest.mark.parametrize("media_type", list(IMAGES))
def test_an_image_is_sent_as_what_it_is(tmp_path: Path, media_type: str) -> None:
    file = tmp_path / "picture.txt"
    file.write_bytes(IMAGES[media_type])
    sent = read_attachment(file)
    assert (sent.name, sent.media_type, sent.text) == ("picture.txt", media_type, None)
    assert base64.b64decode(sent.data or "") == IMAGES[media_type]


def test_anything_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(UsageError, match="neither UTF-8 text nor an image"):
        read_attachment(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "nothing", "No such file or directory"), (tmp_path, "Is a directory"),
    ):  # fmt: skip
        with pytest.raises(NotFound, match=reason) as caught:
            read_attachment(path)
        assert str(path) in caught.value.message


def test_no_more_is_read_than_a_message_can_hold() -> None:
    with pytest.raises(MessageTooLarge, match="the limit is 16 MiB"):
        read_attachment(Path("/dev/zero"))
