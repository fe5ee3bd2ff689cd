"""Errors: one kind each, rebuilt from what a peer says of them."""

from __future__ import annotations

import pytest

from backends.errors import ConnectionLost, NoModel, TektonError, UsageError

EXIT_STATUS = {
    "failed": 1,
    "usage": 2,
    "not_found": 3,
    "cannot_connect": 4,
    "connection_lost": 4,
    "unauthorized": 4,
    "timed_out": 5,
    "model_failed": 6,
    "no_model": 6,
    "truncated": 6,
    "schema_mismatch": 6,
    "protocol": 1,
    "unknown_method": 1,
    "invalid": 1,
    "too_large": 1,
    "busy": 1,
    "cancelled": 1,
    "config": 1,
    "already_running": 1,
    "storage": 1,
}


def every_class(base: type[TektonError] = TektonError) -> list[type[TektonError]]:
    return [base, *(found for child in base.__subclasses__() for found in every_class(child))]


def test_each_kind_has_one_class_and_its_exit_status() -> None:
    ours = [found for found in every_class() if found.__module__ == "backends.errors"]
    assert {found.kind: found.exit_status for found in ours} == EXIT_STATUS
    assert len(ours) == len(EXIT_STATUS)


@pytest.mark.parametrize("kind", EXIT_STATUS)
def test_an_error_is_rebuilt_from_its_kind(kind: str) -> None:
    error = TektonError.of_kind(kind, "what", "do")
    assert (error.kind, error.message, error.hint) == (kind, "what", "do")
    assert error.exit_status == EXIT_STATUS[kind]
    assert str(error) == "what"


def test_an_unknown_kind_is_a_plain_failure() -> None:
    error = TektonError.of_kind("from a newer peer", "what")
    assert (type(error), error.kind, error.hint) == (TektonError, "failed", None)


def test_who_catches_the_general_error_catches_the_special_one() -> None:
    assert issubclass(ConnectionLost, TektonError.of_kind("cannot_connect", "").__class__)
    assert issubclass(NoModel, TektonError.of_kind("model_failed", "").__class__)


def test_an_error_is_shown_in_a_line_or_two() -> None:
    assert UsageError("what").lines() == "error: what"
    assert UsageError("what", "do").lines() == "error: what\nhint: do"
