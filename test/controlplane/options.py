"""What can be chosen for one cluster, and where its folder lies."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,40}[a-z0-9])?")


class ClusterError(Exception):
    """A cluster could not be started, found or controlled; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    name: str
    controllers: bool = True
    """False starts etcd and the API server only: no scheduler, no controllers, no KWOK."""
    audit: bool = True
    watch_cache_sizes: str = ""
    """``--watch-cache-sizes`` of the API server, e.g. ``pods#0``: see ControlPlane.expire_history."""
    api_server_flags: tuple[str, ...] = ()
    gogc: int = 100
    """GOGC of the API server; 400 is faster for big clusters and takes more memory."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ClusterError(f"a cluster's name is up to 42 of a-z 0-9 . and -, not {self.name!r}")

    def write(self, folder: Path) -> None:
        (folder / "options.json").write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> ClusterOptions:
        values = json.loads((folder / "options.json").read_text())
        return cls(**{**values, "api_server_flags": tuple(values["api_server_flags"])})


def run_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds one folder per running cluster; ``K8S_MCP_TESTCLUSTER_RUN`` names another.

    Created with mode 0700, as each cluster's own folder is: whoever can read that is its admin.
    Raises ClusterError when somebody else could put things there.
    """
    explicit = environ.get("K8S_MCP_TESTCLUSTER_RUN")
    root = Path(explicit) if explicit else Path(tempfile.gettempdir()) / f"k8s-mcp-testcluster-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = root.lstat()
    if about.st_uid != os.getuid() or root.is_symlink() or about.st_mode & 0o022:
        raise ClusterError(f"others can write to {root}; set K8S_MCP_TESTCLUSTER_RUN to a folder that is yours alone")
    return root
