"""Where files live: one place that every process computes in the same way.

`TEKTON_HOME` puts everything under one folder. Otherwise configuration, state and logs lie
where the platform keeps them (platformdirs), and sockets in the runtime folder
(`backends.runtime`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from backends.errors import StorageError, TektonError
from backends.runtime import absolute, runtime_folder, socket_path


@dataclass(frozen=True)
class Paths:
    """The folders and files of one Tekton."""

    config: Path
    state: Path
    runtime: Path

    @property
    def config_file(self) -> Path:
        """The one TOML file of settings."""
        return self.config / "config.toml"

    @property
    def personas(self) -> Path:
        """One TOML file for each CI that the user added or changed."""
        return self.config / "ci"

    @property
    def keys(self) -> Path:
        """Providers' keys, one file each, 0600."""
        return self.config / "keys"

    @property
    def tokens(self) -> Path:
        """Hashed tokens of remote clients, 0600."""
        return self.config / "tokens.json"

    @property
    def registry(self) -> Path:
        """One JSON record for each running service."""
        return self.state / "ai_registry"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.state / "logs"

    @property
    def launchers(self) -> Path:
        """A command for each CI; last on the PATH of a shell that aish starts."""
        return self.state / "bin"

    @property
    def turns(self) -> Path:
        """The database of turns."""
        return self.state / "engram.db"

    @property
    def terminals(self) -> Path:
        """A folder for each terminal, by its id: its log, its last snapshot, its token."""
        return self.state / "terminals"

    @property
    def mailboxes(self) -> Path:
        """The database of terminals and messages."""
        return self.state / "terma.db"

    @property
    def hub_lock(self) -> Path:
        """Held, by flock, for as long as a hub runs."""
        return self.runtime / "hub.lock"

    def socket(self, name: str, is_ci: bool) -> Path:
        """The Unix socket of a service or a CI."""
        return Path(socket_path(os.fspath(self.runtime), name, is_ci))


def find_paths() -> Paths:
    """Read the environment and tell where this Tekton's files are; nothing is created."""
    runtime = Path(runtime_folder())
    home = os.environ.get("TEKTON_HOME")
    if home:
        root = Path(absolute(home))
        return Paths(root / "config", root / "state", runtime)
    import platformdirs

    folders = platformdirs.PlatformDirs("tekton", appauthor=False)
    return Paths(Path(folders.user_config_dir), Path(folders.user_state_dir), runtime)


def private_folder(path: Path, may_be_link: bool = False) -> Path:
    """Create a folder with mode 0700, or check that an existing one is ours alone.

    Args:
        path: The folder.
        may_be_link: Follow a link of this user's own: people keep their settings elsewhere.

    Raises:
        TektonError: It is a link, belongs to somebody else, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, owners = path.stat(), {path.stat().st_uid, path.lstat().st_uid}
    except OSError as error:
        raise StorageError(
            f"cannot make the folder {path}: {error.strerror}",
            "remove what is in the way, or set TEKTON_HOME to a folder of your own",
        ) from error
    if (path.is_symlink() and not may_be_link) or owners != {os.getuid()}:
        raise TektonError(
            f"{path} is not a folder of this user",
            "somebody may have put it there; remove it, or set TEKTON_HOME to a folder of your own",
        )
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path
