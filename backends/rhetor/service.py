"""Rhetor: the gateway, one door to every CI and service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from backends.errors import UsageError
from backends.protocol.messages import CI_SERVICE, Info, Request
from backends.service.base import Handler, Service


class Rhetor(Service):
    """Gateway: passes each request on to the CI or service that answers it."""

    name = "rhetor"

    def handler(self, request: Request[Any]) -> Handler | None:
        """Answer what is this service's own; pass on everything else."""
        if (
            isinstance(request, Info)
            and request.ci is None
            and request.service in (None, self.name)
        ):
            return super().handler(request)
        if request.SERVICE == CI_SERVICE and getattr(request, "ci", None) is None:
            return self._ask_for_name
        return self._pass_on

    async def _pass_on(self, request: Request[Any]) -> AsyncIterator[Any]:
        items = self.context.stream(request)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    async def _ask_for_name(self, request: Request[Any]) -> Any:
        raise UsageError(f"{request.METHOD}: the gateway needs the name of a CI", '"ci": "apollo"')
