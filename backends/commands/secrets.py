"""`tekton key` and `tekton token`: what opens a provider to us, and us to remote clients."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from backends.commands.options import Debug, Json, group
from backends.config import BUILT_IN_PROVIDERS, PORTS, Config, load_config
from backends.console import say, table
from backends.errors import ConfigError, NotFound, StorageError, UsageError
from backends.paths import Paths, find_paths

keys = group("key", "tekton key set anthropic < FILE: keys of providers.")
tokens = group("token", "tekton token create laptop: let in clients from elsewhere.")

_KEYLESS = frozenset({"agent", "claude", "codex", "echo"})
"""Types of providers that take no key: an agent has a login of its own."""

_MAX_INPUT = 64 * 1024
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="`tekton key list` shows all.")]
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="Who will have it: `laptop`.")]


@keys.command("set", context_settings={"allow_extra_args": True})
def set_key(more: typer.Context, provider: Provider, debug: Debug = False) -> None:
    """tekton key set anthropic < FILE: keep a key in a file, mode 0600."""
    from backends.providers.keys import save_key

    if more.args:
        raise UsageError(
            "a key on the command line is seen by everybody on this machine and kept in the "
            "shell's history, so it is not taken; whoever saw this one can use it",
            f"`tekton key set {provider}` asks for it, or reads it from a file or a pipe",
        )
    paths = find_paths()
    settings = _settings_of(provider, load_config(paths.config_file, os.environ))
    file = paths.keys / provider
    save_key(file, _read_secret(f"Key of {provider} (not shown): "))
    used = _source(provider, settings, paths)
    say(f"kept in {file}" if used == str(file) else f"kept in {file}; but what counts is {used}")
    say(f'for one prompt: aish -m {provider} apollo "hello"')
    say(f"for every CI:   tekton config set models.default {provider}")


@keys.command("list")
def list_keys(as_json: Json = False, debug: Debug = False) -> None:
    """tekton key list: where each provider's key is; never the key."""
    paths = find_paths()
    providers = _providers(load_config(paths.config_file, os.environ))
    found = {name: _source(name, settings, paths) for name, settings in providers.items()}
    if as_json:
        known = [{"provider": name, "source": source} for name, source in found.items()]
        print(json.dumps(known, indent=1))
        return
    print(
        table([("PROVIDER", "KEY"), *((name, source or "none") for name, source in found.items())])
    )


@keys.command("remove")
def remove_key(provider: Provider, debug: Debug = False) -> None:
    """tekton key remove anthropic: delete the file with its key."""
    paths = find_paths()
    kept = {file.name for file in paths.keys.iterdir()} if paths.keys.is_dir() else set()
    if provider in kept and not provider.startswith("."):
        try:
            (paths.keys / provider).unlink()
        except OSError as error:
            raise StorageError(
                f"cannot remove {paths.keys / provider}: {error.strerror}"
            ) from error
    settings = _providers(load_config(paths.config_file, os.environ)).get(provider, {})
    left = _source(provider, settings, paths)
    if provider not in kept:
        where = f"; what counts is {left}" if left else ""
        raise NotFound(
            f"no key of {provider!r} is kept in a file{where}", "`tekton key list` shows all"
        )
    if left:
        say(f"{provider} still has a key: {left}")


@tokens.command()
def create(name: TokenName, debug: Debug = False) -> None:
    """(umask 077; tekton token create laptop > FILE): shown this once.

    Whoever has it can use every service and CI over TCP and WebSocket, where [tcp] is enabled.
    """
    import re
    import time

    from backends.tokens import TokenStore

    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"{name!r} cannot be the name of a token",
            "a name is of letters, digits, '.', '_' and '-', at most 64, and no sign comes first",
        )
    paths = find_paths()
    config = load_config(paths.config_file, os.environ)
    store = TokenStore(paths.tokens)
    secret = store.create(name, time.time())
    try:
        print(secret, flush=True)
    except OSError as error:
        store.revoke(name)  # nobody has it
        if isinstance(error, BrokenPipeError):
            raise
        raise StorageError(f"the token could not be written: {error.strerror}") from error
    _tell_use(name, config)


@tokens.command("list")
def list_tokens(as_json: Json = False, debug: Debug = False) -> None:
    """tekton token list: the name of each token, and when it was made."""
    import time

    from backends.tokens import TokenStore

    found = TokenStore(find_paths().tokens).list()
    if as_json:
        known = [{"name": token.name, "created_at": token.created_at} for token in found]
        print(json.dumps(known, indent=1))
        return
    times = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created_at)) for one in found)
    rows = zip((token.name for token in found), times, strict=True)
    if found:
        print(table([("NAME", "CREATED"), *rows]))
    else:
        say("there is no token; `tekton token create NAME` makes one")


@tokens.command()
def revoke(name: TokenName, debug: Debug = False) -> None:
    """tekton token revoke laptop: a token opens nothing any more.

    What it has opened stays open.
    """
    from backends.tokens import TokenStore

    TokenStore(find_paths().tokens).revoke(name)


def _providers(config: Config) -> dict[str, Mapping[str, Any]]:
    """Return the settings of each provider that a key could open, by name."""
    known: dict[str, Mapping[str, Any]] = {**BUILT_IN_PROVIDERS, **config.providers}
    return {name: table for name, table in known.items() if table.get("type", name) not in _KEYLESS}


def _settings_of(provider: str, config: Config) -> Mapping[str, Any]:
    known = _providers(config)
    if provider not in known:
        raise NotFound(f"no provider {provider!r} takes a key", f"there are: {', '.join(known)}")
    return known[provider]


def _source(provider: str, settings: Mapping[str, Any], paths: Paths) -> str | None:
    """Tell where a provider's key is found, or why what is found there is not used."""
    from backends.providers.keys import find_key

    try:
        found = find_key(provider, settings, paths.keys, os.environ)
    except ConfigError as error:
        return f"not usable: {error.message}"
    return found.source if found else None


def _read_secret(prompt: str) -> str:
    """Read a secret: unseen from a terminal, else all of standard input."""
    if sys.stdin is None:
        raise UsageError("standard input is closed", "the key comes from a file or a pipe")
    if sys.stdin.isatty():
        import getpass

        try:
            return getpass.getpass(prompt)
        except EOFError:
            return ""
    return sys.stdin.buffer.read(_MAX_INPUT).decode(errors="replace")


def _tell_use(name: str, config: Config) -> None:
    host, port = config.tcp.host, config.tcp.ports.get("rhetor", PORTS["rhetor"])
    where = f"[{host}]" if ":" in host else host
    say("it opens every service and CI; keep it in a file that only you can read, and use it so:")
    say(f"  aish --url ws://{where}:{port or 'PORT'}/ws --token-file FILE apollo hi")
    say(f"`tekton token revoke {name}` ends it")
    if not config.tcp.enabled:
        say(
            "nothing listens there yet: "
            "`tekton config set tcp.enabled true && tekton restart` changes that"
        )
