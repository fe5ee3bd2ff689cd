"""What every provider that asks a server must do, against a faithful server of its protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import ssl
import time
from types import ModuleType
from typing import Any

import httpx
import pytest

from backends.errors import AnswerTruncated, ConfigError, ModelError
from backends.protocol.messages import Attachment
from backends.providers import remote
from backends.providers.base import Probe
from tests.backends.providers.cases import KEY, Case, ask, broken, collect, every_provider
from tests.model_servers import Fault, FaultKind, Request, Script, closed_url
from tests.scripted_http import Reply, ScriptedServer

# What JSON leaves as it is but other formats might not; two of these end a line for `str`.
AWKWARD = [
    "é ü",
    "日本",
    "👩‍👧",
    "e\u0301",
    "a\x85b",
    "\u2028",
    "\u2029",
    "\x0b\x0c\x1c",
    "\r\n",
    "\n\n",
    '"\\',
    "<b>&",
    "\x1b[31m",
    "\x7f",
    "data: x",
    " ",
]
PIXEL = base64.b64encode(b"\x89PNG not really").decode()


@every_provider
def test_an_answer_streams_and_ends_with_its_model_and_usage(case: Case) -> None:
    with case.server(Script(tokens=["Hel", "lo", "!"], delay_s=0.001, model="real")) as server:
        outcome = ask(case, server, case.prompt("say hello twice"))
    assert outcome.pieces == ["Hel", "lo", "!"]
    assert outcome.finish is not None
    assert outcome.finish.model == "real"
    assert outcome.finish.reason == "stop"
    assert outcome.finish.usage.input_tokens == 3
    assert outcome.finish.usage.output_tokens == 3


@every_provider
def test_an_answer_may_be_empty(case: Case) -> None:
    with case.server(Script(tokens=[])) as server:
        outcome = ask(case, server)
    assert outcome.pieces == []
    assert outcome.finish is not None


@every_provider
def test_text_arrives_exactly(case: Case) -> None:
    with case.server(Script(tokens=AWKWARD)) as server:
        outcome = ask(case, server)
    assert outcome.error is None
    assert outcome.text == "".join(AWKWARD)


@every_provider
def test_a_megabyte_goes_and_comes_back_exactly(case: Case) -> None:
    text = ("ä\x85\u2028€ 0123456789\n" * 60_000)[:1_000_000]
    with case.server() as server:
        outcome = ask(case, server, case.prompt(text))
    assert outcome.error is None
    assert outcome.text == text


@every_provider
def test_thoughts_are_no_part_of_the_answer(case: Case) -> None:
    with case.server(Script(thinking=["hm, ", "well"], tokens=["Yes"])) as server:
        outcome = ask(case, server)
    assert outcome.text == "Yes"


@every_provider
def test_an_answer_cut_by_a_limit_says_so(case: Case) -> None:
    finish = "max_tokens" if case.name == "anthropic" else "length"
    with case.server(Script(tokens=["a"], finish=finish)) as server:
        outcome = ask(case, server)
    assert outcome.finish is not None
    assert outcome.finish.reason == "length"


@every_provider
def test_the_key_goes_along(case: Case) -> None:
    with case.server(Script(key=KEY)) as server:
        assert ask(case, server).error is None


@every_provider
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_tells_how_to_set_one(case: Case, status: int) -> None:
    fault = Fault(FaultKind.STATUS, status=status, message=f"bad key {KEY}")
    with case.server(Script(fault=fault)) as server:
        error = ask(case, server).failure
    assert type(error) is ModelError
    assert error.message == f"{case.name} refuses the key ({status}: bad key [key])"
    assert error.hint is not None
    assert f"`tekton key set {case.name}`" in error.hint


@every_provider
def test_a_new_key_is_used_after_the_old_one_was_refused(case: Case) -> None:
    keys = iter(["old", "new", "newer"])

    async def run() -> list[str | None]:
        provider = case.make(case.name, {"url": server.url + case.base}, lambda: next(keys))
        outcomes = [await collect(provider, case.prompt()) for _ in range(3)]
        await provider.close()
        return [outcome.text or None for outcome in outcomes]

    with case.server(Script(key="new", tokens=["ok"])) as server:
        assert asyncio.run(run()) == [None, "ok", "ok"]


@every_provider
def test_a_missing_model_is_named(case: Case) -> None:
    with case.server() as server:
        error = ask(case, server, case.prompt(model="gone:1b")).failure
    assert type(error) is ModelError
    assert f"{case.name} has no model 'gone:1b' (404: model 'gone:1b' not found)" == error.message
    assert error.hint
    if case.name == "ollama":
        assert error.hint == "`ollama pull gone:1b`"


@every_provider
@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("20", "try again in 20 s"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "try again after Wed, 21 Oct 2026 07:28:00 GMT"),
        (None, "try again later"),
    ],
)
def test_a_limit_is_reported_and_nothing_is_retried(
    case: Case, header: str | None, hint: str
) -> None:
    fault = Fault(FaultKind.STATUS, status=429, message="slow down", retry_after=header)
    with case.server(Script(fault=fault)) as server:
        error = ask(case, server).failure
        assert len(server.prompts) == 1
    assert type(error) is ModelError
    assert "(429: slow down); nothing was retried" in error.message
    assert error.hint == hint


@every_provider
@pytest.mark.parametrize("status", [500, 503, 529])
def test_a_failing_server_is_quoted_and_nothing_is_retried(case: Case, status: int) -> None:
    said = "\x1b]0;title\x07out of memory\n" + "x" * 1000
    with case.server(Script(fault=Fault(FaultKind.STATUS, status=status, message=said))) as server:
        error = ask(case, server).failure
        assert len(server.prompts) == 1
    assert type(error) is ModelError
    assert error.message.startswith(f"{case.name} failed ({status}: out of memory xxx")
    assert len(error.message) < 400


@every_provider
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.MALFORMED, "malformed stream (JSONDecodeError: "),
        (FaultKind.RESET, "the connection was lost (Connection reset by peer)"),
        (FaultKind.DROP, "the connection was lost ("),
        (FaultKind.CUT, "it ended without its finish marker"),
        (FaultKind.ERROR, "something broke"),
    ],
)
def test_a_broken_answer_is_an_error_after_what_had_come(
    case: Case, kind: FaultKind, reason: str
) -> None:
    with case.server(broken(kind)) as server:
        outcome = ask(case, server)
    assert outcome.text == "one two "
    assert outcome.finish is None
    assert type(outcome.failure) is AnswerTruncated
    start = f"the answer of {case.name} broke off after 8 characters: "
    assert outcome.failure.message.startswith(start)
    assert reason in outcome.failure.message.removeprefix(start)


@every_provider
@pytest.mark.parametrize("kind", [FaultKind.MALFORMED, FaultKind.CUT, FaultKind.ERROR])
def test_an_answer_that_breaks_before_its_first_word_is_truncated(
    case: Case, kind: FaultKind
) -> None:
    with case.server(broken(kind, after=0)) as server:
        outcome = ask(case, server)
    assert type(outcome.failure) is AnswerTruncated
    assert "after 0 characters" in outcome.failure.message


@every_provider
def test_a_server_that_is_down_is_told_with_its_address(case: Case) -> None:
    url = closed_url()
    provider = case.provider(url)
    error = asyncio.run(collect(provider, case.prompt())).failure
    assert type(error) is ModelError
    where = f"{case.name} at {url}{case.base}"
    assert error.message == f"cannot reach {where}: Connection refused"
    assert error.hint
    if case.name == "ollama":
        assert "`ollama serve`" in error.hint


@every_provider
def test_a_silent_server_is_given_up_after_the_read_timeout(case: Case) -> None:
    with case.server(Script(fault=Fault(FaultKind.MUTE))) as server:
        error = ask(case, server, read_timeout_s=0.05).failure
    assert type(error) is ModelError
    assert "`read_timeout_s`" in error.message
    with case.server(broken(FaultKind.HANG)) as server:
        error = ask(case, server, read_timeout_s=0.05).failure
    assert type(error) is AnswerTruncated
    assert "after 8 characters" in error.message


@every_provider
def test_closing_reaches_the_server(case: Case) -> None:
    async def run() -> None:
        provider = case.provider(server.url)
        stream: Any = provider.stream(case.prompt())
        assert await anext(stream) == "one "
        assert await anext(stream) == "two "
        await stream.aclose()
        gone = server.wait_request().disconnected
        assert await asyncio.to_thread(gone.wait, 5), "the server was not told"
        await provider.close()

    with case.server(broken(FaultKind.HANG)) as server:
        asyncio.run(run())


@every_provider
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.MUTE])
def test_cancelling_reaches_the_server(case: Case, kind: FaultKind) -> None:
    async def run() -> None:
        provider = case.provider(server.url)
        task = asyncio.create_task(collect(provider, case.prompt()))
        request = await asyncio.to_thread(server.wait_request)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert await asyncio.to_thread(request.disconnected.wait, 5), "the server was not told"
        await provider.close()

    with case.server(broken(kind)) as server:
        asyncio.run(run())


@every_provider
def test_no_prompt_waits_for_another(case: Case) -> None:
    async def run() -> None:
        provider = case.provider(server.url)
        tasks = [asyncio.create_task(collect(provider, case.prompt())) for _ in range(150)]
        await asyncio.to_thread(server.wait_request, 150)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for request in server.prompts:
            assert await asyncio.to_thread(request.disconnected.wait, 5)
        await provider.close()

    with case.server(broken(FaultKind.HANG)) as server:
        asyncio.run(run())


@every_provider
def test_a_cancelled_answer_leaves_the_provider_usable(case: Case) -> None:
    async def run() -> None:
        provider = case.provider(server.url)
        stream: Any = provider.stream(case.prompt())
        await anext(stream)
        await stream.aclose()
        assert (await collect(provider, case.prompt())).text == "one two "
        await provider.close()

    with case.server(Script(tokens=["one ", "two "], delay_s=0.001)) as server:
        asyncio.run(run())


@every_provider
def test_a_server_that_never_ends_a_complete_answer_is_left(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LINGER_S", 0.05)
    with case.server(broken(FaultKind.LINGER)) as server:
        outcome = ask(case, server)
        assert outcome.text == "one two three"
        assert outcome.finish is not None
        assert server.wait_request().disconnected.wait(5)


@every_provider
def test_prompts_share_a_connection(case: Case) -> None:
    async def run() -> None:
        provider = case.provider(server.url)
        for _ in range(3):
            assert (await collect(provider, case.prompt())).finish is not None
        await provider.close()

    with case.server() as server:
        asyncio.run(run())
        assert len({request.peer for request in server.prompts}) == 1


@every_provider
def test_200_first_prompts_load_the_package_once_and_are_not_mixed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = importlib.import_module

    def count(name: str) -> ModuleType:
        loaded.append(name)
        return load(name)

    async def run() -> None:
        provider = case.provider(server.url)
        texts = [f"prompt number {number} äöü" for number in range(200)]
        outcomes = await asyncio.gather(*(collect(provider, case.prompt(text)) for text in texts))
        assert [outcome.text for outcome in outcomes] == texts
        await provider.close()

    monkeypatch.setattr(importlib, "import_module", count)
    with case.server() as server:
        asyncio.run(run())
    assert loaded
    assert len(loaded) == len(set(loaded))


@every_provider
def test_a_proxy_is_not_asked_for_this_machine(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed_url())
    with case.server(Script(tokens=["direct"])) as server:
        assert ask(case, server).text == "direct"
        assert asyncio.run(case.provider(server.url).probe(5)).models


@every_provider
def test_half_a_character_is_refused_before_it_is_sent(case: Case) -> None:
    with case.server() as server:
        error = ask(case, server, case.prompt("ab\ud800")).failure
        assert not server.prompts
    assert "U+D800" in error.message


@every_provider
def test_an_image_that_is_not_base64_is_refused(case: Case) -> None:
    image = Attachment(name="a.png", media_type="image/png", data="!")
    with case.server() as server:
        error = ask(case, server, case.prompt(images=(image,))).failure
        assert not server.prompts
    assert "'a.png' is not base64" in error.message


@every_provider
def test_a_model_that_takes_no_images_is_quoted(case: Case) -> None:
    image = Attachment(name="a.png", media_type="image/png", data=PIXEL)
    with case.server(broken(FaultKind.NO_IMAGES)) as server:
        assert ask(case, server).text == "one two three"
        error = ask(case, server, case.prompt(images=(image,))).failure
    said = "(400: this model does not take images)"
    assert error.message == f"{case.name} refused the request {said}"


@every_provider
@pytest.mark.parametrize(
    "settings", [{"model": 1}, {"model": ""}, {"read_timeout_s": "5"}, {"read_timeout_s": 0}]
)
def test_a_bad_setting_is_named(case: Case, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"\[providers\.{case.name}\] {next(iter(settings))} is"):
        case.provider("http://127.0.0.1:1", **settings)


@every_provider
def test_closing_twice_and_unused_is_harmless(case: Case) -> None:
    async def run() -> None:
        provider = case.provider("http://127.0.0.1:1")
        await provider.close()
        await provider.close()

    asyncio.run(run())


@every_provider
def test_certificates_are_checked_except_where_none_is_shown(case: Case) -> None:
    def options(url: str) -> dict[str, Any]:
        provider: Any = case.provider(url)
        found: dict[str, Any] = provider._http_options(httpx)
        return found

    assert "verify" not in options("https://127.0.0.1:1")
    assert "verify" not in options("http://example.com")  # a proxy on the way may show one
    context = options("http://127.0.0.1:1")["verify"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509"] == 0


def probe(case: Case, url: str, timeout_s: float = 5.0, **settings: Any) -> Probe:
    return asyncio.run(case.provider(url, **settings).probe(timeout_s))


networked = pytest.mark.parametrize(
    "case", [case for case in every_provider.args[1] if case.name != "anthropic"], ids=str
)


@networked
def test_a_look_finds_the_models(case: Case) -> None:
    with case.server(Script(models=("b", "a"), key=KEY)) as server:
        assert probe(case, server.url) == Probe(models=("b", "a"), is_local=True)
        assert not server.prompts


@networked
def test_a_look_at_nobody_tells_why(case: Case) -> None:
    url = closed_url()
    found = probe(case, url)
    assert found.models == ()
    assert found.reason == f"cannot reach {case.name} at {url}{case.base}: Connection refused"
    assert found.hint
    assert found.is_local


@networked
def test_a_look_at_a_silent_server_ends_in_time(case: Case) -> None:
    with case.server(Script(fault=Fault(FaultKind.MUTE))) as server:
        before = time.monotonic()
        found = probe(case, server.url, timeout_s=0.1)
        assert time.monotonic() - before < 2
    assert found.reason is not None
    assert found.reason.endswith("no answer within 0.1 s")


@networked
def test_a_look_with_a_wrong_key_tells_how_to_set_one(case: Case) -> None:
    with case.server(Script(key="another")) as server:
        found = probe(case, server.url)
    assert found.models == ()
    assert found.reason == f"{case.name} refuses the key (401: invalid api key)"
    assert "tekton key set" in (found.hint or "")


@networked
def test_a_look_at_a_server_without_models_tells_what_to_do(case: Case) -> None:
    with case.server(Script(models=())) as server:
        found = probe(case, server.url)
    assert found.models == ()
    assert found.reason is not None
    assert "no model" in found.reason
    assert found.hint


@networked
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(404, b"<html>"), "refused the request (404)"),
        (Reply(200, b"<html>"), "answers, but not as"),
        (Reply(200, b"[]"), "answers, but not as"),
        (Reply(200, b'{"models": null, "data": 5}'), "answers, but not as"),
    ],
)
def test_a_look_at_something_else_tells_so(case: Case, reply: Reply, reason: str) -> None:
    class Other(ScriptedServer):
        def answer(self, request: Request) -> Reply:
            del request
            return reply

    with Other() as server:
        found = probe(case, server.url)
    assert found.models == ()
    assert reason in (found.reason or "")


@every_provider
def test_a_key_that_cannot_be_read_is_the_reason(case: Case) -> None:
    def fail() -> str | None:
        raise ConfigError("the key is not used: others may read it", "`chmod 600 F`")

    found = asyncio.run(case.make(case.name, {"url": closed_url()}, fail).probe(5))
    assert found.models == ()
    assert found.reason == "the key is not used: others may read it"
    assert found.hint == "`chmod 600 F`"
