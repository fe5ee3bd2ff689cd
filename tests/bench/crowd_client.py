"""Many prompts at the same moment, each with a text of its own; a program of its own."""

from __future__ import annotations

import asyncio
import json
import sys
import time

_ROOM = 1 << 20


async def ask(socket: str, text: str, all_open: asyncio.Barrier) -> str | None:
    """Connect, wait for the others, prompt, and return the answer; `None` if it failed."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=_ROOM)
    await all_open.wait()
    request = {"jsonrpc": "2.0", "id": 1, "method": "chat", "params": {"prompt": text}}
    writer.write(json.dumps(request).encode() + b"\n")
    answer, is_complete = "", False
    while line := await reader.readline():
        message = json.loads(line)
        if "method" in message:
            answer += message["params"]["value"].get("text", "")
        else:
            is_complete = "result" in message
            break
    writer.close()
    return answer if is_complete else None


async def crowd(socket: str, size: int, number: int) -> tuple[int, int, float]:
    """Prompt all at once; return how many are lost, how many mixed, and the seconds it took."""
    texts = [
        f"{number}:{one} " + "-".join([f"{one * 7919 % 1000:03d}"] * 40) for one in range(size)
    ]
    all_open = asyncio.Barrier(size)
    began = time.monotonic()
    answers = await asyncio.gather(*(ask(socket, text, all_open) for text in texts))
    took_s = time.monotonic() - began
    lost = answers.count(None)
    mixed = sum(answer not in (None, text) for answer, text in zip(answers, texts, strict=True))
    return lost, mixed, took_s


def main() -> None:
    """Gather a crowd for each line of input."""
    socket, size = sys.argv[1], int(sys.argv[2])
    for number, _ in enumerate(sys.stdin):
        print(json.dumps(asyncio.run(crowd(socket, size, number))), flush=True)


if __name__ == "__main__":
    main()
