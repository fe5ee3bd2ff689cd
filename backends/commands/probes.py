"""What `tekton doctor` asks others for: the hub's services, the providers' models."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from backends.client.tekton import Tekton
from backends.commands.checks import RESTART, Check, State
from backends.config import BUILT_IN_PROVIDERS, Config
from backends.errors import ConfigError, NoModel, TektonError
from backends.paths import Paths
from backends.protocol.messages import Health, ListAll, ServiceInfo
from backends.providers.base import Probe
from backends.providers.models import AUTO, DEFAULT_ORDER, Models
from backends.registry import Registry

T = TypeVar("T")

PATIENCE_S = 1.4
"""How long all questions together may take."""

_MANY = 10
"""So many models of a provider are named."""

_KEYLESS = "echo"
_NO_MODEL = "no provider that costs nothing has a model, so most CIs cannot answer"
_GET_ONE = (
    "`ollama serve` and `ollama pull llama3.2`; or `tekton key set anthropic` and "
    "`tekton config set models.default anthropic`"
)


def ask_all(paths: Paths, config: Config) -> list[Check]:
    """Ask the hub and every provider, all at once; who stays silent is reported so."""
    return _run(_ask_all(paths, config))


async def _ask_all(paths: Paths, config: Config) -> list[Check]:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    models = Models(config, paths.keys)
    settings = {**BUILT_IN_PROVIDERS, **config.providers}
    names = [name for name in models.names if settings[name].get("type", name) != _KEYLESS]
    services, probes = await asyncio.gather(
        _ask_hub(paths, deadline),
        asyncio.gather(*(_probe(models, name, deadline) for name in names)),
    )
    auto = await _check_auto(models, config, deadline)
    checks = [services] if isinstance(services, Check) else list(_of_services(services, auto))
    for name, probe in zip(names, probes, strict=True):
        is_wanted = auto.state is not State.OK or _is_set_up(name, config, models)
        checks.append(_of_provider(name, probe, is_wanted, models.key_sources.get(name)))
    if not isinstance(services, Check):
        auto = _compared(auto, services)
    return [*checks, auto]


async def _ask_hub(paths: Paths, deadline: float) -> Sequence[ServiceInfo] | Check:
    """Return what the directory lists: nothing where no hub runs."""
    records = list(Registry(paths.registry).live_records())
    if not any(record.health is Health.ALIVE for record in records):
        return records
    try:
        async with asyncio.timeout_at(deadline), Tekton(paths=paths, is_local=True) as tekton:
            return (await tekton.call(ListAll())).entries
    except TimeoutError:
        message = f"the directory does not answer within {PATIENCE_S:g} s"
        return Check("services", State.PROBLEM, message, RESTART)
    except TektonError as error:
        return Check("services", State.PROBLEM, error.message, error.hint or RESTART)


def _of_services(entries: Sequence[ServiceInfo], auto: Check) -> Iterator[Check]:
    alive = [entry for entry in entries if entry.health is Health.ALIVE]
    dead = [entry for entry in entries if entry.health is not Health.ALIVE]
    if dead and not alive:
        message = f"{len(dead)} records of services and CIs that are gone"
        yield Check("services", State.WARNING, message, "`tekton up`, or `tekton clean`")
        return
    if alive:
        services, cis = sum(one.is_service for one in alive), sum(one.is_ci for one in alive)
        yield Check("services", State.OK, f"{services} services and {cis} CIs are alive")
    for entry in dead:
        message = f"{entry.name} is {entry.health.value}: {entry.reason}"
        yield Check("services", State.PROBLEM, message, f"`tekton serve {entry.name}`")
    without = [entry for entry in alive if entry.is_ci and entry.model is None]
    if without and auto.state is State.OK:
        names = ", ".join(entry.name for entry in without)
        message = f"no model in the hub for {names}: {without[0].note}"
        fix = (
            "`tekton ci edit NAME` where it names a model that is not there; "
            "`tekton restart` gives the hub the environment of this shell"
        )
        yield Check("services", State.WARNING, message, fix)


async def _probe(models: Models, name: str, deadline: float) -> Probe | Check:
    try:
        async with asyncio.timeout_at(deadline):
            return await models.probe(name)
    except TimeoutError:
        hint = f"`tekton config set providers.{name}.url URL`, if it is elsewhere"
        return Probe(reason=f"no answer within {PATIENCE_S:g} s", hint=hint)
    except ConfigError as error:
        return Check(name, State.PROBLEM, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  # a plug-in of somebody else raises what it likes
        message = f"its plug-in failed: {type(error).__name__}: {error}"
        return Check(name, State.PROBLEM, message, "tell its author")


def _is_set_up(name: str, config: Config, models: Models) -> bool:
    """Tell whether the user meant to use a provider."""
    chosen = config.models.default.partition("/")[0], *config.models.order
    return bool(config.providers.get(name)) or name in chosen or name in models.key_sources


def _of_provider(name: str, probe: Probe | Check, is_wanted: bool, key: str | None) -> Check:
    if isinstance(probe, Check):
        return probe
    if not probe.models:
        state = State.WARNING if is_wanted else State.OK
        message = f"not usable: {probe.reason}" + (f"; key: {key}" if key else "")
        return Check(name, state, message, probe.hint)
    count = f"{len(probe.models)} model{'s' if len(probe.models) > 1 else ''}"
    cost = "costs nothing" if probe.is_local else "costs money"
    found = f"key: {key}" if key else "no key needed"
    listed = ", ".join(probe.models[:_MANY])
    if len(probe.models) > _MANY:
        listed += f" and {len(probe.models) - _MANY} more"
    return Check(name, State.OK, f"{count}: {listed}; {cost}; {found}")


async def _check_auto(models: Models, config: Config, deadline: float) -> Check:
    """Tell which model answers where none is named, and why that one."""
    default = config.models.default
    try:
        async with asyncio.timeout_at(deadline):
            chosen = await models.resolve(AUTO)
            provider, _, model = chosen.partition("/")
            probe = await models.probe(provider)
    except TimeoutError:
        message = f"no model was found within {PATIENCE_S:g} s"
        return Check(AUTO, State.PROBLEM, message, "see the providers above")
    except NoModel as error:
        if default == AUTO and not config.models.order:
            return Check(AUTO, State.PROBLEM, _NO_MODEL, _GET_ONE)
        return Check(AUTO, State.PROBLEM, error.message, error.hint)
    except ConfigError as error:
        return Check(AUTO, State.PROBLEM, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  # a plug-in of somebody else raises what it likes
        return Check(AUTO, State.PROBLEM, f"{type(error).__name__}: {error}", "see above")
    if default == AUTO:
        order = config.models.order
        first = "[models] order" if order else ", ".join(DEFAULT_ORDER)
        free = "" if order else " and costs nothing"
        return Check(AUTO, State.OK, f"{chosen}: the first of {first} that answers{free}")
    if not probe.models:
        message = f"{chosen}, which [models] default names, cannot be used: {probe.reason}"
        return Check(AUTO, State.PROBLEM, message, probe.hint)
    if model not in probe.models and f"{model}:latest" not in probe.models:
        message = f"[models] default names {chosen}, which {provider} does not list"
        fix = f"`tekton config set models.default {provider}/{probe.models[0]}`, or another of it"
        return Check(AUTO, State.WARNING, message, fix)
    return Check(AUTO, State.OK, f"{chosen}: [models] default names it")


def _compared(auto: Check, entries: Sequence[ServiceInfo]) -> Check:
    """Add what the hub uses: it has the environment that it was started with."""
    running = [entry for entry in entries if entry.health is Health.ALIVE]
    if not running:
        return auto
    used = {entry.model for entry in running if entry.kind == "specialist" and entry.model}
    message = f"{auto.message} (as this shell sees it; the hub"
    if not used:
        return dataclasses.replace(auto, message=f"{message} may have another environment)")
    state = State.WARNING if auto.state is State.PROBLEM else auto.state
    message = f"{message} answers with {', '.join(sorted(used))})"
    return dataclasses.replace(auto, state=state, message=message)


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end without waiting for threads.

    One may hang in the look-up of a name or in a key command for longer than anybody wants to
    wait; `asyncio.run` would wait for it.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
