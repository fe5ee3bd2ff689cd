"""Two hundred prompts at the same time: none is lost, none is mixed with another."""

from __future__ import annotations

import asyncio

import psutil

from backends.client.client import Client
from backends.protocol.messages import Answer, Chat, Piece
from backends.transport.address import Address
from tests.model_servers import OllamaServer, Script
from tests.scenarios.tekton_process import TektonProcess, wait_for

COUNT = 200


def prompt_of(number: int) -> str:
    return f"number {number}: " + f"{number} " * 300


async def ask(tekton: TektonProcess, name: str, number: int) -> tuple[str, Answer]:
    address = Address("unix", path=str(tekton.socket(name)))
    texts: list[str] = []
    async with await Client.connect(address) as client:
        async for item in client.stream(Chat(prompt=prompt_of(number))):
            if isinstance(item, Piece):
                assert item.notice is None or "not stored yet" in item.notice, "on a slow disk"
                texts.append(item.text)
            else:
                answer: Answer = item
    return "".join(texts), answer


async def ask_all(tekton: TektonProcess, names: list[str]) -> list[tuple[str, Answer]]:
    return await asyncio.gather(
        *(ask(tekton, names[number % len(names)], number) for number in range(COUNT))
    )


def test_two_hundred_prompts_at_once(tekton: TektonProcess, ollama: OllamaServer) -> None:
    assert tekton.hub
    hub = psutil.Process(tekton.hub.pid)
    assert tekton.aish("apollo", "once, so that all is loaded").status == 0
    before, open_before = hub.memory_info().rss, hub.num_fds()
    ollama.requests.clear()
    ollama.script = Script(delay_s=0.001)
    names = ["apollo", "athena", "mirror", "sophia"]
    said = asyncio.run(ask_all(tekton, names))
    for number, (text, answer) in enumerate(said):
        assert text == prompt_of(number)
        assert answer.ci == names[number % len(names)]
    assert len({answer.session for _, answer in said}) == COUNT
    assert len(ollama.prompts) == COUNT * 3 // 4

    def stored() -> list[dict[str, str]]:
        turns = tekton.history("-n", "1000")
        return turns if all(turn["status"] == "complete" for turn in turns) else []

    turns = [turn for turn in wait_for(stored, "every turn") if turn["prompt"][0] == "n"]
    assert {turn["prompt"]: turn["answer"] for turn in turns} == {
        prompt_of(number): prompt_of(number) for number in range(COUNT)
    }

    assert hub.memory_info().rss - before < 50e6
    # the provider keeps some of its connections for the next prompt
    wait_for(lambda: hub.num_fds() - open_before <= 20, "connections are closed")


def test_two_hundred_prompts_over_one_connection(tekton: TektonProcess) -> None:
    async def ask_all_at_once() -> list[str]:
        address = Address("unix", path=str(tekton.socket("mirror")))
        async with await Client.connect(address) as client:

            async def one(number: int) -> str:
                texts = [
                    item.text
                    async for item in client.stream(Chat(prompt=prompt_of(number)))
                    if isinstance(item, Piece)
                ]
                return "".join(texts)

            return await asyncio.gather(*map(one, range(COUNT)))

    assert asyncio.run(ask_all_at_once()) == [prompt_of(number) for number in range(COUNT)]
