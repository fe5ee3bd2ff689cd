"""Tests of `backends.providers.echo`."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import ModelError
from backends.protocol.messages import Attachment
from backends.providers.base import Finish, Probe, Prompt
from backends.providers.echo import EchoProvider


async def answer(text: str, **more: object) -> list[str | Finish]:
    provider = EchoProvider("echo", {}, lambda: None)
    prompt = Prompt(text=text, model="echo", **more)  # type: ignore[arg-type]
    return [piece async for piece in provider.stream(prompt)]


@given(st.text())
def test_the_answer_is_the_prompt(text: str) -> None:
    *pieces, finish = asyncio.run(answer(text, system="be brief"))
    assert pieces == ([text] if text else [])
    assert finish == Finish(reason="stop", model="echo")


@pytest.mark.parametrize("character", ["x", "€", "😀"])
def test_a_megabyte_comes_back_in_pieces_of_64_kib(character: str) -> None:
    text = character * 1_000_000
    *pieces, _ = asyncio.run(answer(text))
    texts = [piece for piece in pieces if isinstance(piece, str)]
    assert "".join(texts) == text
    assert max(len(piece.encode()) for piece in texts) <= 64 * 1024


def test_images_are_refused() -> None:
    image = Attachment(name="a.png", media_type="image/png", data="")
    with pytest.raises(ModelError, match="takes no images"):
        asyncio.run(answer("hi", images=(image,)))


def test_it_is_always_there_and_costs_nothing() -> None:
    provider = EchoProvider("echo", {}, lambda: None)
    assert asyncio.run(provider.probe(0)) == Probe(models=("echo",), is_local=True)
    asyncio.run(provider.close())
