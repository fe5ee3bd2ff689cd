"""The table of messages: every request can be found, and knows who answers it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from backends.protocol import messages
from backends.protocol.messages import CI_SERVICE, Request
from backends.protocol.requests import REQUESTS

SERVICES = {None, CI_SERVICE, "hermes", "engram", "numa", "terma"}


def all_requests() -> set[type[Request[Any]]]:
    return set(Request.__subclasses__())


def test_every_request_is_found_by_its_method() -> None:
    assert set(REQUESTS.values()) == all_requests()
    assert all(REQUESTS[request.METHOD] is request for request in all_requests())


@pytest.mark.parametrize("request_type", REQUESTS.values(), ids=REQUESTS)
def test_a_request_knows_its_service_its_result_and_its_chunks(
    request_type: type[Request[Any]],
) -> None:
    assert request_type.SERVICE in SERVICES
    assert dataclasses.is_dataclass(request_type.RESULT)
    assert request_type.CHUNK is None or dataclasses.is_dataclass(request_type.CHUNK)
    assert request_type.CHUNK is not request_type.RESULT


def test_only_requests_that_change_what_others_see_are_for_this_user_alone() -> None:
    requests = [request for request in REQUESTS.values() if request.SERVICE != "terma"]
    local = {request.METHOD for request in requests if request.IS_LOCAL}
    assert local == {"publish", "turn.begin", "turn.update", "session.resume", "session.remove"}


def test_terminals_are_for_this_user_alone() -> None:
    requests = [request for request in REQUESTS.values() if request.SERVICE == "terma"]
    assert len(requests) > 20
    assert all(request.IS_LOCAL for request in requests)


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        messages.Chat(prompt="a").prompt = "b"  # type: ignore[misc]
