"""Files that go with a prompt: text as text, images as images."""

from __future__ import annotations

import base64
from pathlib import Path

from backends.errors import MessageTooLarge, NotFound, UsageError
from backends.protocol.framing import MAX_MESSAGE
from backends.protocol.messages import Attachment

_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def read_attachment(path: Path) -> Attachment:
    """Read a file as an attachment; what it is is told from its content, not from its name.

    Raises:
        NotFound: It cannot be read.
        MessageTooLarge: It is larger than a message may be.
        UsageError: It is neither UTF-8 text nor a PNG, JPEG, GIF or WebP image.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MESSAGE + 1)
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_MESSAGE:
        limit = f"{MAX_MESSAGE // (1024 * 1024)} MiB"
        raise MessageTooLarge(
            f"{path} is too large for a message; the limit is {limit}", "send it in parts"
        )
    media_type = _image_type(data)
    if media_type:
        return Attachment(
            name=path.name, media_type=media_type, data=base64.b64encode(data).decode()
        )
    try:
        return Attachment(name=path.name, media_type="text/plain", text=data.decode())
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is neither UTF-8 text nor an image (PNG, JPEG, GIF, WebP)",
            "convert it to text first",
        ) from None


def _image_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _IMAGES.items() if data.startswith(magic)), None)
